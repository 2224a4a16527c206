package gateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestKinds: each kind differs from every other, and has all required properties.
func TestKinds(t *testing.T) {
	names, prefixes := make(map[string]bool), make(map[string]bool)
	for i, k := range gateway.Kinds() {
		if int(k) != i+1 {
			t.Errorf("kind %d is in row %d, want rows in the order of the kinds", k, i+1)
		}
		if k.String() == "" || names[k.String()] {
			t.Errorf("kind %d has the name %q, want one of its own", k, k)
		}
		if prefixes[k.Prefix()] {
			t.Errorf("%s has the prefix %q, want one of its own", k, k.Prefix())
		}
		if (k.Prefix() == "") != (k == gateway.KindRemote) ||
			strings.IndexByte(k.Prefix(), ':') != len(k.Prefix())-1 {
			t.Errorf("%s has the prefix %q, want one that no domain has: with a colon at its end", k, k.Prefix())
		}
		if k.Width() < 1 || k.Width() > gateway.MaxWidth {
			t.Errorf("%s has the width %d, want 1 to %d", k, k.Width(), gateway.MaxWidth)
		}
		if d := gateway.Destination(k.Prefix() + "7"); d.Kind() != k {
			t.Errorf("%s is of kind %s, want %s", d, d.Kind(), k)
		}
		names[k.String()], prefixes[k.Prefix()] = true, true
	}
}

// TestKindsAreDocumented: the API names the kinds of the table and no others.
func TestKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../openapi/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range gateway.Kinds() {
		names = append(names, k.String())
	}
	want := "kind: {type: string, enum: [" + strings.Join(names, ", ") + "]}"
	if !strings.Contains(string(page), want) {
		t.Errorf("openapi.yaml has no line %q", want)
	}
}

// TestDestinations: a destination tells its kind, its agent and its domain.
func TestDestinations(t *testing.T) {
	for _, c := range []struct {
		of     gateway.Destination
		kind   gateway.Kind
		agent  int64
		domain string
	}{
		{"b.example", gateway.KindRemote, 0, "b.example"},
		{gateway.PushTo(12), gateway.KindPush, 12, ""},
		{gateway.Reports, gateway.KindReport, 0, ""},
		{"push.example", gateway.KindRemote, 0, "push.example"},
		{"12", gateway.KindRemote, 0, "12"},
		{"push:x", gateway.KindPush, 0, ""},
	} {
		if c.of.Kind() != c.kind || c.of.Agent() != c.agent || string(c.of.Domain()) != c.domain {
			t.Errorf("%s is of kind %s for agent %d, domain %q; want %s, %d, %q", c.of, c.of.Kind(), c.of.Agent(),
				c.of.Domain(), c.kind, c.agent, c.domain)
		}
	}
}

// TestNobodyComparesKinds: code outside this package asks a kind for its properties. It
// compares neither kinds nor destinations with a name, and writes no prefix.
func TestNobodyComparesKinds(t *testing.T) {
	files := token.NewFileSet()
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "gateway" || d.Name() == "test" || d.Name() == "testdata") {
			if d != nil && d.IsDir() && err == nil {
				return filepath.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			if what := asksKind(n); what != "" {
				t.Errorf("%s: %s; want a property of the kind (gateway/kind.go)", files.Position(n.Pos()), what)
			}
			return true
		})
		return nil
	})
	if err != nil || seen < 100 {
		t.Errorf("%d files read, %v; want the whole tree", seen, err)
	}
}

// asksKind describes the violation in a node, "" without one.
func asksKind(n ast.Node) string {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if (n.Op == token.EQL || n.Op == token.NEQ) && (namesKind(n.X) || namesKind(n.Y)) {
			return "compares with a kind"
		}
	case *ast.CaseClause:
		if slices.ContainsFunc(n.List, namesKind) {
			return "switches on a kind"
		}
	case *ast.BasicLit:
		text, err := strconv.Unquote(n.Value)
		if err != nil || n.Kind != token.STRING {
			return ""
		}
		for _, k := range gateway.Kinds() {
			if p := k.Prefix(); p != "" && (strings.HasPrefix(text, p) || strings.Contains(text, "'"+p)) {
				return "writes the prefix " + p
			}
		}
	}
	return ""
}

func namesKind(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := s.X.(*ast.Ident)
	return ok && of.Name == "gateway" && (s.Sel.Name == "Reports" || strings.HasPrefix(s.Sel.Name, "Kind") && s.Sel.Name != "Kind")
}

// TestAsksKind: the check finds the violations.
func TestAsksKind(t *testing.T) {
	for expression, wrong := range map[string]bool{
		`d.Kind() == gateway.KindPush`: true, `gateway.Reports != d`: true, `"push:" + id`: true,
		"`SELECT 1 WHERE destination LIKE 'report:%'`": true,
		`d.Kind().Decides()`:                           false, `d == gateway.PushTo(1)`: false, `"only push:N"`: false,
		`m[gateway.KindPush]`: false,
	} {
		e, err := parser.ParseExpr(expression)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		ast.Inspect(e, func(n ast.Node) bool {
			found = found || asksKind(n) != ""
			return true
		})
		if found != wrong {
			t.Errorf("%s is found = %v, want %v", expression, found, wrong)
		}
	}
}

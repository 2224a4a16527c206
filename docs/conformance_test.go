// Package docs_test holds the pages to what they say: every statement of the
// protocol has its tests, and every link leads somewhere.
package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const notYet = "not yet"

// sections is how many the page has: those of the protocol, and one for the tests
// of its revision.
const sections = 13

var numbered = regexp.MustCompile(`^§(\d+)\.(\d+)$`)

// TestConformance reads conformance.md: statements are numbered without a gap,
// and each that is claimed names at least one test, all of which exist; one that is
// not yet done names none.
func TestConformance(t *testing.T) {
	page, err := os.ReadFile("conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOfTheModule(t)
	section, last, statements := 0, 0, 0
	for i, line := range strings.Split(string(page), "\n") {
		if title, ok := strings.CutPrefix(line, "## §"); ok {
			section, last = section+1, 0
			if want := fmt.Sprintf("%d ", section); !strings.HasPrefix(title, want) {
				t.Errorf("line %d: got section %q, want §%d", i+1, title, section)
			}
		}
		if !strings.HasPrefix(line, "| §") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 {
			t.Errorf("line %d has %d cells, want 4: number, protocol, gateway, tests", i+1, len(cells))
			continue
		}
		last++
		statements++
		if want := fmt.Sprintf("§%d.%d", section, last); cells[0] != want || !numbered.MatchString(cells[0]) {
			t.Errorf("line %d is number %q, want %s", i+1, cells[0], want)
		}
		for _, complaint := range judge(cells[2], cells[3], tests) {
			t.Errorf("%s %s", cells[0], complaint)
		}
	}
	if section != sections || statements < 100 {
		t.Errorf("got %d statements in %d sections, want 100 or more in %d", statements, section, sections)
	}
}

// judge says what is wrong with what a statement says of this gateway and with
// the tests that are to show it.
func judge(does, shown string, tests map[string]parts) (complaints []string) {
	names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(shown, -1)
	rest := strings.Trim(regexp.MustCompile("`[^`]+`").ReplaceAllString(shown, ""), ", ")
	switch {
	case does == "" || shown == "":
		return []string{"says nothing"}
	case (does == notYet) != (shown == notYet):
		return []string{"is half done: either both cells are \"not yet\", or one says what is done and the other which tests show it"}
	case does == notYet:
		return nil
	case len(names) == 0:
		return []string{"has no test and is not \"not yet\""}
	case rest != "":
		complaints = append(complaints, fmt.Sprintf("has %q among its tests, want names only", rest))
	}
	for _, name := range names {
		if why := missing(name[1], tests); why != "" {
			complaints = append(complaints, fmt.Sprintf("names `%s`: %s", name[1], why))
		}
	}
	return complaints
}

// missing says why a name is not that of a test, "" when it is one.
func missing(name string, tests map[string]parts) string {
	if story, ok := strings.CutPrefix(name, "e2e/"); ok {
		if _, err := os.Stat("../e2e/testdata/" + story + ".txtar"); err != nil {
			return "there is no such story"
		}
		return ""
	}
	test, inner, _ := strings.Cut(name, "/")
	names, ok := tests[test]
	if !ok {
		return "there is no such test"
	}
	if inner == "" {
		return ""
	}
	group, sentence, _ := strings.Cut(inner, "/")
	for _, part := range []string{group, sentence} {
		if part != "" && !names[rewritten(part)] {
			return fmt.Sprintf("it has no part %q", part)
		}
	}
	return ""
}

// parts are what a test may call its subtests, as go test writes them.
type parts map[string]bool

// rewritten writes the name of a subtest as go test does.
func rewritten(name string) string { return strings.ReplaceAll(name, " ", "_") }

// source is what is known of the tests of one package.
type source struct {
	dir   string
	tests []string
	parts parts
}

// read adds what a file of tests has: its tests, and the texts that can be names
// of subtests, which stand in a table or are what Run is called with.
func (s *source) read(path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	note := func(list ...ast.Expr) {
		for _, e := range list {
			if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					s.parts[rewritten(text)] = true
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.FuncDecl:
			if isTest(x) {
				s.tests = append(s.tests, x.Name.Name)
			}
		case *ast.CompositeLit:
			note(x.Elts...)
		case *ast.KeyValueExpr:
			note(x.Key, x.Value)
		case *ast.CallExpr:
			if fun, ok := x.Fun.(*ast.SelectorExpr); ok && fun.Sel.Name == "Run" && len(x.Args) > 0 {
				note(x.Args[0])
			}
		}
		return true
	})
	return nil
}

// isTest reports whether go test runs the function.
func isTest(f *ast.FuncDecl) bool {
	kind := ""
	for _, k := range []string{"Test", "Fuzz"} {
		if strings.HasPrefix(f.Name.Name, k) {
			kind = k[:1]
		}
	}
	if kind == "" || f.Recv != nil || len(f.Type.Params.List) != 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := star.X.(*ast.SelectorExpr)
	return ok && of.Sel.Name == kind
}

// testsOfTheModule returns the parts that each test may have, by
// package.TestName. Those of a store include its conformance suite.
func testsOfTheModule(t *testing.T) map[string]parts {
	t.Helper()
	sources := make(map[string]*source) // by package
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() != ".." && d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		suite := strings.HasPrefix(path, "../internal/test/storetest/") && strings.HasSuffix(path, ".go")
		if !suite && !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		dir := path[:strings.LastIndexByte(path, '/')]
		name := dir[strings.LastIndexByte(dir, '/')+1:]
		if name == ".." {
			name = "amtp"
		}
		s := sources[name]
		if s == nil {
			s = &source{dir: dir, parts: make(parts)}
			sources[name] = s
		}
		if s.dir != dir {
			t.Fatalf("two packages are called %s: %s and %s", name, s.dir, dir)
		}
		return s.read(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]parts)
	for name, s := range sources {
		if slices.Contains([]string{"sqlite", "postgres"}, name) {
			maps.Copy(s.parts, sources["storetest"].parts)
		}
		for _, test := range s.tests {
			tests[name+"."+test] = s.parts
		}
	}
	return tests
}

// TestJudge: the page cannot pass by accident.
func TestJudge(t *testing.T) {
	tests := map[string]parts{"amtp.TestA": nil, "sqlite.TestStore": {"Accept": true, "keeps_bytes": true}}
	for _, c := range []struct{ does, shown, want string }{
		{"does it", "`amtp.TestA`", ""},
		{"does it", "`amtp.TestA`, `sqlite.TestStore/Accept`, `sqlite.TestStore/Accept/keeps bytes`", ""},
		{"does it", "`sqlite.TestStore/Accept/keeps_bytes`", ""},
		{"not yet", "not yet", ""},
		{"does it", "", "says nothing"},
		{"does it", "by hand", "has no test"},
		{"does it", "not yet", "half done"},
		{"not yet", "`amtp.TestA`", "half done"},
		{"does it", "`amtp.TestB`", "no such test"},
		{"does it", "`TestA`", "no such test"},
		{"does it", "`amtp.TestA`, and more", "names only"},
		{"does it", "`sqlite.TestStore/Ack`", "no part"},
		{"does it", "`sqlite.TestStore/Accept/keeps nothing`", "no part"},
		{"does it", "`e2e/no_story`", "no such story"},
	} {
		got := strings.Join(judge(c.does, c.shown, tests), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("judge(%q, %q) = %q, want %q", c.does, c.shown, got, c.want)
		}
	}
}

// TestSourceOfTests: what is no test, and what is no name of a part, is not
// taken for one.
func TestSourceOfTests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a_test.go")
	text := `package a
func TestA(t *testing.T) { t.Run("a part", nil); t.Errorf("no part"); _ = []string{"in a table"}; _ = map[string]int{"a key": 1} }
func FuzzB(f *testing.F) {}
func TestHelper(t *testing.T, more int) {}
func TestF(f *testing.F) {}
func (x *T) TestMethod(t *testing.T) {}
// func TestComment(t *testing.T) {}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &source{parts: make(parts)}
	if err := s.read(path); err != nil {
		t.Fatal(err)
	}
	if want := []string{"TestA", "FuzzB"}; !slices.Equal(s.tests, want) {
		t.Errorf("tests are %q, want %q", s.tests, want)
	}
	if got, want := slices.Sorted(maps.Keys(s.parts)), []string{"a_key", "a_part",
		"in_a_table"}; !slices.Equal(got, want) {
		t.Errorf("parts are %q, want %q", got, want)
	}
}

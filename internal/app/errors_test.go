package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// protocolErrors counts, for each package, the functions, methods and function types
// that return *amtp.Error. All others return error. At the border httpapi's call.fail
// turns it into an *amtp.Error once, with gateway.Refusal. A nil *amtp.Error that
// becomes an error is not nil, and no compiler reports that. These numbers may only
// fall.
var protocolErrors = map[string]int{
	"access":    2,  // about and later add members to a refusal that they are given
	"discovery": 1,  // the interface of limits
	"gateway":   1,  // Refusal, which makes an *amtp.Error of an error
	"httpapi":   1,  // tooLarge makes a refusal, and two callers change its text
	"intake":    3,  // the two methods of limits, and refusal, to whose result a caller adds
	"limits":    11, // intake compares the times of refusals and adds their results
	"peering":   1,  // the refusal is part of another gateway's answer, beside an error
}

// TestErrorsInside: a protocol error is made where the gateway refuses something, and
// travels as error from there to the border.
func TestErrorsInside(t *testing.T) {
	counts := map[string]int{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		room := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(name)), "../")
		ast.Inspect(file, func(n ast.Node) bool {
			of, ok := n.(*ast.FuncType)
			if !ok || of.Results == nil {
				return true
			}
			for _, r := range of.Results.List {
				if star, ok := r.Type.(*ast.StarExpr); ok && isError(star.X) {
					counts[room]++
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room, n := range counts {
		if n != protocolErrors[room] {
			t.Errorf("%d functions of %s return *amtp.Error, the table says %d: return error, or lower the number", n,
				room,
				protocolErrors[room])
		}
	}
	for room := range protocolErrors {
		if counts[room] == 0 {
			t.Errorf("no function of %s returns *amtp.Error: take it out of the table", room)
		}
	}
}

func isError(x ast.Expr) bool {
	s, ok := x.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != "Error" {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	return ok && id.Name == "amtp"
}

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
	"access":    27,
	"agent":     26,
	"automail":  2,
	"courier":   1,
	"discovery": 1,
	"gateway":   3,
	"httpapi":   12,
	"intake":    15,
	"invite":    7,
	"limits":    11,
	"operator":  4,
	"peering":   1,
	"receipt":   1,
	"remote":    10,
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

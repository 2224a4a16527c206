package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// uncontained lists the goroutines of a gateway in which a panic may end the process,
// by file, with the reason. Either such a goroutine runs no single piece of work, or
// each piece of work inside it is contained.
var uncontained = map[string]string{
	"app/app.go":                 "keep contains each part",
	"app/locallistener.go":       "net/http contains each request",
	"coalesce/coalesce.go":       "moves bytes from memory to a connection, and nothing else",
	"queue/workers.go":           "each job is contained, see Queue.contained",
	"courier/remote.go":          "journey.contained",
	"receipt/receipt.go":         "Sender.contained",
	"defect/defect.go":           "Aside contains its work, and panics again where that is contained",
	"discovery/memory.go":        "memory.contained",
	"held/held.go":               "serve contains each request; watch reads a byte, and nothing else",
	"lease/lease.go":             "Terms.hold contains each renewal",
	"store/sqlite/check.go":      "part of the command amtp check, which is no gateway",
	"store/sqlite/sqlite.go":     "Store.keep, and the batcher and the checkpointer contain each batch",
	"store/postgres/postgres.go": "Store.keep, and the batchers contain each batch",
}

// TestGoroutinesAreContained: a goroutine that does one of many pieces of work does it
// under defect.Contain or defect.Keep. Others must be in the table above.
func TestGoroutinesAreContained(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		short := strings.TrimPrefix(filepath.ToSlash(name), "../")
		room, _, _ := strings.Cut(short, "/")
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			slices.Contains([]string{"cli", "test", "openapi"}, room) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call := begins(n)
			if call == nil || contained(call) {
				return true
			}
			if seen[short] = true; uncontained[short] == "" {
				t.Errorf("%s begins a goroutine without defect.Contain or defect.Keep, and the table does not say why",
					short)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, why := range uncontained {
		if why != "" && !seen[name] {
			t.Errorf("%s is in the table but begins no such goroutine", name)
		}
	}
}

// begins returns the call with which a goroutine begins: of a go statement, or of a
// WaitGroup's method Go.
func begins(n ast.Node) *ast.CallExpr {
	switch n := n.(type) {
	case *ast.GoStmt:
		return n.Call
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Go" && len(n.Args) == 1 {
			return n
		}
	}
	return nil
}

// contained reports whether a call contains one of defect's functions.
func contained(call *ast.CallExpr) (is bool) {
	ast.Inspect(call, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if of, ok := s.X.(*ast.Ident); ok && of.Name == "defect" {
				is = true
			}
		}
		return !is
	})
	return is
}

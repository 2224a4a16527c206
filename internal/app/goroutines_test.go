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

// uncontained are the goroutines of a gateway in which a panic may end the process,
// by file and by what they run, and why: they run no piece of work, or the work is
// contained one by one inside of it.
var uncontained = map[string]string{
	"app/app.go":                 "keep contains each part",
	"app/nearby.go":              "net/http contains each request",
	"coalesce/coalesce.go":       "moves bytes from memory to a connection, and nothing else",
	"queue/workers.go":           "what it is given contains itself, see Queue.contained",
	"courier/remote.go":          "journey.contained",
	"receipt/receipt.go":         "Sender.contained",
	"discovery/memory.go":        "memory.contained",
	"certificate/lock.go":        "locks.renew contains each renewal",
	"store/sqlite/check.go":      "of the command amtp check, which is no gateway",
	"store/sqlite/sqlite.go":     "Store.keep, and the batcher and the checkpointer contain each batch",
	"store/postgres/postgres.go": "Store.keep, and the batchers contain each batch",
}

// TestGoroutinesAreContained: a goroutine that does one piece of work of many does
// it under defect.Contain or defect.Keep. One without stands in the table above.
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
				t.Errorf("%s begins a goroutine that neither defect.Contain nor defect.Keep is in, and the table does not say why",
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
			t.Errorf("%s is in the table and begins no such goroutine", name)
		}
	}
}

// begins returns the call that a goroutine begins with: of the statement go, or of
// the method Go of a WaitGroup.
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

// contained reports whether a call has one of defect's functions in it.
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

package access_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// TestAdminKeysAreComparedInConstantTime reads the code. Only one function uses the
// configured keys. It compares all of them, each with subtle.ConstantTimeCompare, and
// does not leave its loop early. Agents' keys are never compared: their hash is looked
// up.
func TestAdminKeysAreComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "access.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	touched, compares := 0, 0
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && selects(s, "d", "Admin") {
				if touched++; f.Name.Name != "isAdmin" {
					t.Errorf("func %s uses the admin keys, want only isAdmin", f.Name.Name)
				}
			}
			if loop, ok := n.(*ast.RangeStmt); ok && f.Name.Name == "isAdmin" {
				compares += inspectLoop(t, loop)
			}
			return true
		})
	}
	if touched != 1 || compares != 1 {
		t.Errorf("isAdmin uses the keys %d times and compares %d times in its loop, want 1 and 1", touched, compares)
	}
}

func inspectLoop(t *testing.T, loop *ast.RangeStmt) (compares int) {
	ast.Inspect(loop.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt, *ast.BranchStmt, *ast.IfStmt:
			t.Error("the loop over the admin keys does not compare all of them")
		case *ast.BinaryExpr:
			t.Errorf("the loop over the admin keys compares with %v", n.Op)
		case *ast.SelectorExpr:
			if selects(n, "subtle", "ConstantTimeCompare") {
				compares++
			}
		}
		return true
	})
	return compares
}

func selects(s *ast.SelectorExpr, of, name string) bool {
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == of && s.Sel.Name == name
}

// Command sizes prints the files and functions of this module that are longer
// than we like, and fails where one is longer than we accept. The first number
// is a fence, the second a wall.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	fileFence, fileWall = 400, 600 // lines
	funcFence, funcWall = 60, 100  // lines
)

func main() {
	walls := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		n, err := measure(path)
		walls += n
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "sizes:", err)
		os.Exit(1)
	}
	if walls > 0 {
		os.Exit(1)
	}
}

// measure prints what is over in one file and returns how many walls it broke.
func measure(path string) (walls int, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return 0, err
	}
	over := func(what string, lines, fence, wall int) {
		if lines > fence {
			fmt.Printf("%s: %s has %d lines (fence %d, wall %d)\n", path, what, lines, fence, wall)
		}
		if lines > wall {
			walls++
		}
	}
	over("the file", set.Position(file.End()).Line, fileFence, fileWall)
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			lines := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1
			over("func "+f.Name.Name, lines, funcFence, funcWall)
		}
	}
	return walls, nil
}

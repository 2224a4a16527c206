// Command sizes prints the files and functions of this module that are longer than the
// fence, and fails if one is longer than the wall. It also fails if a line of Go is too
// wide, or if a page is not wrapped.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/amtp-go/amtp/internal/markdown"
)

const (
	fileFence, fileWall = 400, 600 // lines
	funcFence, funcWall = 60, 100  // lines
	columns             = 120      // of a line of Go, in which a tab is four
)

func main() {
	walls := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
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

// measure prints what exceeds a limit in one file, and returns how many walls were broken.
func measure(path string) (walls int, err error) {
	extension := filepath.Ext(path)
	if extension != ".go" && extension != ".md" {
		return 0, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if extension == ".md" {
		if string(content) == markdown.Wrap(string(content)) {
			return 0, nil
		}
		fmt.Printf("%s: the page is not wrapped at %d columns: make pages\n", path, markdown.Width)
		return 1, nil
	}
	for _, line := range wide(content) {
		fmt.Printf("%s:%d: the line has more than %d columns\n", path, line, columns)
		walls++
	}
	if strings.HasSuffix(path, "_test.go") {
		return walls, nil
	}
	n, err := long(path, content)
	return walls + n, err
}

// long prints the lengths of the file and of its functions that exceed a limit.
func long(path string, content []byte) (walls int, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, content, parser.SkipObjectResolution)
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

// wide returns the numbers of the lines that are too wide. A string is not split, so that
// its text can be searched for: a line may be wider because of it.
func wide(content []byte) []int {
	excused := excused(content)
	var list []int
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line)+3*strings.Count(line, "\t") > columns && !excused[number] {
			list = append(list, number)
		}
	}
	return list
}

// excused returns the lines that are wide because of a string: a line on which a string
// passes the limit, and all lines of a string that has several.
func excused(content []byte) map[int]bool {
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(content))
	var s scanner.Scanner
	s.Init(file, content, nil, scanner.ScanComments)
	lines := make(map[int]bool)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if tok != token.STRING {
			continue
		}
		first := file.Position(pos)
		before := string(content[first.Offset-first.Column+1 : first.Offset])
		head, _, several := strings.Cut(text, "\n")
		end := utf8.RuneCountInString(before+head) + 3*strings.Count(before, "\t")
		if several || end+len(`")},`) > columns { // with the closing brackets after it
			for i := range strings.Count(text, "\n") + 1 {
				lines[first.Line+i] = true
			}
		}
	}
}

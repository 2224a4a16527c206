package cli

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// errorText is one text of an error as it stands in the source, with … for what
// is filled in.
type errorText struct {
	pkg  string // its directory, "" for the module's root
	by   string // the function that makes the error of it
	code string // what names the error's class there: CodeConflict, codeUsage, …; "" when nothing does
	text string
	hint string // what stands beside it as the next step; "" for nothing
}

// maker is a function that makes an error of a text it is given.
type maker struct {
	text int    // which argument the text is
	code string // the code of all its errors; "" when the caller says it
}

type makerName struct{ pkg, name string }

// sources are the program's files, and what is known about them.
type sources struct {
	set    *token.FileSet
	files  map[string][]*ast.File // by directory
	makers map[makerName]maker
	consts map[makerName]string // texts that have a name
}

// notTheProgram are directories whose errors no user meets.
var notTheProgram = []string{"bench", "tools", "e2e", "docs", "examples", "internal/test", "internal/openapi/replay"}

const moduleRoot = "../.."

// profilePackage makes errors that commands show as their own, with codes that the command
// line has under the same names in small letters.
const profilePackage = "internal/profile"

// saysCommand reports whether an error of the package is one of a command.
func saysCommand(pkg string) bool { return pkg == "internal/cli" || pkg == profilePackage }

// ownCode names a code of package profile as the command line does.
func (s *sources) ownCode(pkg, name string) string {
	if _, own := s.consts[makerName{profilePackage, name}]; own && pkg == profilePackage {
		return "c" + strings.TrimPrefix(name, "C")
	}
	return name
}

func readSources(t *testing.T) *sources {
	t.Helper()
	s := &sources{set: token.NewFileSet(), files: map[string][]*ast.File{}, consts: map[makerName]string{},
		makers: map[makerName]maker{
			{"fmt", "Errorf"}: {text: 0}, {"errors", "New"}: {text: 0}, {"", "Errorf"}: {text: 1},
			{"", "invalid"}:                 {text: 1, code: "CodeInvalidMessage"},
			{"internal/peering", "invalid"}: {text: 0, code: "CodeInvalidRequest"},
			{"internal/intake", "refuse"}:   {text: 1}, {"internal/config", "refuse"}: {text: 1, code: "codeUsage"},
			{"internal/config", "problem"}: {text: 1, code: "codeUsage"},
			{profilePackage, "Missing"}:    {text: 1, code: "codeNotSetUp"},
		}}
	err := filepath.WalkDir(moduleRoot, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(moduleRoot, path) // both are relative
		rel = filepath.ToSlash(rel)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains(notTheProgram, rel) || d.Name() == "testdata" ||
			rel != "." && d.Name()[0] == '.'):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(s.set, path, nil, parser.SkipObjectResolution)
		dir := strings.TrimPrefix(strings.TrimPrefix(rel[:strings.LastIndexByte("/"+rel, '/')], "."), "/")
		dir = strings.TrimSuffix(dir, "/")
		s.files[dir] = append(s.files[dir], f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.findConsts()
	s.findConsts() // those that are another package's
	for more := true; more; {
		more = s.findMakers()
	}
	return s
}

func (s *sources) findConsts() {
	s.each(func(pkg string, n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return
		}
		for i, name := range spec.Names {
			if i < len(spec.Values) {
				switch value := spec.Values[i].(type) {
				case *ast.BasicLit:
					if value.Kind == token.STRING {
						s.consts[makerName{pkg, name.Name}], _ = strconv.Unquote(value.Value)
					}
				case *ast.SelectorExpr: // of package profile
					if text, ok := s.consts[makerName{profilePackage, value.Sel.Name}]; ok && nameOf(value.X) == "profile" {
						s.consts[makerName{pkg, name.Name}] = text
					}
				}
			}
		}
	})
}

// each visits every node of every file.
func (s *sources) each(visit func(pkg string, n ast.Node)) {
	for _, pkg := range slices.Sorted(maps.Keys(s.files)) {
		for _, f := range s.files[pkg] {
			ast.Inspect(f, func(n ast.Node) bool {
				if n != nil {
					visit(pkg, n)
				}
				return true
			})
		}
	}
}

// function is a declaration, or a literal that has a name.
type function struct {
	name   string
	params *ast.FieldList
	body   *ast.BlockStmt
}

func functionOf(n ast.Node) (f function, ok bool) {
	switch x := n.(type) {
	case *ast.FuncDecl:
		return function{x.Name.Name, x.Type.Params, x.Body}, x.Body != nil
	case *ast.AssignStmt:
		if len(x.Lhs) != 1 || len(x.Rhs) != 1 {
			return f, false
		}
		name, isName := x.Lhs[0].(*ast.Ident)
		lit, isFunc := x.Rhs[0].(*ast.FuncLit)
		if isName && isFunc {
			return function{name.Name, lit.Type.Params, lit.Body}, true
		}
	}
	return f, false
}

// findMakers looks for functions that give a text of their caller to a maker,
// and reports whether it found a new one.
func (s *sources) findMakers() (found bool) {
	s.each(func(pkg string, n ast.Node) {
		f, ok := functionOf(n)
		if !ok {
			return
		}
		if _, known := s.makers[makerName{pkg, f.name}]; known {
			return
		}
		params, i := map[string]int{}, 0
		for _, field := range f.params.List {
			for _, name := range field.Names {
				if kind, ok := field.Type.(*ast.Ident); ok && kind.Name == "string" {
					params[name.Name] = i
				}
				i++
			}
		}
		ast.Inspect(f.body, func(n ast.Node) bool {
			e, code, _, _ := s.made(pkg, n)
			for _, e := range e {
				if call, ok := e.(*ast.CallExpr); ok && nameOf(call.Fun) == "Sprintf" {
					e = call.Args[0]
				}
				if at, ok := params[nameOf(e)]; ok {
					s.makers[makerName{pkg, f.name}], found = maker{at, code}, true
				}
			}
			return true
		})
	})
	return found
}

// made returns what a node makes an error of: nothing, a text, or, where the
// text is but a place for another, the arguments.
func (s *sources) made(pkg string, n ast.Node) (texts []ast.Expr, code string, hint ast.Expr, by string) {
	switch x := n.(type) {
	case *ast.CallExpr:
		m, name, ok := s.maker(pkg, x.Fun)
		if !ok || m.text >= len(x.Args) {
			return nil, "", nil, ""
		}
		texts = []ast.Expr{x.Args[m.text]}
		if lit, ok := texts[0].(*ast.BasicLit); ok && strings.Trim(lit.Value, `"%vs`) == "" {
			texts = append(texts, x.Args[m.text+1:]...)
		}
		return texts, cmp.Or(m.code, codeAmong(x.Args)), nil, name
	case *ast.CompositeLit:
		if kind, ok := x.Type.(*ast.Ident); ok && kind.Name != "failure" && kind.Name != "Error" {
			return nil, "", nil, ""
		}
		if kind, ok := x.Type.(*ast.SelectorExpr); ok && kind.Sel.Name != "Error" {
			return nil, "", nil, ""
		}
		for _, e := range x.Elts {
			pair, _ := e.(*ast.KeyValueExpr)
			if pair == nil {
				continue
			}
			switch key, _ := pair.Key.(*ast.Ident); {
			case key == nil:
			case key.Name == "message" || key.Name == "Message" || key.Name == "Reason":
				texts = append(texts, pair.Value)
			case key.Name == "code" || key.Name == "Code":
				code = s.ownCode(pkg, codeName(pair.Value))
			case key.Name == "hint" || key.Name == "Hint":
				hint = pair.Value
			}
		}
		return texts, code, hint, ""
	case *ast.AssignStmt:
		if target, ok := x.Lhs[0].(*ast.SelectorExpr); ok && len(x.Lhs) == 1 && target.Sel.Name == "Message" {
			return x.Rhs, "CodeUnknown", nil, "" // of an answer that is not the protocol's
		}
	case *ast.FuncDecl:
		if x.Name.Name == "Error" && x.Recv != nil {
			if r, ok := x.Body.List[0].(*ast.ReturnStmt); ok {
				return r.Results, "", nil, ""
			}
		}
	}
	return nil, "", nil, ""
}

func (s *sources) maker(pkg string, fun ast.Expr) (maker, string, bool) {
	from, name := pkg, nameOf(fun)
	if sel, ok := fun.(*ast.SelectorExpr); ok {
		switch x, _ := sel.X.(*ast.Ident); {
		case x == nil:
		case x.Name == "amtp":
			from = ""
		case x.Name == "profile":
			from = profilePackage
		case x.Name == "fmt" || x.Name == "errors":
			from = x.Name
		}
	}
	m, ok := s.makers[makerName{from, name}]
	return m, name, ok
}

func nameOf(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// codeName names what an error's code is: a constant, or the code itself.
func codeName(e ast.Expr) string {
	if lit, ok := e.(*ast.BasicLit); ok {
		text, _ := strconv.Unquote(lit.Value)
		return "code" + text
	}
	return nameOf(e)
}

var isCode = regexp.MustCompile(`^[cC]ode[A-Z]`)

func codeAmong(args []ast.Expr) string {
	for _, a := range args {
		if name := nameOf(a); isCode.MatchString(name) {
			return name
		}
	}
	return ""
}

// texts returns every text of an error in the program, each once.
func (s *sources) texts() []errorText {
	var list []errorText
	s.each(func(pkg string, n ast.Node) {
		switch n.(type) {
		case *ast.FuncDecl, *ast.GenDecl:
		default:
			return
		}
		ast.Inspect(n, func(inner ast.Node) bool {
			exprs, code, hint, by := s.made(pkg, inner)
			for _, e := range exprs {
				for _, text := range s.resolve(pkg, n, e) {
					if strings.ContainsFunc(text, unicode.IsLetter) {
						list = append(list, errorText{pkg, by, code, text, s.plain(pkg, hint)})
					}
				}
			}
			return true
		})
	})
	slices.SortFunc(list, func(a, b errorText) int {
		return cmp.Or(strings.Compare(a.pkg, b.pkg), strings.Compare(a.code, b.code), strings.Compare(a.text, b.text),
			strings.Compare(b.hint, a.hint))
	})
	return slices.CompactFunc(list, func(a, b errorText) bool {
		return a.pkg == b.pkg && a.code == b.code && a.text == b.text
	})
}

// resolve returns the texts that an expression in a declaration can stand for:
// a variable for what it is given there, a call for what the function returns.
func (s *sources) resolve(pkg string, in ast.Node, e ast.Expr) (texts []string) {
	switch x := e.(type) {
	case *ast.Ident:
		if _, ok := s.consts[makerName{pkg, x.Name}]; ok {
			break
		}
		ast.Inspect(in, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 && nameOf(a.Lhs[0]) == x.Name {
				if _, again := a.Rhs[0].(*ast.Ident); !again {
					texts = append(texts, s.resolve(pkg, in, a.Rhs[0])...)
				}
			}
			return true
		})
		return texts
	case *ast.CallExpr:
		if s.plain(pkg, e) == "…" && nameOf(x.Fun) != "Error" {
			return s.returned(pkg, nameOf(x.Fun))
		}
	}
	return []string{s.plain(pkg, e)}
}

// returned returns the texts that a function of the package returns, when a
// text is all it returns.
func (s *sources) returned(pkg, name string) (texts []string) {
	for _, file := range s.files[pkg] {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != name || f.Type.Results == nil || len(f.Type.Results.List) != 1 ||
				nameOf(f.Type.Results.List[0].Type) != "string" {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if r, ok := n.(*ast.ReturnStmt); ok {
					texts = append(texts, s.plain(pkg, r.Results[0]))
				}
				return true
			})
		}
	}
	return texts
}

var (
	verb  = regexp.MustCompile(`%[-+# 0-9.\[\]]*[a-zA-Z]`)
	gaps  = regexp.MustCompile(`…(…)+`)
	quote = regexp.MustCompile(`"…"`)
)

// plain writes an expression with … for all that is known only at run time.
func (s *sources) plain(pkg string, e ast.Expr) string {
	text := "…"
	switch x := e.(type) {
	case nil:
		return ""
	case *ast.BasicLit:
		text, _ = strconv.Unquote(x.Value)
	case *ast.BinaryExpr:
		text = s.plain(pkg, x.X) + s.plain(pkg, x.Y)
	case *ast.Ident:
		if named, ok := s.consts[makerName{pkg, x.Name}]; ok {
			text = named
		}
	case *ast.CallExpr:
		if nameOf(x.Fun) == "Sprintf" {
			text = s.plain(pkg, x.Args[0])
		}
	}
	return quote.ReplaceAllString(gaps.ReplaceAllString(verb.ReplaceAllString(text, "…"), "…"), "…")
}

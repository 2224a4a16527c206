// Package docs_test holds the pages to what they say: every statement of the
// protocol has its tests, and every link leads somewhere.
package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const notYet = "not yet"

// sections is how many the protocol has.
const sections = 12

var numbered = regexp.MustCompile(`^§(\d+)\.(\d+)$`)

// TestConformance reads conformance.md: statements are numbered without a gap,
// and each has tests that exist, or is not yet done and has none.
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
func judge(does, shown string, tests map[string]string) (complaints []string) {
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
func missing(name string, tests map[string]string) string {
	if story, ok := strings.CutPrefix(name, "e2e/"); ok {
		if _, err := os.Stat("../e2e/testdata/" + story + ".txtar"); err != nil {
			return "there is no such story"
		}
		return ""
	}
	test, inner, _ := strings.Cut(name, "/")
	source, ok := tests[test]
	if !ok {
		return "there is no such test"
	}
	if inner == "" {
		return ""
	}
	group, sentence, _ := strings.Cut(inner, "/")
	for _, part := range []string{group, sentence} {
		if part != "" && !strings.Contains(source, `{"`+part+`", `) {
			return fmt.Sprintf("it has no part %q", part)
		}
	}
	return ""
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(\w+ \*testing\.[TF]\)`)

// testsOfTheModule returns the source in which each test stands, by
// package.TestName. Those of a store include its conformance suite.
func testsOfTheModule(t *testing.T) map[string]string {
	t.Helper()
	sources := make(map[string]string) // by package
	from := make(map[string]string)    // by package: its directory
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() != ".." && d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		suite := strings.HasPrefix(path, "../internal/store/storetest/") && strings.HasSuffix(path, ".go")
		if !suite && !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		dir := path[:strings.LastIndexByte(path, '/')]
		name := dir[strings.LastIndexByte(dir, '/')+1:]
		if name == ".." {
			name = "amtp"
		}
		if other := from[name]; other != "" && other != dir {
			t.Fatalf("two packages are called %s: %s and %s", name, other, dir)
		}
		from[name] = dir
		sources[name] += string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := make(map[string]string)
	for name, source := range sources {
		whole := source
		if slices.Contains([]string{"sqlite", "postgres"}, name) {
			whole += sources["storetest"]
		}
		for _, m := range testFunc.FindAllStringSubmatch(source, -1) {
			tests[name+"."+m[1]] = whole
		}
	}
	return tests
}

// TestJudge: the page cannot pass by accident.
func TestJudge(t *testing.T) {
	tests := map[string]string{"amtp.TestA": "", "sqlite.TestStore": `{"Accept", accepting()}, {"keeps bytes", x}`}
	for _, c := range []struct{ does, shown, want string }{
		{"does it", "`amtp.TestA`", ""},
		{"does it", "`amtp.TestA`, `sqlite.TestStore/Accept`, `sqlite.TestStore/Accept/keeps bytes`", ""},
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

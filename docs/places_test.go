package docs_test

import (
	"flag"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of places in tour.md anew")

// places is the part of tour.md that is made from the comments of the packages.
var places = regexp.MustCompile(`(?s)(<!-- places: [^\n]*-->\n).*?(<!-- end -->)`)

// TestPlaces: the tour's table has every package, with the first sentence of its
// comment.
func TestPlaces(t *testing.T) {
	const page, module = "tour.md", "github.com/amtp-go/amtp"
	list, err := exec.Command("go", "list", "-f", "{{if .GoFiles}}{{.ImportPath}}\t{{.Doc}}{{end}}",
		module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var rows strings.Builder
	rows.WriteString("| | |\n|---|---|\n")
	packages := 0
	for line := range strings.Lines(string(list)) {
		path, doc, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		if path == "" { // tests only
			continue
		}
		if doc == "" {
			t.Errorf("package %s has no comment", name)
		}
		words := strings.Fields(doc)
		if len(words) > 2 && (words[0] == "Package" || words[0] == "Command") {
			words = words[2:]
		}
		if name == "" {
			name = "."
		}
		packages++
		rows.WriteString("| [" + name + "](../" + name + ") | " + strings.TrimSuffix(strings.Join(words, " "),
			".") + " |\n")
	}
	if packages < 40 {
		t.Errorf("%d packages have a comment, want 40 or more: are they not found?", packages)
	}
	before, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	after := places.ReplaceAllString(string(before), "${1}"+strings.ReplaceAll(rows.String(), "$", "$$")+"${2}")
	switch {
	case !places.Match(before):
		t.Errorf("%s has no place for the table", page)
	case after == string(before):
	case *update:
		if err := os.WriteFile(page, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not show the packages as they are: go test ./docs -run TestPlaces -update", page)
	}
}

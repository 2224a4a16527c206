package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inTree finds a path of this repository in a code span.
var inTree = regexp.MustCompile(`\b(?:internal|cmd|tools|e2e|examples|skills|docs)/[\w./-]+`)

// notYetThere are paths that a page names and that come with the first release.
var notYetThere = map[string]bool{"internal/store/sqlite/testdata/releases": true}

// TestPathsAreReal: a file or directory of this repository that a page names in a code
// span exists. A package that moved takes its name on the pages along.
func TestPathsAreReal(t *testing.T) {
	looked := 0
	for name, page := range readPages(t) {
		if name == "docs/conformance.md" { // e2e/name is a story there: TestConformance looks for it
			continue
		}
		for _, span := range inCode.FindAllString(fence.ReplaceAllString(page, ""), -1) {
			for _, path := range inTree.FindAllString(span, -1) {
				looked++
				path = strings.TrimRight(path, "./-")
				if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(path))); err != nil && !notYetThere[path] {
					t.Errorf("%s names %s, which does not exist", name, path)
				}
			}
		}
	}
	if looked < 20 {
		t.Errorf("looked for %d paths, want 20 or more: are they not found any more?", looked)
	}
}

package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	inCode  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+?)\s*$`)
	noLabel = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks follows every relative link of every page, to a file or directory
// of this repository and to the heading that it names.
func TestLinks(t *testing.T) {
	pages := readPages(t)
	followed := 0
	for name, page := range pages {
		for _, l := range link.FindAllStringSubmatch(inCode.ReplaceAllString(fence.ReplaceAllString(page,
			""), ""), -1) {
			if strings.Contains(l[1], "://") || strings.HasPrefix(l[1], "mailto:") {
				continue
			}
			followed++
			if why := broken(name, l[1], pages); why != "" {
				t.Errorf("%s links to %q: %s", name, l[1], why)
			}
		}
	}
	if len(pages) < 15 || followed < 100 {
		t.Errorf("followed %d links on %d pages, want 100 or more on 15 or more: are they not found any more?",
			followed, len(pages))
	}
}

// TestEveryPageIsFound: from the README every page of docs can be reached.
func TestEveryPageIsFound(t *testing.T) {
	pages := readPages(t)
	seen := map[string]bool{"README.md": true}
	for queue := []string{"README.md"}; len(queue) > 0; queue = queue[1:] {
		for _, l := range link.FindAllStringSubmatch(pages[queue[0]], -1) {
			target, _, _ := strings.Cut(l[1], "#")
			target = path.Join(path.Dir(queue[0]), target)
			if _, isPage := pages[target]; !isPage {
				target = path.Join(target, "README.md")
			}
			if _, isPage := pages[target]; isPage && !seen[target] {
				seen[target] = true
				queue = append(queue, target)
			}
		}
	}
	for name := range pages {
		if !seen[name] && name != "SKILL.md" { // a copy of skills/amtp/SKILL.md
			t.Errorf("%s cannot be reached from README.md: link to it, for example in docs/README.md", name)
		}
	}
}

// readPages returns the Markdown files of the repository by their names.
func readPages(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "dist" || d.Name() != ".." && d.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".md") {
			return nil
		}
		b, err := os.ReadFile(name)
		pages[strings.TrimPrefix(filepath.ToSlash(name), "../")] = strings.ReplaceAll(string(b), "\r\n", "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// broken says why a link on a page leads nowhere, "" when it does.
func broken(page, target string, pages map[string]string) string {
	file, anchor, hasAnchor := strings.Cut(target, "#")
	if file == "" {
		file = page
	} else {
		file = path.Join(path.Dir(page), file)
	}
	if strings.HasPrefix(file, "../") || strings.HasPrefix(target, "/") {
		return "it leads out of the repository"
	}
	if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(file))); err != nil {
		return "there is no such file"
	}
	if !hasAnchor {
		return ""
	}
	if !labels(pages[file])[anchor] {
		return "the page has no such heading"
	}
	return ""
}

// labels returns the anchors of a page. It remembers them by the page's text: hundreds
// of links lead to the same page.
func labels(page string) map[string]bool {
	if known, ok := labelled.Load(page); ok {
		return known.(map[string]bool)
	}
	list := make(map[string]bool)
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		list[label(h[1])] = true
	}
	labelled.Store(page, list)
	return list
}

var labelled sync.Map // a page's text → its anchors

// label is the anchor that GitHub makes of a heading.
func label(heading string) string {
	return strings.ReplaceAll(noLabel.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// TestBroken: the checker finds what it is for.
func TestBroken(t *testing.T) {
	pages := map[string]string{"docs/operations.md": "# Operating a gateway\n\n## A full disk\n\n```\n# no heading\n```\n"}
	for target, want := range map[string]string{
		"../README.md": "", "conformance.md": "", "operations.md#a-full-disk": "", "#a-full-disk": "", "decisions": "",
		"nothing.md": "no such file", "operations.md#no-heading": "no such heading", "#nothing": "no such heading",
		"../../etc/passwd": "out of the repository", "/etc/passwd": "out of the repository",
	} {
		if got := broken("docs/operations.md", target, pages); (got == "") != (want == "") ||
			!strings.Contains(got, want) {
			t.Errorf("a link from docs/operations.md to %q: got %q, want %q", target, got, want)
		}
	}
}

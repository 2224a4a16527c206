package markdown_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/markdown"
)

var long = strings.TrimSpace(strings.Repeat("word ", 30))

// TestWrap: what is filled, and what is left alone.
func TestWrap(t *testing.T) {
	twenty, ten := strings.TrimSpace(strings.Repeat("word ", 20)), strings.TrimSpace(strings.Repeat("word ", 10))
	for _, c := range []struct{ name, page, want string }{
		{"a paragraph", long + "\n", twenty + "\n" + ten + "\n"},
		{"short lines", "one\ntwo\n\nthree\n", "one two\n\nthree\n"},
		{"an item", "- one\n  two\n- three\n", "- one two\n- three\n"},
		{"an item without an indent", "- one\ntwo\n", "- one two\n"},
		{"items in items", "1. one\n   - two\n     three\n\n   four\n   five\n", "1. one\n   - two three\n\n   four five\n"},
		{"code", "```\n" + long + "\n- a\n```\none\ntwo\n", "```\n" + long + "\n- a\n```\none two\n"},
		{"indented code", "one\n\n    " + long + "\n    b\n", "one\n\n    " + long + "\n    b\n"},
		{"a table", "| " + long + " |\n|---|\n| b |\n", "| " + long + " |\n|---|\n| b |\n"},
		{"a heading", "# one\ntwo\nthree\n", "# one\ntwo three\n"},
		{"front matter", "---\na: b\nc: d\n---\none\ntwo\n", "---\na: b\nc: d\n---\none two\n"},
		{"a hard break", "one  \ntwo\nthree\n", "one  \ntwo three\n"},
		{"a code span", strings.Repeat("word ", 19) + "`a b c` d\n", strings.TrimSpace(strings.Repeat("word ", 19)) +
			"\n`a b c` d\n"},
		{"a backquote alone", "a ` b\nc\n", "a ` b c\n"},
		{"no marker at the head of a line", twenty + " - word\n",
			strings.TrimSuffix(twenty, " word") + "\nword - word\n"},
		{"no number at the head of a line", twenty + " 7. word\n",
			strings.TrimSuffix(twenty, " word") + "\nword 7. word\n"},
		{"a number that begins no list", "with 022 and one with\n077. The target\nwas one\n",
			"with 022 and one with 077. The target was one\n"},
		{"a list after a paragraph", "one\n1. two\n2. three\n", "one\n1. two\n2. three\n"},
		{"where a link leads", "[a]: https://a.example\n[b]: https://b.example\n",
			"[a]: https://a.example\n[b]: https://b.example\n"},
		{"HTML", "<!-- a\nb -->\n", "<!-- a\nb -->\n"},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := markdown.Wrap(c.page)
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if again := markdown.Wrap(got); again != got {
				t.Errorf("a second time it is\n%s", again)
			}
		})
	}
}

func FuzzWrap(f *testing.F) {
	f.Add("- a `b\nc` d\n\n1. " + long)
	f.Fuzz(func(t *testing.T, page string) {
		fields := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		once := markdown.Wrap(page)
		if fields(once) != fields(page) {
			t.Errorf("%q became %q", page, once)
		}
	})
}

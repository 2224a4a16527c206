package render

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestFence: the sender's words are between two lines with a word that is new each time, so
// that no text contains it.
func TestFence(t *testing.T) {
	one, two := NewFence(), NewFence()
	if one == two || len(one) < 20 {
		t.Errorf("fences %q and %q, want two long words", one, two)
	}
	if got, want := Fence("W").Around("a\n"), "----- BEGIN W -----\na\n----- END W -----\n"; got != want {
		t.Errorf("Around = %q, want %q", got, want)
	}
}

// TestBeginning: the beginning has at most the given length and a line break, and cuts no
// character.
func TestBeginning(t *testing.T) {
	for _, tt := range []struct {
		content string
		most    int
		want    string
	}{
		{"", 4, ""}, {"abc\n", 4, "abc\n"}, {"abcde\n", 4, "abcd\n"}, {"abc\nde\n", 4, "abc\n"}, {"aä€x\n", 5, "aä\n"},
		{"€€\n", 1, "\n"},
	} {
		got := Beginning(tt.content, tt.most)
		if got != tt.want || !utf8.ValidString(got) {
			t.Errorf("Beginning(%q, %d) = %q, want %q", tt.content, tt.most, got, tt.want)
		}
	}
}

// TestTable: columns are below their heads, and no cell ends a line.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, [][]string{{"NAME", "STATE"}, {"a\nb", "new"}, {"long name", "x\x1b"}}); err != nil {
		t.Fatal(err)
	}
	want := "NAME       STATE\n" + `a\nb       new` + "\n" + `long name  x\u001b` + "\n"
	if b.String() != want {
		t.Errorf("Table writes\n%s\nwant\n%s", b.String(), want)
	}
	b.Reset()
	Labelled(&b, 5, "To:", "a\tb")
	Labelled(&b, 5, "Cc:", "")
	if got := b.String(); got != "  To:   a\\tb\n" || strings.Contains(got, "Cc") {
		t.Errorf("Labelled writes %q", got)
	}
}

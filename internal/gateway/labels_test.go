package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseLabel(t *testing.T) {
	long := strings.Repeat("a", MaxLabelLength)
	for in, want := range map[string]string{"done": "done", "To-Do": "to-do", "a/b_c.1": "a/b_c.1", long: long} {
		if got, err := ParseLabel(in); err != nil || got != want {
			t.Errorf("ParseLabel(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", long + "a", "a b", "a,b", "ä", "a\n", "+a", "\x00", "\x11", "\u212a"} {
		if got, err := ParseLabel(in); err == nil {
			t.Errorf("ParseLabel(%q) = %q, want an error", in, got)
		}
	}
}

func TestLabelChange(t *testing.T) {
	for _, c := range []struct{ have, add, remove, want string }{
		{"", "", "", ""}, {"", "b a b", "", "a b"}, {"a", "a", "", "a"}, {"a b", "c", "a", "b c"}, {"", "a", "a", ""},
		{"a", "", "x", "a"},
	} {
		got, err := LabelChange{strings.Fields(c.add), strings.Fields(c.remove)}.Apply(strings.Fields(c.have))
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: got %v, %v", c, got, err)
		}
	}
	var full []string
	for i := range MaxLabels {
		full = append(full, fmt.Sprintf("l%02d", i))
	}
	if _, err := (LabelChange{Add: []string{"x"}}).Apply(full); err != ErrLabels {
		t.Errorf("one more than the most: got %v, want ErrLabels", err)
	}
	if got, err := (LabelChange{[]string{"x"}, full[:1]}).Apply(full); err != nil || len(got) != MaxLabels {
		t.Errorf("one in place of another: got %d, %v", len(got), err)
	}
	if got, err := (LabelChange{Add: full}).Apply(nil); err != nil || !slices.Equal(got, full) {
		t.Errorf("the most: got %v, %v", got, err)
	}
}

package gateway

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                              nil,
		"Hello, World":                  {"hello", "world"},
		"e-mail_to: a.b@host.example":   {"e", "mail", "to", "a", "b", "host", "example"},
		"Über Café cafe\u0301 naïve":    {"uber", "cafe", "cafe", "naive"},
		"Straße ΣΊΣΥΦΟΣ":                {"straße", "σισυφοσ"},
		"東京 3日":                         {"東", "京", "3", "日"},
		"x\u0000y\u200bz":               {"x", "y", "z"},
		"ﬁne ｆｕｌｌ ２":                    {"fine", "full", "2"},
		strings.Repeat("a", 200) + " b": {strings.Repeat("a", MaxWord-utf8.UTFMax+1), "b"},
		"🎉":                             nil,
	} {
		if got := slices.Collect(Words(text)); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", text, got, want)
		}
	}
	for word := range Words("one two three") {
		if word != "one" {
			t.Errorf("Words goes on with %q after its reader ended", word)
		}
		break
	}
}

func TestParseQuery(t *testing.T) {
	for text, want := range map[string]Query{
		"one":               {{Words: []string{"one"}}},
		"  One TWO ":        {{Words: []string{"one"}}, {Words: []string{"two"}}},
		`"one two" three`:   {{Words: []string{"one", "two"}}, {Words: []string{"three"}}},
		`"one two"* thr*`:   {{Words: []string{"one", "two"}, Prefix: true}, {Words: []string{"thr"}, Prefix: true}},
		`one"two three`:     {{Words: []string{"one"}}, {Words: []string{"two", "three"}}},
		"e-mail":            {{Words: []string{"e", "mail"}}},
		"one ... & ( ) two": {{Words: []string{"one"}}, {Words: []string{"two"}}},
		"NOT a:b":           {{Words: []string{"not"}}, {Words: []string{"a", "b"}}},
	} {
		got, err := ParseQuery(text)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("ParseQuery(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": errNoWord, " ": errNoWord, "...": errNoWord, `""`: errNoWord, "*": errNoWord, `"`: errNoWord,
		strings.Repeat("a", MaxQuery+1):       errTooLong,
		strings.Repeat("a ", MaxQueryWords+1): errTooMany,
		strings.Repeat("東", MaxQueryWords+1):  errTooMany,
		"a\nb":                                errNotPlain, "a\xff": errNotPlain,
	} {
		if got, err := ParseQuery(text); err != want {
			t.Errorf("ParseQuery(%.20q) = %v, %v; want the error %q", text, got, err, want)
		}
	}
}

// FuzzParseQuery: any text is either refused or a bounded query whose words have only
// letters and digits, so that they mean nothing else to a database.
func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{"one", `"a b"* c`, "'&|!():*", "ﷺ", "a\u0301", "Ⅷ½"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := ParseQuery(text)
		if err != nil {
			return
		}
		words := 0
		for _, term := range q {
			for _, word := range term.Words {
				words++
				if word == "" || len(word) > MaxWord || !utf8.ValidString(word) ||
					strings.ContainsAny(word, "'\"\\*:&|!()<>^{}@%_-+ ") {
					t.Errorf("ParseQuery(%q) has the word %q", text, word)
				}
				if again := slices.Collect(Words(word)); len(again) != 1 || again[0] != word {
					t.Errorf("the word %q of %q has the words %q", word, text, again)
				}
			}
		}
		if words == 0 || words > MaxQueryWords {
			t.Errorf("ParseQuery(%q) has %d words", text, words)
		}
	})
}

package plaintext_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/plaintext"
)

func TestContent(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"plain", "a: ü\r\n", "a: ü\r\n"},
		{"nothing", "", ""},
		{"a byte order mark", "\xef\xbb\xbfa", "a"},
		{"a mark alone", "\xef\xbb\xbf", ""},
		{"UTF-16, low byte first", "\xff\xfea\x00\xfc\x00\x3d\xd8\x02\xde", "aü😂"},
		{"UTF-16, high byte first", "\xfe\xff\x00a\x00\xfc", "aü"},
		{"half a character", "\xff\xfea\x00b", "\xff\xfea\x00b"},
		{"a mark inside", "a\xef\xbb\xbf", "a\xef\xbb\xbf"},
	} {
		if got := string(plaintext.Content([]byte(c.file))); got != c.want {
			t.Errorf("%s: Content(%q) = %q, want %q", c.name, c.file, got, c.want)
		}
	}
}

func TestWord(t *testing.T) {
	const key = "amtp_Abc-_9"
	for _, around := range [][2]string{
		{"", ""}, {"", "\n"}, {"", "\r\n"}, {" ", "\t"}, {"\ufeff", "\n"}, {`"`, `"`}, {`'`, "'\n"},
		{"\ufeff\"", "\"\r\n"},
		{"\u200b", "\u200b"}, {"\u00a0", "\u00a0"}, {"\x00", "\x00"}, {`" `, "\n\""},
	} {
		if got := plaintext.Word(around[0] + key + around[1]); got != key {
			t.Errorf("Word = %q, want %q; it stands between %q and %q", got, key, around[0], around[1])
		}
	}
	for s, want := range map[string]string{`"a`: `"a`, `"`: `"`, `""`: "", `'a"`: `'a"`, "a b": "a b", "": ""} {
		if got := plaintext.Word(s); got != want {
			t.Errorf("Word(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestOdd(t *testing.T) {
	for key, want := range map[string]string{
		"": "", "amtp_Abc-_9": "", "!#$%&()*+,-./:;<=>?@[]^_`{|}~": "", "a\nb": "a line break", "a\rb": "a line break",
		"a b": "a space",
		`"a`:  "a quotation mark", "it's": "a quotation mark", "“a”": "a quotation mark", `a\nb`: "a backslash",
		"a\u200bb": "the character U+200B",
		"ä":        "the character U+00E4", "a\xffb": "a byte that is not UTF-8", "a\x00b": "the character U+0000",
		"\ufffd": "the character U+FFFD",
	} {
		if got := plaintext.Odd(key); got != want {
			t.Errorf("Odd(%q) = %q, want %q", key, got, want)
		}
	}
}

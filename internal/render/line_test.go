package render

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// oddLocals are local parts with which a stranger may attack a shell or a reader.
var oddLocals = []string{"`./build`", "$_", "${HOME}", "a|b", "a&b", "~root", "*", "-x", "--to", "!!", "a'b", "?",
	"{a}", "#", "=ls", "+x", "^a", "%a", "a/b"}

// TestAStrangersAddressIsNoCommand: the shown form of an address has no character that a
// shell would act on in any kind of quotes. As a whole it is not an address.
func TestAStrangersAddressIsNoCommand(t *testing.T) {
	for _, local := range oddLocals {
		a, err := amtp.ParseAddress(local + "@evil.example")
		if err != nil {
			t.Fatalf("%s: %v", local, err)
		}
		shown := Address(a)
		if strings.ContainsAny(shown, "`$|&~*!'?{}#^%/ ;<>()") || strings.HasPrefix(shown, "-") ||
			strings.HasPrefix(shown, "=") {
			t.Errorf("%s is shown as %s", local, shown)
		}
		if back, err := amtp.ParseAddress(shown); err == nil {
			t.Errorf("%s is shown as %s, which is the address %s", local, shown, back)
		}
		if !strings.HasPrefix(shown, `"`) || !strings.HasSuffix(shown, `"@evil.example`) {
			t.Errorf("%s is shown as %s, want it quoted", local, shown)
		}
	}
	for _, plain := range []string{"bob@localhost", "a.b-c_d+e=f@shop.example", "9@x-y.example"} {
		a, err := amtp.ParseAddress(plain)
		if got := Address(a); err != nil || got != plain {
			t.Errorf("%s is shown as %s, %v", plain, got, err)
		}
	}
}

func TestOneLine(t *testing.T) {
	for _, tt := range []struct {
		in   string
		most int
		want string
		cut  bool
	}{
		{"", 10, "", false},
		{"a b", 10, "a b", false},
		{"  a\n\n b\t\r\nc  ", 10, "a b c", false},
		{"a\u00a0\u3000\u2003\u2800b", 10, "a b", false},
		{"abcdef", 3, "abc", true},
		{"abc   ", 3, "abc", false},
		{"äöü€", 3, "äöü", true},
		{"a\u202eb\x1b[2J", 20, `a\u202eb\u001b[2J`, false},
		{"a\xffb", 20, `a\xffb`, false},
		{"a b", 2, "a", true},
	} {
		if got, cut := OneLine(tt.in, tt.most); got != tt.want || cut != tt.cut {
			t.Errorf("oneLine(%q, %d) = %q, %t; want %q, %t", tt.in, tt.most, got, cut, tt.want, tt.cut)
		}
	}
	for _, tt := range []struct {
		in      string
		columns int
		want    string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本語", 6, "日本語"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"}, {"", 3, ""}} {
		if got := Fit(tt.in, tt.columns); got != tt.want {
			t.Errorf("fit(%q, %d) = %q, want %q", tt.in, tt.columns, got, tt.want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1 kB", 1234: "1.2 kB",
		65536: "66 kB", 3800000: "3.8 MB", 22200320: "22 MB", 81580000000: "82 GB"} {
		if got := plaintext.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

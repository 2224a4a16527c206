package render

import (
	"encoding/json"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestClean(t *testing.T) {
	tests := []struct{ in, line, block string }{
		{"plain text", "plain text", "plain text"},
		{"Grüße, 世界 👋🏽 👩‍👧 ❤️", "Grüße, 世界 👋🏽 👩‍👧 ❤️", "Grüße, 世界 👋🏽 👩‍👧 ❤️"},
		{"a\nb\tc\r\n", `a\nb\tc\r\n`, "a\nb\tc\\r\n"},
		{"\x1b[2J\x00\x7f", `\u001b[2J\u0000\u007f`, `\u001b[2J\u0000\u007f`},
		{"a\u202eb\u2066c\u200e", `a\u202eb\u2066c\u200e`, `a\u202eb\u2066c\u200e`},
		{"a\u2028b\u2029c\u0085d", `a\u2028b\u2029c\u0085d`, `a\u2028b\u2029c\u0085d`},
		{"tag\U000e0041 vs\U000e0100 fill\u3164\u115f", `tag\U000e0041 vs\U000e0100 fill\u3164\u115f`,
			`tag\U000e0041 vs\U000e0100 fill\u3164\u115f`},
		{"\xff\xfea\uFFFD", `\xff\xfea` + "\uFFFD", `\xff\xfea` + "\uFFFD"},
		{"zero\u200bwidth\ufeff", `zero\u200bwidth\ufeff`, `zero\u200bwidth\ufeff`},
	}
	for _, tt := range tests {
		if got := Clean(tt.in); got != tt.line {
			t.Errorf("clean(%q) = %q, want %q", tt.in, got, tt.line)
		}
		if got := CleanBlock(tt.in); got != tt.block {
			t.Errorf("cleanBlock(%q) = %q, want %q", tt.in, got, tt.block)
		}
	}
}

func TestJSONOutputHidesNothingAndMeansTheSame(t *testing.T) {
	for _, s := range []string{"plain", "a\u202eb", "tag\U000e0041", "\u2028", "Grüße 👋"} {
		doc, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		escaped := escapeInvisible(string(doc))
		var back string
		if err := json.Unmarshal([]byte(escaped), &back); err != nil || back != s {
			t.Errorf("escapeInvisible(%q) = %s, which means %q, %v", s, escaped, back, err)
		}
		if Clean(escaped) != escaped {
			t.Errorf("escapeInvisible(%q) = %q still hides something", s, escaped)
		}
	}
}

// A cleaned text has no line break and no character that a terminal acts on or a reader
// cannot see. Cleaning it again changes nothing.
func FuzzClean(f *testing.F) {
	f.Add("a\n\x1b\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		line := Clean(s)
		for i, r := range line {
			if !visible(r) || r == '\n' {
				t.Fatalf("clean(%q) = %q has %q at %d", s, line, r, i)
			}
		}
		if Clean(line) != line {
			t.Errorf("clean(%q) = %q is not clean", s, line)
		}
	})
}

// TestRecipientMarks: the marks of a recipient follow its status.
func TestRecipientMarks(t *testing.T) {
	for want, r := range map[string]amtp.RecipientStatus{
		": delivered":           {Status: amtp.StatusDelivered},
		": delivered [READ]":    {Status: amtp.StatusDelivered, Read: true},
		": delivered [ACK]":     {Status: amtp.StatusDelivered, Read: true, Acknowledged: true},
		": delivered [REFUSED]": {Status: amtp.StatusDelivered, Refused: true},
	} {
		if got := Recipient(r); got != want {
			t.Errorf("recipientLine = %q, want %q", got, want)
		}
	}
}

package amtp_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestPins(t *testing.T) {
	want := amtp.Pin{1, 2, 3}
	digits := hex.EncodeToString(want[:])
	colons := digits[:2]
	for i := 2; i < len(digits); i += 2 {
		colons += ":" + digits[i:i+2]
	}
	for _, s := range []string{want.String(), strings.TrimPrefix(want.String(), "sha256//"), digits,
		strings.ToUpper(colons), " " + digits + "\n"} {
		if got, err := amtp.ParsePin(s); err != nil || got != want {
			t.Errorf("ParsePin(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "sha256//", digits[:62], digits + "00", want.String()[:40],
		strings.Repeat("g", 64)} {
		if got, err := amtp.ParsePin(s); err == nil {
			t.Errorf("ParsePin(%q) = %v, want an error", s, got)
		}
	}
}

package cli

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp/admin"
)

// TestZoneLine: DNS has strings of at most 255 bytes; a longer record is several.
func TestZoneLine(t *testing.T) {
	long := strings.Repeat("a", 255)
	for record, want := range map[string]string{
		"v=amtpkey1;alg=ES256;p=AA==": `key1._amtpkey.shop.example.  300  IN  TXT  "v=amtpkey1;alg=ES256;p=AA=="`,
		long:                          `key1._amtpkey.shop.example.  300  IN  TXT  "` + long + `"`,
		long + "b":                    `key1._amtpkey.shop.example.  300  IN  TXT  "` + long + `" "b"`,
		long + long + "c":             `key1._amtpkey.shop.example.  300  IN  TXT  "` + long + `" "` + long + `" "c"`,
	} {
		if got := zoneLine(&admin.SigningKey{Name: "key1._amtpkey.shop.example", Record: record}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

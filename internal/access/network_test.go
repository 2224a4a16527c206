package access_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/access"
)

func TestNetwork(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1/32",
		"::ffff:192.0.2.1":      "192.0.2.1/32",
		"2001:db8::1":           "2001:db8::/64",
		"2001:db8::ffff:1":      "2001:db8::/64",
		"2001:db8:0:1::1":       "2001:db8:0:1::/64",
		"fe80::1%eth0":          "fe80::/64",
		"127.0.0.1":             "127.0.0.1/32",
		"::1":                   "::1/128",
		"":                      "invalid Prefix",
		"who knows what it was": "invalid Prefix",
	} {
		if got := access.NetworkOf(ip).String(); got != want {
			t.Errorf("%q is counted as %s, want %s", ip, got, want)
		}
	}
}

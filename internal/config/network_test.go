package config

import (
	"strings"
	"testing"
)

// TestParseNetwork: addresses and networks of proxies.
func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128",
		"::ffff:192.0.2.1": "192.0.2.1/32",
		"":                 "! no network", "proxy.example": "! no network", "10.0.0.1/8": "! write 10.0.0.0/8",
		"0.0.0.0/0": "! every address", "::/0": "! every address",
		"::ffff:10.0.0.0/104": "! write the IPv4 network", "fe80::1%eth0": "! no network",
	} {
		got, err := parseNetwork(text)
		wrong, bad := strings.CutPrefix(want, "! ")
		if bad && (err == nil || !strings.Contains(err.Error(), wrong)) ||
			!bad && (err != nil || got.String() != want) {
			t.Errorf("%q is %v, %v; want %s", text, got, err, want)
		}
	}
}

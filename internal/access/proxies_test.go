package access_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/access"
)

// TestClient: the client's address, from the connection and the headers of proxies.
func TestClient(t *testing.T) {
	both := access.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32"),
		netip.MustParsePrefix("2001:db8:1::/48")}
	for _, tc := range []struct {
		what    string
		proxies access.Proxies
		peer    string
		header  []string
		want    string
	}{
		{"nobody is trusted", nil, "127.0.0.1:1", []string{"203.0.113.9"}, "127.0.0.1"},
		{"who calls is no proxy", both, "203.0.113.1:1", []string{"203.0.113.9"}, "203.0.113.1"},
		{"one proxy", both, "127.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"what the caller wrote stands left of it", both, "10.1.1.1:1", []string{"192.0.2.1, 203.0.113.9"},
			"203.0.113.9"},
		{"two proxies", both, "10.1.1.1:1", []string{"192.0.2.1, 203.0.113.9, 10.2.2.2"}, "203.0.113.9"},
		{"in two lines", both, "10.1.1.1:1", []string{"192.0.2.1, 203.0.113.9", "10.2.2.2"}, "203.0.113.9"},
		{"only proxies", both, "10.1.1.1:1", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		{"no header", both, "10.1.1.1:1", nil, "10.1.1.1"},
		{"an empty header", both, "10.1.1.1:1", []string{""}, "10.1.1.1"},
		{"no address", both, "10.1.1.1:1", []string{"203.0.113.9, unknown"}, "10.1.1.1"},
		{"no address behind a proxy", both, "10.1.1.1:1", []string{"nonsense, 10.2.2.2"}, "10.2.2.2"},
		{"with ports", both, "10.1.1.1:1", []string{"203.0.113.9:4711, [2001:db8:1::5]:80"}, "203.0.113.9"},
		{"IPv6", both, "[2001:db8:1::1]:1", []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		{"IPv6 in brackets", both, "[2001:db8:1::1]:1", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		{"IPv4 in IPv6", both, "[::ffff:10.1.1.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"this machine, as somebody says", both, "10.1.1.1:1", []string{"127.0.0.2"}, "10.1.1.1"},
		{"a header without end", both, "10.1.1.1:1", []string{"203.0.113.9" + strings.Repeat(", 10.2.2.2",
			1000)}, "10.2.2.2"},
		{"spaces", both, "10.1.1.1:1", []string{"  203.0.113.9\t,10.2.2.2 "}, "203.0.113.9"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.header}}
		if got := tc.proxies.Client(r); got != tc.want {
			t.Errorf("%s: from %s with %q it is %s, want %s", tc.what, tc.peer, tc.header, got, tc.want)
		}
	}
}

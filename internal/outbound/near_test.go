package outbound

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// TestNotHere: a public address that is this machine's, or of its network, is reached
// only where a rule leads.
func TestNotHere(t *testing.T) {
	near := func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("8.8.8.8/24"), netip.MustParsePrefix("2a00:1:2:3::7/64"), netip.MustParsePrefix("9.9.9.9/32")}
	}
	for addr, why := range map[string]string{
		"8.8.8.8": "this machine", "8.8.8.9": "a network that this machine is on", "8.8.9.8": "", "9.9.9.9": "this machine", "9.9.9.8": "",
		"2a00:1:2:3::7": "this machine", "2a00:1:2:3::8": "a network that this machine is on", "2a00:1:2:4::7": "", "10.0.0.1": "a private network",
	} {
		g := gate{near: near}
		err := g.judge(target{"peer.example", 443}, netip.MustParseAddr(addr))
		if (err == nil) != (why == "") || err != nil && (!errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, want %q", addr, err, why)
		}
		g.allow = []Rule{{Prefix: netip.MustParsePrefix("8.8.8.0/24")}}
		if err := g.judge(target{"peer.example", 443}, netip.MustParseAddr(addr)); strings.HasPrefix(addr, "8.8.8.") && err != nil {
			t.Errorf("%s, where a rule leads: %v", addr, err)
		}
	}
	if g := (Options{}).gate(); g.near != nil {
		t.Error("without NotHere the networks of this machine matter")
	}
	if g := (Options{NotHere: true}).gate(); g.near == nil || (&Options{NotHere: true}).plainGate().near == nil {
		t.Error("with NotHere the networks of this machine do not matter")
	}
	if len(own()) == 0 {
		t.Error("this machine has no address")
	}
}

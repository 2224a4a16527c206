package outbound

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestNotHere: a public address of this machine, or of its network, is called only with
// a rule.
func TestNotHere(t *testing.T) {
	near := func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("8.8.8.8/24"), netip.MustParsePrefix("2a00:1:2:3::7/64"),
			netip.MustParsePrefix("9.9.9.9/32")}
	}
	for addr, why := range map[string]string{
		"8.8.8.8": "this machine", "8.8.8.9": "a network that this machine is on", "8.8.9.8": "",
		"9.9.9.9": "this machine", "9.9.9.8": "",
		"2a00:1:2:3::7": "this machine", "2a00:1:2:3::8": "a network that this machine is on", "2a00:1:2:4::7": "",
		"10.0.0.1": "a private network",
	} {
		g := gate{near: near}
		err := g.judge(target{"peer.example", 443}, netip.MustParseAddr(addr))
		if (err == nil) != (why == "") || err != nil &&
			(!errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, want %q", addr, err, why)
		}
		g.allow = []Rule{{Prefix: netip.MustParsePrefix("8.8.8.0/24")}}
		if err := g.judge(target{"peer.example", 443}, netip.MustParseAddr(addr)); strings.HasPrefix(addr,
			"8.8.8.") && err != nil {
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

// TestNotSelf: other gateways behind the addresses and networks of this machine are
// called as any other. This program itself and its loopback interface are not.
func TestNotSelf(t *testing.T) {
	own := func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("8.8.8.8/20"), netip.MustParsePrefix("8.8.8.10/20"),
			netip.MustParsePrefix("2a00:1:2:3::7/64"),
			netip.MustParsePrefix("9.9.9.9/32")}
	}
	inner := func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("9.9.9.9/32")}
	}
	for _, tc := range []struct {
		listener, to string
		why          string
	}{
		{"0.0.0.0:443", "8.8.8.9:443", ""},
		{"[::]:443", "[2a00:1:2:3::8]:443", ""},
		{"0.0.0.0:443", "8.8.8.8:443", "this gateway"},
		{"[::]:443", "8.8.8.10:443", "this gateway"},
		{"[::]:443", "[2a00:1:2:3::7]:443", "this gateway"},
		{"8.8.8.8:443", "8.8.8.8:443", "this gateway"},
		{"8.8.8.8:443", "8.8.8.10:443", ""},
		{"0.0.0.0:443", "8.8.8.8:8443", ""},
		{"0.0.0.0:8443", "8.8.8.8:443", ""},
		{"0.0.0.0:8443", "8.8.8.8:8443", "this gateway"},
		{"127.0.0.1:8080", "8.8.8.8:443", ""}, // a proxy has 443, for several gateways
		{"127.0.0.1:8080", "9.9.9.9:443", "this machine"},
		{"0.0.0.0:0", "9.9.9.9:443", "this machine"},
		{"127.0.0.1:8080", "10.0.0.1:443", "a private network"},
	} {
		to := netip.MustParseAddrPort(tc.to)
		g := gate{allow: []Rule{{Port: 8443}}, self: &self{netip.MustParseAddrPort(tc.listener), own, inner}}
		err := g.judge(target{"peer.example", to.Port()}, to.Addr())
		if (err == nil) != (tc.why == "") || err != nil &&
			(!errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), tc.why)) {
			t.Errorf("from a gateway that listens at %s to %s: %v, want %q", tc.listener, tc.to, err, tc.why)
		}
		g.allow = append(g.allow, Rule{Host: "peer.example"})
		if err := g.judge(target{"peer.example", to.Port()}, to.Addr()); err != nil {
			t.Errorf("%s, where a rule leads: %v", tc.to, err)
		}
	}
	if g := (Options{NotSelf: true}).gate(); g.near != nil || g.self == nil {
		t.Error("with NotSelf the networks of this machine matter, or itself does not")
	}
	if g := (Options{NotHere: true, NotSelf: true}).gate(); g.near == nil || g.self != nil {
		t.Error("NotSelf takes the place of NotHere")
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	if !slices.ContainsFunc(onLoopback(), func(p netip.Prefix) bool { return p.Addr() == loopback }) {
		t.Errorf("the loopback interface has the addresses %v, want 127.0.0.1 among them", onLoopback())
	}
}

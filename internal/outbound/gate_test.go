package outbound

import (
	"errors"
	"net/netip"
	"testing"
)

// Addresses that are assigned to networks, next to the blocks that are not.
func TestPublicAddresses(t *testing.T) {
	for _, s := range []string{
		"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0",
		"223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2001:db7::1", "2001:db9::1", "2003::1", "2600::1",
		"2620:4f:7fff::1", "2a00::1", "3ffe::1",
	} {
		if why, special := refuse(netip.MustParseAddr(s)); special {
			t.Errorf("refuse(%s) = %q; want a public address", s, why)
		}
	}
}

func TestRules(t *testing.T) {
	prefix := netip.MustParsePrefix
	type rules []Rule
	for _, tc := range []struct {
		name string
		gate gate
		to   target
		addr string
		want bool
	}{
		{"public, 443", gate{}, target{"a.example", 443}, "1.1.1.1", true},
		{"public, another port", gate{}, target{"a.example", 8443}, "1.1.1.1", false},
		{"public, 80", gate{}, target{"a.example", 80}, "1.1.1.1", false},
		{"public, 80, plain", gate{plain: true}, target{"a.example", 80}, "1.1.1.1", true},
		{"loopback, 80, plain", gate{plain: true}, target{"a.example", 80}, "127.0.0.1", false},
		{"network", gate{allow: rules{{Prefix: prefix("127.0.0.0/8")}}}, target{"a.example", 1}, "127.9.9.9", true},
		{"network, mapped", gate{allow: rules{{Prefix: prefix("127.0.0.0/8")}}}, target{"a.example", 1},
			"::ffff:127.0.0.1", false},
		{"outside the network", gate{allow: rules{{Prefix: prefix("127.0.0.0/8")}}}, target{"a.example", 443},
			"10.0.0.1", false},
		{"network with a zone", gate{allow: rules{{Prefix: prefix("fe80::/10")}}}, target{"a.example", 1},
			"fe80::1%eth0", true},
		{"address and port", gate{allow: rules{{Prefix: prefix("10.0.0.5/32"), Port: 8443}}}, target{"a.example", 8443},
			"10.0.0.5", true},
		{"address, not its port", gate{allow: rules{{Prefix: prefix("10.0.0.5/32"), Port: 8443}}},
			target{"a.example", 443}, "10.0.0.5", false},
		{"not the address, its port", gate{allow: rules{{Prefix: prefix("10.0.0.5/32"), Port: 8443}}},
			target{"a.example", 8443}, "10.0.0.6", false},
		{"port alone", gate{allow: rules{{Port: 8443}}}, target{"a.example", 8443}, "1.1.1.1", true},
		{"port alone, private", gate{allow: rules{{Port: 8443}}}, target{"a.example", 8443}, "10.0.0.5", false},
		{"host", gate{allow: rules{{Host: "gw.lan"}}}, target{"gw.lan", 9}, "10.0.0.5", true},
		{"host in another case", gate{allow: rules{{Host: "gw.lan"}}}, target{"GW.lan.", 9}, "10.0.0.5", true},
		{"another host", gate{allow: rules{{Host: "gw.lan"}}}, target{"x.gw.lan", 443}, "10.0.0.5", false},
		{"host and port", gate{allow: rules{{Host: "gw.lan", Port: 8443}}}, target{"gw.lan", 8443}, "10.0.0.5", true},
		{"host, not its port", gate{allow: rules{{Host: "gw.lan", Port: 8443}}}, target{"gw.lan", 22},
			"10.0.0.5", false},
		{"host and network", gate{allow: rules{{Host: "gw.lan", Prefix: prefix("10.0.0.0/8")}}}, target{"gw.lan", 443},
			"127.0.0.1", false},
		{"empty rule", gate{allow: rules{{}}}, target{"a.example", 443}, "10.0.0.5", false},
		{"empty rule, public", gate{allow: rules{{}}}, target{"a.example", 22}, "1.1.1.1", false},
		{"the second of two", gate{allow: rules{{Port: 22}, {Host: "gw.lan"}}}, target{"gw.lan", 443},
			"10.0.0.5", true},
		{"no address", gate{}, target{"a.example", 443}, "", false},
	} {
		addr, _ := netip.ParseAddr(tc.addr)
		err := tc.gate.judge(tc.to, addr)
		if (err == nil) != tc.want || err != nil && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %+v at %s = %v; want it to pass: %t", tc.name, tc.to, tc.addr, err, tc.want)
		}
	}
}

func TestFilterKeepsWhatPassesAndItsOrder(t *testing.T) {
	var addrs []netip.Addr
	for _, s := range []string{"10.0.0.1", "1.1.1.1", "::1", "2606:4700:4700::1111", "8.8.8.8"} {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	got, err := (&gate{}).filter(target{"a.example", 443}, addrs)
	if err != nil || len(got) != 3 || got[0].String() != "1.1.1.1:443" || got[2].String() != "8.8.8.8:443" {
		t.Errorf("filter(%v) = %v, %v; want the three public ones in their order", addrs, got, err)
	}
	many := make([]netip.Addr, 100)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{1, 1, 1, byte(i)})
	}
	if got, err := (&gate{}).filter(target{"a.example", 443}, many); err != nil || len(got) != maxAddresses {
		t.Errorf("filter of 100 addresses = %d of them, %v; want %d", len(got), err, maxAddresses)
	}
}

// Every address that passes without a rule is also public by the standard library.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "8.8.8.8", "::1", "::ffff:10.0.0.1", "64:ff9b::1", "2600::1"} {
		f.Add(netip.MustParseAddr(s).AsSlice())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		addr, ok := netip.AddrFromSlice(raw)
		if !ok || (&gate{}).judge(target{"a.example", portHTTPS}, addr) != nil {
			return
		}
		if addr.Is4In6() || !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() ||
			addr.IsLinkLocalUnicast() {
			t.Errorf("%s passes, want it refused", addr)
		}
	})
}

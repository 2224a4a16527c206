package outbound

import "net/netip"

// block is a range of addresses where no stranger's gateway can be.
type block struct {
	prefix netip.Prefix
	why    string
}

// special4 and special6 are the blocks of the IANA registries of special-purpose
// addresses (RFC 6890 and its successors) and of multicast. They also have the IPv6
// addresses that carry an IPv4 address, which could be used to reach a refused one.
var (
	special4 = []block{
		{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
		{netip.MustParsePrefix("10.0.0.0/8"), "a private network"},
		{netip.MustParsePrefix("100.64.0.0/10"), "a network behind a carrier's NAT"},
		{netip.MustParsePrefix("127.0.0.0/8"), "this machine"},
		{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
		{netip.MustParsePrefix("172.16.0.0/12"), "a private network"},
		{netip.MustParsePrefix("192.0.0.0/24"), "for protocols"},
		{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},
		{netip.MustParsePrefix("192.31.196.0/24"), "for protocols (AS112)"},
		{netip.MustParsePrefix("192.52.193.0/24"), "for protocols (AMT)"},
		{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay"},
		{netip.MustParsePrefix("192.168.0.0/16"), "a private network"},
		{netip.MustParsePrefix("192.175.48.0/24"), "for protocols (AS112)"},
		{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},
		{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},
		{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	}
	special6 = []block{
		{netip.MustParsePrefix("::/128"), "no address"},
		{netip.MustParsePrefix("::1/128"), "this machine"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "a mapped IPv4 address"},
		{netip.MustParsePrefix("::ffff:0:0:0/96"), "a translated IPv4 address"},
		{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},
		{netip.MustParsePrefix("64:ff9b::/96"), "an IPv4 address behind NAT64"},
		{netip.MustParsePrefix("64:ff9b:1::/48"), "an IPv4 address behind NAT64"},
		{netip.MustParsePrefix("100::/64"), "the discard prefix"},
		{netip.MustParsePrefix("2001::/32"), "a Teredo address"},
		{netip.MustParsePrefix("2001:2::/48"), "for benchmarks"},
		{netip.MustParsePrefix("2001::/23"), "for protocols"},
		{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},
		{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},
		{netip.MustParsePrefix("2620:4f:8000::/48"), "for protocols (AS112)"},
		{netip.MustParsePrefix("3fff::/20"), "for documentation"},
		{netip.MustParsePrefix("5f00::/16"), "for segment routing"},
		{netip.MustParsePrefix("fc00::/7"), "a private network"},
		{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
		{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
		{netip.MustParsePrefix("ff00::/8"), "multicast"},
	}
	// global6 is the part of IPv6 that is assigned to networks. The rest may be assigned
	// one day, and has no meaning until then.
	global6 = netip.MustParsePrefix("2000::/3")
)

// Special reports whether addr is not a public address, and why. A client calls such an
// address only if a [Rule] allows it.
func Special(addr netip.Addr) (why string, special bool) { return refuse(addr) }

// refuse reports whether addr is not a public address, and why.
func refuse(addr netip.Addr) (why string, special bool) {
	addr = addr.WithZone("")
	blocks := special4
	if addr.Is6() {
		blocks = special6
	}
	for _, b := range blocks {
		if b.prefix.Contains(addr) {
			return b.why, true
		}
	}
	if addr.Is6() && !global6.Contains(addr) || !addr.IsValid() {
		return "not given out to anybody", true
	}
	return "", false
}

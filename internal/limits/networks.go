package limits

import "net/netip"

// Networks returns the networks in which an address is counted, the narrowest first:
// IPv4 alone and as /24; IPv6 as /64, /56 and /48. There is none for this machine
// itself. Whoever has no address is in one network with all others without.
func Networks(addr netip.Addr) []netip.Prefix { return networks(nil, addr) }

// networks is Networks, appended to a list.
func networks(list []netip.Prefix, addr netip.Addr) []netip.Prefix {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return append(list, netip.Prefix{})
	case addr.IsLoopback():
		return list
	case addr.Is4():
		return append(list, netip.PrefixFrom(addr, 32), netip.PrefixFrom(addr, 24).Masked())
	}
	return append(list, netip.PrefixFrom(addr, 64).Masked(), netip.PrefixFrom(addr, 56).Masked(),
		netip.PrefixFrom(addr, 48).Masked())
}

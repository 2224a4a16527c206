package limits

import "net/netip"

// Networks returns the networks in which an address is counted, the narrowest first: for
// IPv4 the address alone and its /24; for IPv6 its /64, /56 and /48. This machine itself
// has none. All callers without an address share one network.
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

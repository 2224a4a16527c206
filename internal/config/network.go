package config

import (
	"fmt"
	"net/netip"
)

// parseNetwork reads a network, or an address as a network with only that address.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{},
			fmt.Errorf("%s is no network: write an address such as 192.0.2.1, or a network such as 10.0.0.0/8",
				brief(s))
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%s has bits behind its mask: write %s, or the address alone", brief(s),
			network.Masked())
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is an IPv4 network in IPv6 form: write the IPv4 network", brief(s))
	case network.Bits() == 0:
		return netip.Prefix{}, fmt.Errorf("%s covers every address: every caller could forge its address", brief(s))
	}
	return network, nil
}

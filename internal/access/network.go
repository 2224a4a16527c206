package access

import "net/netip"

// Network returns the network that counts as one address in all counts by address. An
// IPv6 user has a /64, but ::1 is this machine alone, and IPv4 written as IPv6 is IPv4.
// It is zero for an invalid address.
func Network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() && !addr.IsLoopback() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// NetworkOf is Network for an address in text, as RemoteIP returns it.
func NetworkOf(ip string) netip.Prefix {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}
	}
	return Network(addr)
}

package access

import (
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks of the proxies in front of the gateway whose headers are
// believed.
type Proxies []netip.Prefix

// maxHops is how many addresses of a request are looked at: no operator has so many
// proxies.
const maxHops = 32

// Client returns the address of the client that makes the request. It is the other end
// of the connection, unless that is one of the proxies. Then it is the right-most
// address of X-Forwarded-For that is not a proxy. Any client may have written the
// addresses left of it. An invalid address, or a missing header, ends the search at the
// proxy that sent it.
func (p Proxies) Client(r *http.Request) string {
	peer := RemoteIP(r)
	if !p.has(peer) {
		return peer
	}
	lines := r.Header["X-Forwarded-For"]
	for i, hops := len(lines)-1, 0; i >= 0; i-- {
		for rest, more := lines[i], true; more; hops++ {
			var item string
			if at := strings.LastIndexByte(rest, ','); at >= 0 {
				rest, item = rest[:at], rest[at+1:]
			} else {
				item, more = rest, false
			}
			addr, ok := forwarded(item)
			if !ok || hops == maxHops {
				return peer
			}
			if addr.IsLoopback() && !p.Has(addr) {
				return peer // the machine of the proxy, and not this one
			}
			if peer = addr.String(); !p.Has(addr) {
				return peer
			}
		}
	}
	return peer
}

// forwarded reads an address as proxies write it: with a port or without.
func forwarded(item string) (netip.Addr, bool) {
	item = strings.TrimSpace(item)
	if at, err := netip.ParseAddrPort(item); err == nil {
		return at.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(item, "["), "]"))
	return addr.Unmap().WithZone(""), err == nil
}

// Has reports whether an address is that of a proxy.
func (p Proxies) Has(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

func (p Proxies) has(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && p.Has(addr)
}

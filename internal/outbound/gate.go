package outbound

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Ports that are open without a rule.
const (
	portHTTPS = 443
	portHTTP  = 80 // only where plain HTTP is allowed
)

// Rule allows connections that are otherwise refused. Each of its parts that is set must
// match.
type Rule struct {
	// Host is the name in the URL, in lower case; its addresses may be any.
	Host string
	// Prefix contains the address of the connection.
	Prefix netip.Prefix
	// Port is the port; 0 means every port. A rule with a port alone opens it
	// on public addresses only.
	Port uint16
}

// RuleOf returns the rule that allows calls to the host and port of a URL and to no
// other: to that address, or to any address of that name.
func RuleOf(u *url.URL) Rule {
	port := uint64(portHTTPS)
	if u.Scheme == "http" {
		port = portHTTP
	}
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && p > 0 {
		port = p
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return Rule{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Port: uint16(port)}
	}
	return Rule{Host: strings.ToLower(u.Hostname()), Port: uint16(port)}
}

// target is the destination of a call.
type target struct {
	host string
	port uint16
}

// gate decides where calls may go.
type gate struct {
	allow []Rule
	plain bool
	ruled bool                  // only targets of rules pass
	near  func() []netip.Prefix // the networks of this machine; nil if they do not matter
	self  *self                 // the addresses of this machine that are refused; nil for none
}

// filter returns the addresses to which a connection may be made, at most [maxAddresses].
// If there are none, the error says why the first is refused.
func (g *gate) filter(t target, addrs []netip.Addr) ([]netip.AddrPort, error) {
	var allowed []netip.AddrPort
	var first error
	for _, addr := range addrs {
		if err := g.judge(t, addr); err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if len(allowed) < maxAddresses {
			allowed = append(allowed, netip.AddrPortFrom(addr, t.port))
		}
	}
	if len(allowed) == 0 {
		return nil, first
	}
	return allowed, nil
}

// judge returns nil if a connection to addr may be made for t.
func (g *gate) judge(t target, addr netip.Addr) error {
	why, special := g.refuse(t.port, addr)
	for _, rule := range g.allow {
		if rule.allows(t, addr, special) {
			return nil
		}
	}
	if special {
		return forbid("%s is at %s, %s", t.host, addr, why)
	}
	if g.ruled {
		return forbid("plain http to a public address")
	}
	if t.port == portHTTPS || g.plain && t.port == portHTTP {
		return nil
	}
	return forbid("port %d", t.port)
}

// refuse reports whether addr needs a rule, and why.
func (g *gate) refuse(port uint16, addr netip.Addr) (why string, special bool) {
	if why, special = refuse(addr); special {
		return why, special
	}
	addr = addr.Unmap().WithZone("")
	if g.self != nil {
		return g.self.refuse(port, addr)
	}
	if g.near == nil {
		return "", false
	}
	for _, network := range g.near() {
		switch {
		case network.Addr() == addr:
			return "this machine", true
		case network.Contains(addr):
			return "a network that this machine is on", true
		}
	}
	return "", false
}

// self are the public addresses of this machine at which no other gateway can be.
type self struct {
	listener netip.AddrPort        // of this program; the unspecified address means all of the machine
	own      func() []netip.Prefix // the addresses of this machine
	inner    func() []netip.Prefix // the addresses on its loopback interface
}

// refuse reports whether a public address and port lead to this program, or to an
// address that no other machine could reach, and why.
func (s *self) refuse(port uint16, addr netip.Addr) (why string, special bool) {
	at := func(p netip.Prefix) bool { return p.Addr() == addr }
	if slices.ContainsFunc(s.inner(), at) {
		return "this machine", true
	}
	if port != s.listener.Port() {
		return "", false
	}
	if here := s.listener.Addr().Unmap().WithZone(""); here == addr ||
		here.IsUnspecified() && slices.ContainsFunc(s.own(), at) {
		return "this gateway", true
	}
	return "", false
}

// own returns the addresses of this machine's interfaces with their networks. It returns
// none if the system does not say.
func own() []netip.Prefix {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return prefixes(list)
}

// onLoopback returns the addresses of the loopback interfaces.
func onLoopback() (networks []netip.Prefix) {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for i := range list {
		if list[i].Flags&net.FlagLoopback == 0 {
			continue
		}
		if addrs, err := list[i].Addrs(); err == nil {
			networks = append(networks, prefixes(addrs)...)
		}
	}
	return networks
}

func prefixes(list []net.Addr) (networks []netip.Prefix) {
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			networks = append(networks, netip.PrefixFrom(p.Addr().Unmap().WithZone(""), p.Bits()))
		}
	}
	return networks
}

// allows reports whether the rule allows a connection to addr. special says that addr is
// not public.
func (r Rule) allows(t target, addr netip.Addr, special bool) bool {
	if r.Port != 0 && r.Port != t.port {
		return false
	}
	if r.Host == "" && !r.Prefix.IsValid() {
		return r.Port != 0 && !special
	}
	if r.Host != "" && r.Host != strings.ToLower(strings.TrimSuffix(t.host, ".")) {
		return false
	}
	return !r.Prefix.IsValid() || r.Prefix.Contains(addr.WithZone(""))
}

package outbound

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Check returns an error for a URL that a client with these options would never call. It
// makes no look-up: a name is resolved when the connection is made. A name that resolves
// to a private address therefore passes here, and is refused then.
func (o Options) Check(u *url.URL) error {
	if err := judgeURL(u, o.PlainHTTP || o.PlainAllowed); err != nil {
		return err
	}
	g, port := o.gate(), uint64(portHTTPS)
	if u.Scheme == "http" {
		port = portHTTP
		if !o.PlainHTTP {
			g = o.plainGate()
		}
	}
	if number := u.Port(); number != "" {
		var err error
		if port, err = strconv.ParseUint(number, 10, 16); err != nil || port == 0 {
			return forbid("%q is no port", number)
		}
	}
	t := target{host: u.Hostname(), port: uint16(port)}
	if t.host == "" {
		return forbid("the URL has no host")
	}
	if addrs := literal(t.host); addrs != nil {
		_, err := g.filter(t, addrs)
		return err
	}
	if looksNumeric(t.host) {
		return forbid("%q is neither a name nor an address as it is usually written", t.host)
	}
	return g.mayPass(t)
}

// literal returns the addresses of a host without a look-up: of an address, and of a name
// that always means this machine. For any other host it returns nil.
func literal(host string) []netip.Addr {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}
	}
	if name := strings.ToLower(strings.TrimSuffix(host, ".")); name == "localhost" ||
		strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return nil
}

// mayPass returns an error unless there is an address at which the target would pass.
func (g *gate) mayPass(t target) error {
	if t.port == portHTTPS && !g.ruled || g.plain && t.port == portHTTP {
		return nil
	}
	lifts := func(r Rule) bool {
		return (r.Port == 0 || r.Port == t.port) && (r.Host == "" ||
			r.Host == strings.ToLower(strings.TrimSuffix(t.host, ".")))
	}
	switch {
	case slices.ContainsFunc(g.allow, lifts):
		return nil
	case g.ruled:
		return forbid("plain http is not allowed there")
	}
	return forbid("port %d", t.port)
}

func (o Options) gate() gate {
	g := gate{allow: o.Allow, plain: o.PlainHTTP}
	switch {
	case o.NotHere:
		g.near = own
	case o.NotSelf:
		g.self = &self{listener: o.Listener, own: own, inner: onLoopback}
	}
	return g
}

// plainGate lets targets of rules pass. A rule that is a port alone opens that port for
// https.
func (o Options) plainGate() gate {
	g := o.gate()
	g.allow, g.plain, g.ruled = nil, false, true
	for _, r := range o.Allow {
		if r.Host != "" || r.Prefix.IsValid() {
			g.allow = append(g.allow, r)
		}
	}
	return g
}

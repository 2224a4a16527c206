package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// How servers are asked.
const (
	questionTime = 5 * time.Second // one question with all its tries, unless Timeout says otherwise
	rounds       = 2               // how often a server that is silent is asked
	udpSize      = 1232            // the largest answer over UDP that networks do not fragment
)

// DNS is a [Resolver] that asks recursive name servers, one after the other until one
// answers. It uses UDP, and TCP for answers that do not fit.
type DNS struct {
	// Servers returns the servers, in the order in which they are asked. It is
	// called for every question.
	Servers func() ([]netip.AddrPort, error)
	// Timeout bounds one question with all its tries, 5 s if it is 0.
	Timeout time.Duration
}

var errNoServer = errors.New("there is no name server to ask")

// System returns the servers that the system asks: those in /etc/resolv.conf at the time of
// the call.
func System() ([]netip.AddrPort, error) { return readResolvConf("/etc/resolv.conf") }

func readResolvConf(file string) ([]netip.AddrPort, error) {
	conf, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("no name server is known, set dns.resolvers: %w", err)
	}
	var servers []netip.AddrPort
	for _, s := range conf.Servers {
		if addr, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, 53))
		}
	}
	if len(servers) == 0 { // other programs use this default too
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}, nil
	}
	return servers, nil
}

// TXT asks for the TXT records at a name and follows its aliases.
func (d *DNS) TXT(ctx context.Context, name string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, questionTime))
	defer cancel()
	ttl := mostTTL
	at := dns.Fqdn(name)
	for range maxAliases {
		m, err := d.question(ctx, at)
		if err != nil {
			return Answer{}, fmt.Errorf("TXT of %s: %w", name, err)
		}
		s, err := read(at, m)
		if err != nil {
			return Answer{}, fmt.Errorf("TXT of %s: %w", name, err)
		}
		ttl = min(ttl, s.TTL)
		if s.alias == "" {
			s.Answer.TTL = ttl
			return s.Answer, nil
		}
		at = dns.Fqdn(s.alias)
	}
	return Answer{}, fmt.Errorf("TXT of %s: its aliases do not end", name)
}

// question asks the servers in turn until one has a result. A server that is silent is
// asked again; one that answers with a failure is not.
func (d *DNS) question(ctx context.Context, name string) (*dns.Msg, error) {
	servers, err := d.Servers()
	if err != nil {
		return nil, err
	}
	var failed []error
	for round := range rounds {
		var silent []netip.AddrPort
		for i, server := range servers {
			left := len(servers) - i + (rounds-1-round)*len(servers)
			m, err := exchange(ctx, server, name, left)
			if err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
				return m, nil
			}
			if err == nil {
				err = fmt.Errorf("the server answers %s", rcode(m.Rcode))
			} else {
				silent = append(silent, server)
			}
			failed = append(failed, fmt.Errorf("%s: %w", server, err))
			if ctx.Err() != nil {
				return nil, errors.Join(failed...)
			}
		}
		servers = silent
	}
	if len(failed) == 0 {
		return nil, errNoServer
	}
	return nil, errors.Join(failed...)
}

// exchange asks one server. It may take one of tries equal parts of the time that is left.
func exchange(ctx context.Context, server netip.AddrPort, name string, tries int) (*dns.Msg, error) {
	ctx, cancel := share(ctx, tries)
	defer cancel()
	q := new(dns.Msg).SetQuestion(name, dns.TypeTXT)
	q.SetEdns0(udpSize, false)
	m, err := send(ctx, "udp", server, q)
	if err == nil && m.Rcode == dns.RcodeFormatError {
		q.Extra = nil // a server from before EDNS
		m, err = send(ctx, "udp", server, q)
	}
	if err == nil && m.Truncated {
		m, err = send(ctx, "tcp", server, q)
	}
	return m, err
}

// send sends the question under an id that cannot be predicted.
func send(ctx context.Context, network string, server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	q.Id = dns.Id()
	c := &dns.Client{Net: network, UDPSize: udpSize}
	if end, ok := ctx.Deadline(); ok {
		c.Timeout = max(time.Until(end), time.Millisecond)
	}
	m, _, err := c.ExchangeContext(ctx, q, server.String())
	switch {
	case err != nil:
		return nil, err
	case !echoes(q, m):
		return nil, errors.New("the answer is for another question")
	case m.Truncated && network == "tcp":
		return nil, errors.New("the answer is incomplete")
	}
	return m, nil
}

// Addresses returns the addresses of a host from the system's files, else from the first
// server that answers. A name with a dot is fully qualified.
func (d *DNS) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(d.Timeout, questionTime))
	defer cancel()
	servers, err := d.Servers()
	if err != nil {
		return nil, err
	}
	if strings.Contains(host, ".") {
		host = dns.Fqdn(host)
	}
	var failed []error
	for i, server := range servers {
		addrs, err := addresses(ctx, server, host, len(servers)-i)
		var absent *net.DNSError
		if err == nil || errors.As(err, &absent) && absent.IsNotFound {
			return addrs, err
		}
		failed = append(failed, fmt.Errorf("%s: %w", server, err))
	}
	if len(failed) == 0 {
		return nil, errNoServer
	}
	return nil, errors.Join(failed...)
}

// addresses asks one server. It may take one of tries equal parts of the time that is left.
func addresses(ctx context.Context, server netip.AddrPort, host string, tries int) ([]netip.Addr, error) {
	ctx, cancel := share(ctx, tries)
	defer cancel()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.String())
	}}
	return r.LookupNetIP(ctx, "ip", host)
}

// share bounds ctx to one of tries equal parts of the time that it has left.
func share(ctx context.Context, tries int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(tries))
}

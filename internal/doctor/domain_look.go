package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/remote"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// DomainLooker examines domains as a gateway does that delivers a message: with the
// same resolver, the same rules for outgoing calls, the same authorities. It shows no
// key and sends no message.
type DomainLooker struct {
	Resolver discovery.Resolver
	// Static is the operator's table, as in discovery.Options. Names in it are not
	// looked up.
	Static map[string]string
	// Lookup returns the addresses of a host.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Client makes the same calls as a delivery. Older is the same with TLS 1.2
	// allowed, to tell an old version from a broken one. Both are of package outbound.
	Client, Older *http.Client
	AllowHTTP     bool // whether gateways without TLS are accepted
	Now           func() time.Time
}

// Look examines a domain, and its keys with the selectors. It also examines the
// domain's keys in the operator's table.
func (l *DomainLooker) Look(ctx context.Context, d amtp.Domain, selectors []string) *SeenDomain {
	s := &SeenDomain{Domain: d}
	if txt, ok := l.Static[string(d)]; ok {
		s.Static = true
		s.Record = SeenTXT{Name: string(d), Status: discovery.Exists, Records: []string{txt}}
	} else {
		name := amtp.CapabilitiesName(d)
		s.Record = l.txt(ctx, name)
		if s.Record.Status == discovery.Exists && !slices.ContainsFunc(s.Record.Records, isOurs) {
			s.Record.Status = discovery.NoData // texts for other purposes
		}
		if s.Record.Err == nil && s.Record.Status != discovery.Exists {
			s.Record.Elsewhere = l.elsewhere(ctx, isOurs, append(doubled(name, d), string(d)))
		}
	}
	if s.Record.Status == discovery.NoName && l.exists(ctx, d) {
		s.Record.Status = discovery.NoData // the domain is there, and has no record
	}
	for _, selector := range l.selectors(d, selectors) {
		s.Keys = append(s.Keys, l.key(ctx, d, selector))
	}
	if s.Record.Status != discovery.Exists {
		return s
	}
	if s.Found, s.FoundErr = amtp.ChooseCapabilities(s.Record.Records, l.AllowHTTP); s.FoundErr != nil {
		return s
	}
	u, err := url.Parse(s.Found.Gateway)
	if err != nil {
		s.FoundErr = err // cannot happen: it was checked as a URL
		return s
	}
	s.Host = u.Hostname()
	if addr, err := netip.ParseAddr(s.Host); err == nil {
		s.Addrs = []netip.Addr{addr}
	} else if s.Addrs, s.AddrsErr = l.Lookup(ctx, s.Host); s.AddrsErr != nil {
		return s
	}
	s.Call = l.call(ctx, d, u)
	return s
}

func (l *DomainLooker) txt(ctx context.Context, name string) SeenTXT {
	a, err := l.Resolver.TXT(ctx, name)
	return SeenTXT{Name: name, Err: err, Status: a.Status, Records: a.Records, TTL: a.TTL}
}

// elsewhere returns the first of the names that has a text of the kind, "" for none.
func (l *DomainLooker) elsewhere(ctx context.Context, ours func(string) bool, names []string) string {
	for _, name := range names {
		if t := l.txt(ctx, name); t.Err == nil && slices.ContainsFunc(t.Records, ours) {
			return name
		}
	}
	return ""
}

// Bounds of the search for a record that was published at another name: how many zones
// a web form may have added, and how long a DNS name may be.
const (
	maxZones = 4
	maxName  = 253
)

// doubled returns the names at which a record ends up when a web form adds its zone,
// which is the domain or one above it, to the name that was typed.
func doubled(name string, d amtp.Domain) (names []string) {
	for zone := string(d); strings.Contains(zone, ".") && len(names) < maxZones; _, zone, _ = strings.Cut(zone, ".") {
		if n := name + "." + zone; len(n) <= maxName {
			names = append(names, n)
		}
	}
	return names
}

// isOurs reports whether a text is meant as a record of the protocol: it has the
// version, however the rest is written.
func isOurs(txt string) bool { return strings.Contains(strings.ToLower(txt), "amtp1") }

func (l *DomainLooker) exists(ctx context.Context, d amtp.Domain) bool {
	a, err := l.Resolver.TXT(ctx, string(d))
	return err == nil && a.Status != discovery.NoName
}

// selectors returns the given ones and those of the operator's table.
func (l *DomainLooker) selectors(d amtp.Domain, given []string) []string {
	list := slices.Clone(given)
	for name := range l.Static {
		if selector, ok := strings.CutSuffix(name, "._amtpkey."+string(d)); ok && !slices.Contains(list, selector) {
			list = append(list, selector)
		}
	}
	slices.Sort(list[len(given):])
	return list
}

func (l *DomainLooker) key(ctx context.Context, d amtp.Domain, selector string) SeenKey {
	name, err := amtp.KeyRecordName(selector, d)
	if err != nil {
		return SeenKey{selector, SeenTXT{Name: selector, Err: err}}
	}
	if txt, ok := l.Static[name]; ok {
		return SeenKey{selector, SeenTXT{Name: name, Status: discovery.Exists, Records: []string{txt}}}
	}
	k := SeenKey{selector, l.txt(ctx, name)}
	if k.Err == nil && !slices.ContainsFunc(k.Records, meansKey) {
		k.Elsewhere = l.elsewhere(ctx, meansKey, append(doubled(name, d), "_amtpkey."+string(d),
			selector+".amtpkey."+string(d)))
	}
	return k
}

// call sends the gateway a request that every gateway answers, about an agent that no
// gateway shows, so that the answer is short.
func (l *DomainLooker) call(ctx context.Context, d amtp.Domain, gateway *url.URL) SeenCall {
	path := "/v1/discovery/agents?address=" + url.QueryEscape("postmaster@"+string(d))
	c := l.ask(ctx, l.Client, gateway.String(), path)
	if c.Err != nil && c.Connected && !c.Verified && l.Older != nil && gateway.Scheme == "https" {
		old := l.ask(ctx, l.Older, gateway.String(), path)
		c.Older = old.TLS != nil && old.TLS.Version < tls.VersionTLS13
	}
	return c
}

func (l *DomainLooker) ask(ctx context.Context, client *http.Client, gateway, path string) (c SeenCall) {
	var connected atomic.Bool // set by the dialer, which may outlive the call
	c.Made, c.Began = true, l.Now()
	defer func() { c.Ended, c.Connected = l.Now(), connected.Load() }()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { connected.Store(true) },
		GotConn: func(i httptrace.GotConnInfo) {
			connected.Store(true)
			c.Verified, c.Remote = true, i.Conn.RemoteAddr().String()
		},
	})
	a, err := remote.Call(ctx, client, http.MethodGet, gateway, path, nil)
	c.TLS, c.Proto, c.Status, c.Header = a.TLS, a.Proto, a.Status, a.Header
	if err != nil {
		c.Err = err
		return c
	}
	var said struct {
		Domain string `json:"domain"`
	}
	if strictjson.Decode(a.Body, &said) == nil {
		c.Serves = strings.ToLower(said.Domain)
	}
	return c
}

// Package discovery finds the gateway of a domain and the keys with which the domain signs.
// It asks DNS, or uses the operator's table instead. For a peer's keys it asks the peer's
// gateway. AMTP §2, §9.
//
// The package promises: it reports that a record does not exist only if DNS said so. A
// server that fails, refuses or is silent causes a temporary error, and the earlier
// answer is used for a while longer. Answers, even those that no record exists, are
// remembered for the time that they state, within bounds. However many callers wait for
// a name, it is asked for once. A remembered answer costs no DNS query. Everything is in
// memory: a restart forgets it.
package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
)

// The errors of [Finder] and [Budget]. Each error that those return has exactly one of these
// in its chain, and the reason after it.
var (
	// ErrNone means that the domain publishes no such record.
	ErrNone = errors.New("there is no record")
	// ErrNoDomain means that the domain itself does not exist. Key never
	// returns it.
	ErrNoDomain = errors.New("there is no such domain")
	// ErrInvalid means that there is a record, but it is not valid.
	ErrInvalid = errors.New("the record is not valid")
	// ErrTemporary means that DNS does not answer now. Ask again later.
	ErrTemporary = errors.New("DNS does not answer now")
	// ErrBudget means that strangers have caused too many look-ups. Ask again
	// later.
	ErrBudget = errors.New("too many look-ups at this time")
)

// Source is the place where a gateway was found.
type Source string

// The sources.
const (
	FromDNS    Source = "dns"
	FromStatic Source = "static" // the operator's table
	FromPeer   Source = "peer"   // a peer, see StaticRoutes
)

// Found is how a domain is reached.
type Found struct {
	amtp.Capabilities
	// TTL is how long the answer is valid from DiscoveredAt. It is 0 for an entry of the
	// operator, which is valid until the operator changes it.
	TTL          time.Duration
	DiscoveredAt time.Time
	Source       Source
	// Stale means that the TTL is over and DNS does not answer.
	Stale bool
	// Client calls the gateway of a peer, and that gateway only; nil for any other domain.
	Client *http.Client
}

// How long answers from DNS are remembered, whatever TTL they state.
const (
	leastTTL    = time.Minute
	mostTTL     = 24 * time.Hour
	mostKeyTTL  = time.Hour        // the longest time for which a revoked key stays valid
	mostNoneTTL = 5 * time.Minute  // an operator who sets up a gateway need not wait for hours
	noKeyTTL    = 30 * time.Second // at most, of a key that is missing or not valid. AMTP §2
	staleFor    = 24 * time.Hour   // while DNS does not answer
	staleKeyFor = time.Hour
	peerKeyTTL  = 5 * time.Minute // the keys of a peer, from its gateway
)

// Options are the sources that a [Finder] asks, and its bounds.
type Options struct {
	// Resolver asks DNS; nil means that there is no DNS, so that only the names in Static
	// exist.
	Resolver Resolver
	// Static is the operator's table; its names are not looked up in DNS. Each entry
	// has the value of a TXT record: that of _amtp.{domain} under the bare
	// domain, that of a key under {selector}._amtpkey.{domain}.
	Static map[string]string
	// Routes take precedence over DNS and Static; nil means that there are none.
	Routes StaticRoutes
	// AllowHTTP accepts gateways without TLS.
	AllowHTTP bool
	// MaxTTL is the longest time for which an answer is remembered, 24 hours if it is 0.
	MaxTTL time.Duration
	Now    func() time.Time
}

// Finder finds gateways and keys of domains. Any number of callers may use it at once.
type Finder struct {
	resolver  Resolver
	allowHTTP bool
	now       func() time.Time
	static    static
	routes    StaticRoutes
	gateways  *memory[amtp.Capabilities] // by domain
	keys      *memory[amtp.KeyRecord]    // by name of the record
	peerKeys  *memory[RouteKeys]         // by peer
}

// New makes a Finder. The error names an entry of the table that is not valid.
func New(o Options) (*Finder, error) {
	table, err := readStatic(o.Static, o.AllowHTTP)
	if err != nil {
		return nil, err
	}
	f := &Finder{resolver: o.Resolver, allowHTTP: o.AllowHTTP, now: o.Now, static: table, routes: o.Routes}
	if f.resolver == nil {
		f.resolver = NoDNS{}
	}
	longest := min(cmp.Or(o.MaxTTL, mostTTL), mostTTL)
	f.gateways = newMemory(f.askGateway, o.Now, limits{found: longest, none: min(longest, mostNoneTTL),
		stale: staleFor})
	f.keys = newMemory(f.askKey, o.Now, limits{found: min(longest, mostKeyTTL), none: min(longest, noKeyTTL),
		stale: staleKeyFor})
	f.peerKeys = newMemory(f.askPeer, o.Now, limits{found: peerKeyTTL, none: noKeyTTL, stale: staleKeyFor})
	return f, nil
}

// Gateway returns how the domain is reached: its TXT record at _amtp.{domain}.
// If ctx ends first the error is ErrTemporary; the answer is remembered all the same when
// it arrives.
func (f *Finder) Gateway(ctx context.Context, domain amtp.Domain) (Found, error) {
	return f.gateway(ctx, domain, free)
}

func (f *Finder) gateway(ctx context.Context, domain amtp.Domain, pay payer) (Found, error) {
	p, err := f.peer(ctx, domain)
	switch {
	case err != nil:
		return Found{}, err
	case p != nil:
		return Found{Capabilities: p.Capabilities, DiscoveredAt: f.now(), Source: FromPeer, Client: p.Client}, nil
	}
	if c, ok := f.static.gateways[domain]; ok {
		return Found{Capabilities: c, DiscoveredAt: f.now(), Source: FromStatic}, nil
	}
	k, err := f.gateways.get(ctx, string(domain), pay)
	if err != nil {
		return Found{}, err
	}
	return Found{Capabilities: k.value, TTL: k.ttl, DiscoveredAt: k.learned, Source: FromDNS, Stale: k.stale}, nil
}

// Known returns how the domain is reached, if that is remembered. It does not ask DNS.
func (f *Finder) Known(domain amtp.Domain) (c amtp.Capabilities, known bool) {
	if p, err := f.peer(context.Background(), domain); err != nil || p != nil {
		if p != nil {
			c = p.Capabilities
		}
		return c, p != nil
	}
	if c, ok := f.static.gateways[domain]; ok {
		return c, true
	}
	k, ok := f.gateways.recall(string(domain))
	return k.value, ok && k.err == nil
}

// Doubt makes the next question for the gateway of a domain ask DNS again, because no
// gateway was at the address of the last answer.
func (f *Finder) Doubt(domain amtp.Domain) { f.gateways.doubt(string(domain)) }

// Key returns the key of the domain that the selector names: its TXT record at
// {selector}._amtpkey.{domain}. With ErrNone and ErrInvalid there is an
// [*amtp.SignatureError] in the chain of the error. Both are remembered for 30 seconds at
// most, because the key may be published meanwhile. ctx is used as in [Finder.Gateway].
func (f *Finder) Key(ctx context.Context, domain amtp.Domain, selector string) (amtp.KeyRecord, error) {
	return f.key(ctx, domain, selector, free)
}

func (f *Finder) key(ctx context.Context, domain amtp.Domain, selector string, pay payer) (amtp.KeyRecord, error) {
	name, err := keyName(domain, selector)
	if err != nil {
		return amtp.KeyRecord{}, err
	}
	p, err := f.peer(ctx, domain)
	switch {
	case err != nil:
		return amtp.KeyRecord{}, err
	case p != nil:
		return f.peerKey(ctx, p, selector, pay)
	}
	if k, ok := f.static.keys[name]; ok {
		return k, nil
	}
	k, err := f.keys.get(ctx, name, pay)
	return k.value, err
}

func keyName(domain amtp.Domain, selector string) (string, error) {
	name, err := amtp.KeyRecordName(selector, domain)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, &amtp.SignatureError{Reason: amtp.ReasonMalformed, Cause: err})
	}
	return name, nil
}

// askGateway asks DNS for the record of a domain.
func (f *Finder) askGateway(ctx context.Context, domain string) (amtp.Capabilities, time.Duration, error) {
	a, err := f.resolver.TXT(ctx, amtp.CapabilitiesName(amtp.Domain(domain)))
	if err != nil {
		return amtp.Capabilities{}, 0, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	if a.Status == NoName {
		return f.askDomain(ctx, domain, a.TTL)
	}
	c, err := amtp.ChooseCapabilities(a.Records, f.allowHTTP)
	return c, a.TTL, classify(err)
}

// askDomain tells a domain without a record from one that does not exist. ttl is how long
// the absence of the record is valid.
func (f *Finder) askDomain(ctx context.Context, domain string, ttl time.Duration) (none amtp.Capabilities,
	_ time.Duration, err error) {
	a, err := f.resolver.TXT(ctx, domain)
	switch {
	case err != nil:
		return none, 0, fmt.Errorf("%w: %w", ErrTemporary, err)
	case a.Status == NoName:
		return none, min(ttl, a.TTL), fmt.Errorf("%w: %s", ErrNoDomain, domain)
	}
	return none, ttl, classify(amtp.ErrNoRecord)
}

// askKey asks DNS for the record of a key.
func (f *Finder) askKey(ctx context.Context, name string) (amtp.KeyRecord, time.Duration, error) {
	a, err := f.resolver.TXT(ctx, name)
	if err != nil {
		return amtp.KeyRecord{}, 0, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	k, err := amtp.ChooseKeyRecord(a.Records)
	return k, a.TTL, classify(err)
}

// classify wraps an error of the parsers in the error of its class.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, amtp.ErrNoRecord):
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

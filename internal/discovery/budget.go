package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/amtp-go/amtp"
)

// What strangers may cost: each message that claims to be from a new domain
// asks somebody's name servers.
const (
	newPerMinute   = 10 // names that one address makes us ask for
	atOnce         = 50 // questions that are under way for all strangers together
	clientsWatched = 4096
)

// Budget is a [Finder] for questions that strangers cause. What is remembered
// costs nothing; what has to be asked for is counted by the address of who
// caused it, for IPv6 its /64 network. This machine is bound by the total only,
// for a proxy in front of the gateway brings everybody's messages. A question
// that is paid for is waited for, also when ctx ends: who hangs up early could
// otherwise have any number under way.
type Budget struct {
	finder  *Finder
	slots   chan struct{}
	clients *otter.Cache[netip.Prefix, *rate.Limiter]
}

// NewBudget makes a Budget over f. It keeps what f remembers.
func NewBudget(f *Finder) *Budget {
	return &Budget{
		finder: f,
		slots:  make(chan struct{}, atOnce),
		clients: otter.Must(&otter.Options[netip.Prefix, *rate.Limiter]{
			MaximumSize: clientsWatched,
			Executor:    func(do func()) { do() },
		}),
	}
}

// Gateway is [Finder.Gateway] on behalf of client, or ErrBudget.
func (b *Budget) Gateway(ctx context.Context, client netip.Addr, domain amtp.Domain) (Found, error) {
	if !b.finder.mustAskGateway(domain) {
		return b.finder.Gateway(ctx, domain)
	}
	if err := b.take(client); err != nil {
		return Found{}, err
	}
	defer b.give()
	return b.finder.Gateway(context.WithoutCancel(ctx), domain)
}

// Key is [Finder.Key] on behalf of client, or ErrBudget.
func (b *Budget) Key(ctx context.Context, client netip.Addr, domain amtp.Domain, selector string) (amtp.KeyRecord, error) {
	if !b.finder.mustAskKey(domain, selector) {
		return b.finder.Key(ctx, domain, selector)
	}
	if err := b.take(client); err != nil {
		return amtp.KeyRecord{}, err
	}
	defer b.give()
	return b.finder.Key(context.WithoutCancel(ctx), domain, selector)
}

// mustAskGateway reports whether Gateway would ask DNS.
func (f *Finder) mustAskGateway(domain amtp.Domain) bool {
	if _, ok := f.static.gateways[domain]; ok {
		return false
	}
	_, ok := f.gateways.recall(string(domain))
	return !ok
}

// mustAskKey reports whether Key would ask DNS.
func (f *Finder) mustAskKey(domain amtp.Domain, selector string) bool {
	name, err := keyName(domain, selector)
	if err != nil {
		return false
	}
	if _, ok := f.static.keys[name]; ok {
		return false
	}
	_, ok := f.keys.recall(name)
	return !ok
}

// take pays for one question; give returns what it holds.
func (b *Budget) take(client netip.Addr) error {
	select {
	case b.slots <- struct{}{}:
	default:
		return fmt.Errorf("%w: %d are under way", ErrBudget, atOnce)
	}
	if b.allows(client) {
		return nil
	}
	b.give()
	return fmt.Errorf("%w: %d a minute may be new to us from one address", ErrBudget, newPerMinute)
}

func (b *Budget) give() { <-b.slots }

func (b *Budget) allows(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	if client.IsLoopback() {
		return true
	}
	l, _ := b.clients.ComputeIfAbsent(network(client), func() (*rate.Limiter, bool) {
		return rate.NewLimiter(rate.Every(time.Minute/newPerMinute), newPerMinute), false
	})
	return l.AllowN(b.finder.now(), 1)
}

// network returns what counts as one address: an IPv6 user has a /64.
func network(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of these are one client
	}
	return p
}

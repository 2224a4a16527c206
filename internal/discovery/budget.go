package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/cache"
)

// What strangers may cost: each message that claims to be from a new domain
// asks somebody's name servers.
const (
	newPerMinute   = 10 // names that one address makes us ask for
	atOnce         = 50 // questions that are under way for all clients together
	clientsWatched = 4096
)

// Budget is a [Finder] for questions that strangers cause. What is remembered
// costs nothing, nor does an answer that another's question brings; what has to
// be asked for is counted by the network of who caused it first, which counts as
// one address; those without one are one together. This machine is bound by the total only, for a proxy in front of
// the gateway brings everybody's messages.
//
// A name that was found before is asked for again on nobody's account and
// within a total of its own: no number of strangers makes us forget a peer. A
// question counts in its total until it is answered, also when all who waited
// for it hang up.
type Budget struct {
	finder  *Finder
	fresh   chan struct{} // a slot for each question after a name that is new
	again   chan struct{} // and for each after one that was found before
	clients *cache.Cache[netip.Prefix, *rate.Limiter]
}

// NewBudget makes a Budget over f. It keeps what f remembers.
func NewBudget(f *Finder) *Budget {
	return &Budget{
		finder:  f,
		fresh:   make(chan struct{}, atOnce),
		again:   make(chan struct{}, atOnce),
		clients: cache.New[netip.Prefix, *rate.Limiter](clientsWatched),
	}
}

// Gateway is [Finder.Gateway] on behalf of client, or ErrBudget.
func (b *Budget) Gateway(ctx context.Context, client netip.Prefix, domain amtp.Domain) (Found, error) {
	return b.finder.gateway(ctx, domain, b.payer(client))
}

// Key is [Finder.Key] on behalf of client, or ErrBudget.
func (b *Budget) Key(ctx context.Context, client netip.Prefix, domain amtp.Domain, selector string) (amtp.KeyRecord, error) {
	return b.finder.key(ctx, domain, selector, b.payer(client))
}

// payer pays for one question on the account of client.
func (b *Budget) payer(client netip.Prefix) payer {
	return func(found bool) (func(), error) {
		slots := b.fresh
		if found {
			slots = b.again
		}
		select {
		case slots <- struct{}{}:
		default:
			return nil, fmt.Errorf("%w: %d are under way", ErrBudget, atOnce)
		}
		give := func() { <-slots }
		if found || b.allows(client) {
			return give, nil
		}
		give()
		return nil, fmt.Errorf("%w: %d a minute may be new to us from one address", ErrBudget, newPerMinute)
	}
}

func (b *Budget) allows(client netip.Prefix) bool {
	if client.Addr().IsLoopback() {
		return true
	}
	l := b.clients.GetOrSet(client, func() *rate.Limiter {
		return rate.NewLimiter(rate.Every(time.Minute/newPerMinute), newPerMinute)
	})
	return l.AllowN(b.finder.now(), 1)
}

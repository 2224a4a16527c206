package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/cache"
)

// atOnce is how many questions may be under way for all clients together: each message
// that claims to be from a new domain causes a question to that domain's name servers.
const atOnce = 50

// Accounts bound how many new names one caller can make the gateway look up.
type Accounts interface {
	// LookUp decides on one more look-up for the address. The caller calls done when the
	// question is over, and says whether a name server answered it.
	LookUp(from netip.Addr) (done func(answered bool), refused *amtp.Error)
}

// Budget is a [Finder] for questions that strangers cause. A remembered answer costs
// nothing, and neither does the answer to a question that is under way already. A new
// question counts on the account of the caller that caused it first.
//
// Two kinds of questions count on no account and have a total of their own: those for a
// name that was found before, and, once a minute, one for a domain that is Proven. No
// number of strangers can thus make the gateway forget a peer. A question counts in its
// total until it is answered, even if all callers that waited for it hang up.
type Budget struct {
	finder   *Finder
	accounts Accounts
	// Proven reports whether the domain has proven itself before, by a memory that
	// survives a restart; nil means that no domain has. The next question about such a
	// domain does not count as one about a new domain.
	Proven   func(context.Context, amtp.Domain) bool
	lastFree *cache.Cache[amtp.Domain, time.Time] // when a domain last had a free question
	fresh    chan struct{}                        // a slot for each question for a new name
	again    chan struct{}                        // a slot for each question for a name that was found before
}

// NewBudget makes a Budget over f, which shares f's memory.
func NewBudget(f *Finder, accounts Accounts) *Budget {
	return &Budget{finder: f, accounts: accounts, lastFree: cache.New[amtp.Domain, time.Time](remembered),
		fresh: make(chan struct{}, atOnce), again: make(chan struct{}, atOnce)}
}

// Gateway is [Finder.Gateway] on behalf of client, or ErrBudget. If the account of the
// client is used up, the error wraps the *amtp.Error of its Accounts.
func (b *Budget) Gateway(ctx context.Context, client netip.Addr, domain amtp.Domain) (Found, error) {
	return b.finder.gateway(ctx, domain, b.payer(client, domain))
}

// Key is [Finder.Key] on behalf of client, or ErrBudget as in Gateway.
func (b *Budget) Key(ctx context.Context, client netip.Addr, domain amtp.Domain,
	selector string) (amtp.KeyRecord, error) {
	return b.finder.key(ctx, domain, selector, b.payer(client, domain))
}

// helpEvery is how often a question about a proven domain counts on no account. It is
// bounded because any stranger can invent selectors in the domain's name.
const helpEvery = time.Minute

// mayAskFree reports whether the domain is proven and has had no free question of late.
func (b *Budget) mayAskFree(ctx context.Context, domain amtp.Domain) bool {
	now := b.finder.now()
	if last, ok := b.lastFree.Get(domain); ok && now.Sub(last).Abs() < helpEvery || b.Proven == nil ||
		!b.Proven(ctx, domain) {
		return false
	}
	b.lastFree.Set(domain, now)
	return true
}

// payer charges one question about the domain to the account of client.
func (b *Budget) payer(client netip.Addr, domain amtp.Domain) payer {
	pay := func(found bool) (func(bool), error) {
		slots := b.fresh
		if found {
			slots = b.again
		}
		select {
		case slots <- struct{}{}:
		default:
			return nil, fmt.Errorf("%w: %d are under way", ErrBudget, atOnce)
		}
		if found {
			return func(bool) { <-slots }, nil
		}
		done, refused := b.accounts.LookUp(client)
		if refused != nil {
			<-slots
			return nil, fmt.Errorf("%w: %w", ErrBudget, refused)
		}
		return func(answered bool) {
			<-slots
			done(answered)
		}, nil
	}
	return payer{proven: func(ctx context.Context) bool { return b.mayAskFree(ctx, domain) }, pay: pay}
}

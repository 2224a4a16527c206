package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/cache"
)

// atOnce is how many questions are under way for all clients together: each message
// that claims to be from a new domain asks somebody's name servers.
const atOnce = 50

// Accounts bound how many names that are new one caller makes us ask for.
type Accounts interface {
	// LookUp decides on one more for the address. When the question is over, done is
	// called, and told whether a name server answered it.
	LookUp(from netip.Addr) (done func(answered bool), refused *amtp.Error)
}

// Budget is a [Finder] for questions that strangers cause. What is remembered
// costs nothing, nor does an answer that another's question brings; what has to
// be asked for is on the account of who caused it first.
//
// A name that was found before, and once a minute one of a domain that is Proven, is
// asked for again on nobody's account and within a total of its own: no number of
// strangers makes us forget a peer. A question counts in its total until it is
// answered, also when all who waited for it hang up.
type Budget struct {
	finder   *Finder
	accounts Accounts
	// Proven reports whether the domain has proven itself before, as somebody knows who
	// does not forget it at a restart; nil is none. Its next question is not a new
	// domain's, however many peers one address has.
	Proven func(context.Context, amtp.Domain) bool
	helped *cache.Cache[amtp.Domain, time.Time] // when Proven helped a domain
	fresh  chan struct{}                        // a slot for each question after a name that is new
	again  chan struct{}                        // and for each after one that was found before
}

// NewBudget makes a Budget over f. It keeps what f remembers.
func NewBudget(f *Finder, accounts Accounts) *Budget {
	return &Budget{finder: f, accounts: accounts, helped: cache.New[amtp.Domain, time.Time](remembered),
		fresh: make(chan struct{}, atOnce), again: make(chan struct{}, atOnce)}
}

// Gateway is [Finder.Gateway] on behalf of client, or ErrBudget. Where the account of
// the client is used up, the error holds the *amtp.Error of its Accounts.
func (b *Budget) Gateway(ctx context.Context, client netip.Addr, domain amtp.Domain) (Found, error) {
	return b.finder.gateway(ctx, domain, b.payer(client, domain))
}

// Key is [Finder.Key] on behalf of client, or ErrBudget as Gateway.
func (b *Budget) Key(ctx context.Context, client netip.Addr, domain amtp.Domain,
	selector string) (amtp.KeyRecord, error) {
	return b.finder.key(ctx, domain, selector, b.payer(client, domain))
}

// helpEvery is how often a question about a proven domain is on nobody's account:
// anybody can invent selectors in its name.
const helpEvery = time.Minute

// help reports whether the domain is proven and has not been helped of late.
func (b *Budget) help(ctx context.Context, domain amtp.Domain) bool {
	now := b.finder.now()
	if last, ok := b.helped.Get(domain); ok && now.Sub(last).Abs() < helpEvery || b.Proven == nil ||
		!b.Proven(ctx, domain) {
		return false
	}
	b.helped.Set(domain, now)
	return true
}

// payer pays for one question about the domain on the account of client.
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
	return payer{proven: func(ctx context.Context) bool { return b.help(ctx, domain) }, pay: pay}
}

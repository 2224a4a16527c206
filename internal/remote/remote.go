// Package remote asks other domains about themselves: how their gateway is reached, and
// which agents they list. AMTP §2, §3.
//
// It asks on behalf of the gateway's own agents, its operator and, in the development
// profile, the programs of this machine. It never asks on behalf of a stranger. It sends
// neither a key nor a name of this domain. From another gateway's list it takes only agents
// of that gateway's domain, within bounds. It remembers the list for a minute, so that no
// caller can make it call the same gateway again and again. Everything is in memory.
package remote

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/cache"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Finder finds the gateways of domains. discovery.Finder is one.
type Finder interface {
	Gateway(context.Context, amtp.Domain) (discovery.Found, error)
}

// Domains answers questions about other domains. Any number of callers may ask
// at once.
type Domains struct {
	finder Finder
	client *http.Client
	now    func() time.Time

	lists  *cache.Cache[string, remembered]
	flight singleflight.Group
	slots  chan struct{} // one for each gateway that is being asked
}

// New returns Domains that asks gateways with the client, which is one of
// outbound.
func New(finder Finder, client *http.Client, now func() time.Time) *Domains {
	return &Domains{
		finder: finder, client: client, now: now, slots: make(chan struct{}, atOnce),
		lists: cache.Weighed[string](maxRemembered, func(r remembered) int { return r.size }),
	}
}

// Capabilities returns the data that the domain publishes about its gateway.
func (s *Domains) Capabilities(ctx context.Context, p gateway.Principal, d amtp.Domain) (amtp.DomainCapabilities,
	error) {
	if refused := mayAsk(p); refused != nil {
		return amtp.DomainCapabilities{}, refused
	}
	found, refused := s.find(ctx, d)
	if refused != nil {
		return amtp.DomainCapabilities{}, refused
	}
	return amtp.DomainCapabilities{Capabilities: found.Capabilities, DiscoveredAt: amtp.Time{Time: found.DiscoveredAt},
		TTL: found.TTL.Nanoseconds()}, nil
}

// mayAsk refuses strangers, because a question costs DNS and HTTPS calls.
func mayAsk(p gateway.Principal) error {
	if p.Agent != nil || p.Admin || p.Development {
		return nil
	}
	return amtp.Errorf(amtp.CodeMissingAuthorization,
		"This gateway asks other domains for its own agents only: show an agent's key.").
		With("required_header", "Authorization: Bearer <api-key>")
}

// find finds the domain's gateway.
func (s *Domains) find(ctx context.Context, d amtp.Domain) (discovery.Found, error) {
	if d == "localhost" {
		return discovery.Found{}, notFound(d, "localhost is no domain that others find; it publishes nothing.")
	}
	found, err := s.finder.Gateway(ctx, d)
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, discovery.ErrNoDomain):
		return found, notFound(d, "There is no domain %s.", d)
	case errors.Is(err, discovery.ErrNone):
		return found, notFound(d, "%s publishes no AMTP gateway.", d)
	case errors.Is(err, discovery.ErrInvalid):
		return found, notFound(d, "The AMTP record of %s is not valid, so its gateway cannot be found.", d)
	}
	return found, notNow("DNS does not say now where the gateway of %s is. Try again.", d)
}

func notFound(d amtp.Domain, format string, args ...any) error {
	return amtp.Errorf(amtp.CodeDomainNotFound, format, args...).With("requested_domain", string(d))
}

// askAgain is how long a caller should wait after an error that may pass.
const askAgain = 10 * time.Second

func notNow(format string, args ...any) error {
	e := amtp.Errorf(amtp.CodeTemporaryFailure, format, args...)
	e.RetryAfter = askAgain
	return e
}

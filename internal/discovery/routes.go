package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
)

// StaticRoutes are the domains that are reached without DNS. DNS is asked neither for a
// peer's gateway nor for its keys, because on a private network any machine may answer for
// such a name.
type StaticRoutes interface {
	// Route returns the peer of the domain, nil if there is none. It is called for every
	// question and answers from memory if it can.
	Route(ctx context.Context, d amtp.Domain) (*StaticRoute, error)
	// Keys asks the peer's gateway for its domain's signing keys. The error is ErrNone if
	// that gateway answers that it has none, and ErrTemporary if it does not answer or
	// another gateway does.
	Keys(ctx context.Context, p *StaticRoute) (RouteKeys, error)
}

// StaticRoute is one of StaticRoutes. It is never changed, only replaced.
type StaticRoute struct {
	Domain       amtp.Domain
	Version      string // changes whenever anything else in it changes
	Capabilities amtp.Capabilities
	Client       *http.Client // calls its gateway and no other server
}

// RouteKeys are the keys of a domain by selector.
type RouteKeys map[string]amtp.KeyRecord

// peer returns the peer of the domain, nil if there is none.
func (f *Finder) peer(ctx context.Context, d amtp.Domain) (*StaticRoute, error) {
	if f.routes == nil {
		return nil, nil
	}
	p, err := f.routes.Route(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	return p, nil
}

// peerKey returns a key of a peer. All keys of a peer are asked for together, so that any
// number of selectors causes one question only.
func (f *Finder) peerKey(ctx context.Context, p *StaticRoute, selector string, pay payer) (amtp.KeyRecord, error) {
	name := string(p.Domain) + " " + p.Version
	known, err := f.peerKeys.get(ctx, name, pay)
	key, ok := known.value[selector]
	if !ok && err == nil && f.now().Sub(known.learned) >= noKeyTTL { // the key may be newer than the answer
		f.peerKeys.shorten(name, known, noKeyTTL)
		known, err = f.peerKeys.get(ctx, name, pay)
		key, ok = known.value[selector]
	}
	switch {
	case err != nil && !errors.Is(err, ErrNone):
		return amtp.KeyRecord{}, err
	case !ok && known.stale:
		return amtp.KeyRecord{}, fmt.Errorf("%w: %w", ErrTemporary, known.failure)
	case !ok:
		return amtp.KeyRecord{}, fmt.Errorf("%w: %w", ErrNone,
			&amtp.SignatureError{Reason: amtp.ReasonKeyMissing, Cause: amtp.ErrNoRecord})
	}
	return key, nil
}

// askPeer asks the gateway of a peer for its keys.
func (f *Finder) askPeer(ctx context.Context, name string) (RouteKeys, time.Duration, error) {
	domain, version, _ := strings.Cut(name, " ")
	p, err := f.peer(ctx, amtp.Domain(domain))
	if err != nil {
		return nil, 0, err
	}
	if p == nil || p.Version != version {
		return nil, 0, fmt.Errorf("%w: %s is no longer that peer", ErrTemporary, domain)
	}
	keys, err := f.routes.Keys(ctx, p)
	return keys, peerKeyTTL, err
}

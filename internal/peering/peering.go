// Package peering keeps the peers: domains that this gateway reaches without DNS, because
// its operator named their gateways and the certificates that prove them. An example is two
// machines on a private network.
//
// The package promises: a peer is trusted for its own domain only, and only over a
// connection with the certificate that the operator named. The peer's signing keys come
// only from the peer, over such a connection. For a peer only its own host and port are
// called, at any address. The list is in the store: a running gateway applies a change at
// once, another replica within a second, and a crash loses no change.
package peering

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
)

// Store is the part of gateway.Store that Peering needs.
type Store interface {
	gateway.Documents
	SenderDomain(context.Context, amtp.Domain) (gateway.SenderDomain, error)
	SenderDomainsPage(ctx context.Context, after amtp.Domain, limit int) ([]gateway.SenderDomain, error)
}

// Peering knows the peers of one gateway. It is a discovery.StaticRoutes.
type Peering struct {
	Store  Store
	Domain amtp.Domain // the gateway's own
	// Outbound says how peers are called. Each peer has its own Allow and Pin, and its own
	// Roots if it has an authority.
	Outbound outbound.Options
	// Signer returns the gateway's present key.
	Signer func() *amtp.Signer
	// Self returns the address at which others reach this gateway, and the certificate by
	// which they know it.
	Self func(context.Context) admin.GatewaySelf
	Now  func() time.Time

	mu    sync.Mutex
	known map[amtp.Domain]*discovery.StaticRoute // never changed, only replaced
	read  time.Time                              // when known was read from the store
}

// kind is the kind of the entries among the documents of the store. They are not secret. They
// are documents because a change of documents is stored as a whole or not at all.
const kind = "peer"

// freshFor is how long the list is used before it is read again, because another replica
// may have changed it.
const freshFor = time.Second

// entry is a peer in its stored form.
type entry struct {
	admin.NewPeer
	Added amtp.Time `json:"added_at"`
}

// Route implements discovery.StaticRoutes.
func (s *Peering) Route(ctx context.Context, d amtp.Domain) (*discovery.StaticRoute, error) {
	all, err := s.all(ctx)
	return all[d], err
}

// all returns the peers, from memory if they were read just now.
func (s *Peering) all(ctx context.Context) (map[amtp.Domain]*discovery.StaticRoute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Now()
	if s.known != nil && now.Sub(s.read).Abs() < freshFor {
		return s.known, nil
	}
	list, err := s.Store.Documents(ctx, kind)
	if err != nil {
		return nil, err
	}
	next := make(map[amtp.Domain]*discovery.StaticRoute, len(list))
	for i := range list {
		p, err := s.recall(&list[i])
		if err != nil {
			return nil, fmt.Errorf("read the peer %s: %w", list[i].Name, err)
		}
		next[p.Domain] = p
	}
	for d, before := range s.known {
		if next[d] != before {
			before.Client.CloseIdleConnections()
		}
	}
	s.known, s.read = next, now
	return next, nil
}

// forget makes the next look-up read the store.
func (s *Peering) forget() {
	s.mu.Lock()
	s.read = time.Time{}
	s.mu.Unlock()
}

// recall returns the peer of an entry. If the entry has not changed it is the known peer,
// whose connections are kept.
func (s *Peering) recall(n *gateway.Document) (*discovery.StaticRoute, error) {
	sum := sha256.Sum256(n.Facts)
	version := hex.EncodeToString(sum[:8])
	if before := s.known[amtp.Domain(n.Name)]; before != nil && before.Version == version {
		return before, nil
	}
	var e entry
	if err := json.Unmarshal(n.Facts, &e); err != nil {
		return nil, err
	}
	return s.peer(&e.NewPeer, version)
}

// peer makes a peer from the operator's data.
func (s *Peering) peer(n *admin.NewPeer, version string) (*discovery.StaticRoute, error) {
	caps, err := amtp.ParseCapabilities("v=amtp1;gateway="+n.Gateway, false)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(caps.Gateway)
	if err != nil {
		return nil, err
	}
	o := s.Outbound
	o.Allow = []outbound.Rule{outbound.RuleOf(u)}
	if n.Pin != "" {
		pin, err := amtp.ParsePin(n.Pin)
		if err != nil {
			return nil, err
		}
		o.Pin = pin[:]
	}
	if n.CA != "" {
		if o.Roots, err = outbound.OnlyRoots([]byte(n.CA)); err != nil {
			return nil, err
		}
	}
	if !n.Unsigned {
		caps.Auth = []string{"sig"}
	}
	if n.Receipts {
		caps.Features = []string{amtp.FeatureReceipts}
	}
	return &discovery.StaticRoute{Domain: n.Domain, Version: version, Capabilities: caps, Client: outbound.New(o)}, nil
}

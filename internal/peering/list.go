package peering

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Bounds of the list: it is read as a whole.
const (
	maxPeers = 500
	maxSeen  = 1000     // domains that wrote here
	maxCA    = 64 << 10 // bytes of a PEM file
)

// List returns the peers in the order of their domains, with the time at which each last
// wrote here, and all domains that wrote here.
func (s *Peering) List(ctx context.Context) (admin.PeerList, error) {
	list, err := s.Store.Documents(ctx, kind)
	if err != nil {
		return admin.PeerList{}, err
	}
	all := admin.PeerList{
		Domain: s.Domain,
		Self:   s.Self(ctx),
		Peers:  make([]admin.Peer, 0, len(list)),
		Count:  len(list),
		Seen:   []admin.PeerSeen{},
	}
	for i := range list {
		p, err := s.described(ctx, &list[i])
		if err != nil {
			return admin.PeerList{}, err
		}
		all.Peers = append(all.Peers, p)
	}
	seen, err := s.Store.SenderDomainsPage(ctx, "", maxSeen)
	if err != nil {
		return admin.PeerList{}, err
	}
	for _, p := range seen {
		all.Seen = append(all.Seen, admin.PeerSeen{Domain: p.Domain, First: amtp.Time{Time: p.FirstSeen},
			Last: amtp.Time{Time: p.LastSeen}, Signed: amtp.Time{Time: p.LastSigned}})
	}
	slices.SortFunc(all.Peers, func(a, b admin.Peer) int { return strings.Compare(string(a.Domain), string(b.Domain)) })
	return all, nil
}

// described is a peer in the form for the operator.
func (s *Peering) described(ctx context.Context, n *gateway.Document) (admin.Peer, error) {
	var e entry
	if err := json.Unmarshal(n.Facts, &e); err != nil {
		return admin.Peer{}, err
	}
	seen, err := s.Store.SenderDomain(ctx, e.Domain)
	return admin.Peer{
		NewPeer: e.NewPeer, Added: e.Added,
		LastSeen: amtp.Time{Time: seen.LastSeen}, LastSigned: amtp.Time{Time: seen.LastSigned},
	}, err
}

// Add stores a peer in place of an earlier one of its domain, and returns the result of a
// check. If another gateway than the peer's answers there, the peer is refused. If none
// answers it is stored, because the other side may not run yet.
func (s *Peering) Add(ctx context.Context, n admin.NewPeer) (admin.PeerReport, error) {
	if err := s.judge(&n); err != nil {
		return admin.PeerReport{}, err
	}
	p, err := s.peer(&n, "new")
	if err != nil {
		return admin.PeerReport{}, invalid("%v", err)
	}
	defer p.Client.CloseIdleConnections()
	n.Gateway = p.Capabilities.Gateway // in its normal form
	points, another := s.check(ctx, p)
	if another != nil {
		return admin.PeerReport{}, amtp.Errorf(amtp.CodeConflict, "%s was not added: %s.", n.Domain,
			another.Text).With("point", another.Name)
	}
	e := entry{n, amtp.Time{Time: s.Now()}}
	if err := s.keep(ctx, &e); err != nil {
		return admin.PeerReport{}, err
	}
	return report(admin.Peer{NewPeer: n, Added: e.Added}, points), nil
}

// keep stores an entry in place of the one of its domain.
func (s *Peering) keep(ctx context.Context, e *entry) error {
	facts, err := json.Marshal(e)
	if err != nil {
		return err
	}
	defer s.forget()
	return s.Store.ChangeDocuments(ctx, kind, func(list []gateway.Document) ([]gateway.Document, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(n gateway.Document) bool {
			return n.Name == string(e.Domain)
		})
		if len(list) >= maxPeers {
			return nil, amtp.Errorf(amtp.CodeConflict,
				"This gateway has %d peers, and that is as many as it keeps.", maxPeers)
		}
		return append(list, gateway.Document{Kind: kind, Name: string(e.Domain), Facts: facts,
			Created: e.Added.Time}), nil
	})
}

// Remove removes a peer. Its domain is looked up in DNS again.
func (s *Peering) Remove(ctx context.Context, d amtp.Domain) error {
	there := false
	err := s.Store.ChangeDocuments(ctx, kind, func(list []gateway.Document) ([]gateway.Document, error) {
		rest := slices.DeleteFunc(slices.Clone(list), func(n gateway.Document) bool { return n.Name == string(d) })
		there = len(rest) < len(list)
		return rest, nil
	})
	s.forget()
	switch {
	case err != nil:
		return err
	case !there:
		return noPeer(d)
	}
	return nil
}

// Check checks the connection with a peer, in each direction.
func (s *Peering) Check(ctx context.Context, d amtp.Domain) (admin.PeerReport, error) {
	list, err := s.Store.Documents(ctx, kind)
	if err != nil {
		return admin.PeerReport{}, err
	}
	i := slices.IndexFunc(list, func(n gateway.Document) bool { return n.Name == string(d) })
	if i < 0 {
		return admin.PeerReport{}, noPeer(d)
	}
	about, err := s.described(ctx, &list[i])
	if err != nil {
		return admin.PeerReport{}, err
	}
	p, err := s.peer(&about.NewPeer, "check") // with new connections, because a kept one proves less
	if err != nil {
		return admin.PeerReport{}, err
	}
	defer p.Client.CloseIdleConnections()
	points, _ := s.check(ctx, p)
	return report(about, points), nil
}

func report(p admin.Peer, points []admin.PeerPoint) admin.PeerReport {
	bad := slices.ContainsFunc(points, func(p admin.PeerPoint) bool { return !p.OK })
	return admin.PeerReport{Peer: p, OK: !bad, Points: points}
}

// judge refuses a peer that is not valid, and brings a valid one to its normal form.
func (s *Peering) judge(n *admin.NewPeer) error {
	d, err := amtp.ParseDomain(string(n.Domain))
	switch {
	case err != nil:
		return invalid("%q is no domain: %v", gateway.Short(string(n.Domain)), err)
	case d == s.Domain || d == "localhost":
		return invalid("%s is this gateway itself", d)
	case !strings.HasPrefix(strings.ToLower(n.Gateway), "https://"):
		return invalid("%q is not https; write the URL of its gateway as https://192.168.1.7:8443",
			gateway.Short(n.Gateway))
	case n.Pin != "" && n.CA != "":
		return invalid("give a pin or an authority: either would be enough for whoever has the other")
	case len(n.CA) > maxCA:
		return invalid("the file of the authority has more than %d bytes", maxCA)
	}
	n.Domain = d
	if n.Pin != "" {
		pin, err := amtp.ParsePin(n.Pin)
		if err != nil {
			return invalid("%v", err)
		}
		n.Pin = pin.String()
	}
	return nil
}

func invalid(format string, args ...any) error {
	return amtp.Errorf(amtp.CodeInvalidRequest, "The peer was not added: %s.", amtp.Errorf("", format, args...).Message)
}

func noPeer(d amtp.Domain) error {
	return amtp.Errorf(amtp.CodeDomainNotFound, "%s is not a peer of this gateway. Those that are: amtp peer list",
		gateway.Short(string(d))).
		With("requested_domain", gateway.Short(string(d)))
}

package agent

import (
	"context"
	"errors"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// IssueKey gives an agent one more key and, when alone is set, ends its others. The
// document changes are made with it. A change that fails with an *amtp.Error refuses
// the key.
func (s *Agents) IssueKey(ctx context.Context, p gateway.Principal, name string, alone bool,
	with ...gateway.DocumentChange) (amtp.IssuedKey, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.IssuedKey{}, err
	}
	if err := needAgentKind(a); err != nil {
		return amtp.IssuedKey{}, err
	}
	secret, key := gateway.NewKey(a.ID, s.Now())
	ended, err := s.Store.AddKey(ctx, p.Acting(), key, alone, with...)
	if err != nil {
		return amtp.IssuedKey{}, s.gone(err, name)
	}
	return amtp.IssuedKey{
		Address: a.Address, APIKey: secret, ID: key.ID, Revoked: ended,
		Message: "Key issued; it is shown this once",
	}, nil
}

// Keys lists an agent's keys without their secrets.
func (s *Agents) Keys(ctx context.Context, p gateway.Principal, name string) (amtp.AgentKeys, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.AgentKeys{}, err
	}
	keys, err := s.Store.Keys(ctx, a.ID)
	if err != nil {
		return amtp.AgentKeys{}, err
	}
	list := amtp.AgentKeys{Address: a.Address, Keys: make([]amtp.AgentKey, len(keys)), Count: len(keys)}
	for i, k := range keys {
		list.Keys[i] = amtp.AgentKey{ID: k.ID, CreatedAt: amtp.Time{Time: k.CreatedAt},
			LastUsed: amtp.Time{Time: k.LastUsed}}
	}
	return list, nil
}

// RevokeKey ends one key at once.
func (s *Agents) RevokeKey(ctx context.Context, p gateway.Principal, name, keyID string) (amtp.Address, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.Address{}, err
	}
	err = s.Store.RemoveKey(ctx, p.Acting(), a.ID, keyID)
	if errors.Is(err, gateway.ErrNotFound) {
		return amtp.Address{}, amtp.Errorf(amtp.CodeKeyNotFound, "%s has no key %.80q; list its keys first.",
			a.Address, keyID)
	}
	if err != nil {
		return amtp.Address{}, err
	}
	return a.Address, nil
}

// WhoAmI returns the identity that belongs to an agent's key.
func (s *Agents) WhoAmI(ctx context.Context, p gateway.Principal) (amtp.Identity, error) {
	if err := needAgent(p); err != nil {
		return amtp.Identity{}, err
	}
	unread, pending, err := s.Store.Depth(ctx, p.Acting(), gateway.MaxTotal)
	if err != nil {
		return amtp.Identity{}, err
	}
	var boxes []amtp.Address
	for _, box := range s.Store.Mailboxes(p.Agent.ID) {
		boxes = append(boxes, box.Address)
	}
	return amtp.Identity{
		Address: p.Agent.Address, Domain: string(s.Domain), KeyID: p.KeyID,
		Unread: unread, Pending: pending, CountsCapped: pending == gateway.MaxTotal,
		Mailboxes: boxes,
		Agent:     s.view(p.Agent, true),
	}, nil
}

package agent

import (
	"context"
	"errors"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Mailbox is an inbox that a caller may use: its own, or a shared one of which it is a
// member. The key of Acting is the caller's in both cases.
type Mailbox struct {
	gateway.Acting
	Address amtp.Address
}

// Mailbox returns the inbox with the address, provided that the caller may use it. The
// refusal does not reveal whether another inbox exists.
func (s *Agents) Mailbox(ctx context.Context, p gateway.Principal, address string) (Mailbox, error) {
	if err := needAgent(p); err != nil {
		return Mailbox{}, err
	}
	a, err := s.address(address)
	if err == nil && p.Agent.Address.Equal(a) {
		return Mailbox{p.Acting(), p.Agent.Address}, nil
	}
	if err == nil {
		shared, err := s.Store.AgentNamed(ctx, a)
		if err == nil && shared.Kind == gateway.SharedMailbox && shared.Has(p.Agent.ID) {
			return Mailbox{gateway.Acting{Agent: shared.ID, Key: p.KeyID}, shared.Address}, nil
		}
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return Mailbox{}, err
		}
	}
	return Mailbox{}, amtp.Errorf(amtp.CodeAccessDenied,
		"This inbox is not the one of %s, whose key was shown; that one is /v1/inbox/%s", p.Agent.Address,
		p.Agent.Address)
}

// Own returns the caller's own mailbox.
func Own(p gateway.Principal) (Mailbox, error) {
	if err := needAgent(p); err != nil {
		return Mailbox{}, err
	}
	return Mailbox{p.Acting(), p.Agent.Address}, nil
}

func needAgent(p gateway.Principal) error {
	switch {
	case p.Agent != nil:
		return nil
	case p.Admin:
		return amtp.Errorf(amtp.CodeAccessDenied, "The admin key opens no inbox; show the agent's own key.")
	}
	return amtp.Errorf(amtp.CodeMissingAuthorization, "Agent API key required for inbox access").
		With("required_header", "Authorization: Bearer <api-key>")
}

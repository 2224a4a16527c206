package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// kindOf returns the kind for the word of a registration.
func kindOf(word string) (gateway.AgentKind, error) {
	switch kind := gateway.AgentKind(word); kind {
	case gateway.SingleAgent, gateway.SharedMailbox, gateway.MemberGroup:
		return kind, nil
	}
	return "", fmt.Errorf("kind must be mailbox or group, not %.40q", word)
}

// members returns the ids of the agents with these addresses, for an agent of that kind.
// A mailbox has agents as its members; a group has agents and mailboxes.
func (s *Agents) members(ctx context.Context, kind gateway.AgentKind, addresses []string) ([]gateway.AgentID, error) {
	switch {
	case kind == gateway.SingleAgent && len(addresses) > 0:
		return nil, errors.New("only a mailbox or a group has members")
	case kind == gateway.SingleAgent:
		return nil, nil
	case len(addresses) > gateway.MaxMembers:
		return nil, fmt.Errorf("at most %d members are allowed", gateway.MaxMembers)
	}
	var list []gateway.AgentID
	for _, text := range addresses {
		address, err := s.address(text)
		if err != nil {
			return nil, fmt.Errorf("the member %.80q is no agent of this gateway", text)
		}
		member, err := s.Store.AgentNamed(ctx, address)
		switch {
		case errors.Is(err, gateway.ErrNotFound):
			return nil, fmt.Errorf("the member %.80q is no agent of this gateway", text)
		case err != nil:
			return nil, err
		case member.Kind == gateway.MemberGroup || kind == gateway.SharedMailbox && member.Kind != gateway.SingleAgent:
			return nil, fmt.Errorf("%s is a %s and cannot be a member of a %s", member.Address, member.Kind, kind)
		}
		if !slices.Contains(list, member.ID) {
			list = append(list, member.ID)
		}
	}
	return list, nil
}

// memberAddresses returns the addresses of the members that live, in the order in which
// they were added.
func (s *Agents) memberAddresses(a *gateway.Agent) []amtp.Address {
	var list []amtp.Address
	for _, id := range a.Members {
		if member, err := s.Store.Agent(id); err == nil {
			list = append(list, member.Address)
		}
	}
	return list
}

// memberChange is a change of the members of a mailbox or a group.
type memberChange struct {
	asked       bool
	all         *[]gateway.AgentID // replaces all members; nil leaves them
	add, remove []gateway.AgentID
}

// memberChange finds the members that an update of a names.
func (s *Agents) memberChange(ctx context.Context, a *gateway.Agent, u *amtp.AgentUpdate) (c memberChange, err error) {
	if u.Members != nil {
		list, err := s.members(ctx, a.Kind, *u.Members)
		if err != nil {
			return c, err
		}
		c.all = &list
	}
	if c.add, err = s.members(ctx, a.Kind, u.AddMembers); err != nil {
		return c, err
	}
	if c.remove, err = s.members(ctx, a.Kind, u.RemoveMembers); err != nil {
		return c, err
	}
	c.asked = u.Members != nil || len(u.AddMembers)+len(u.RemoveMembers) > 0
	return c, nil
}

// apply makes the change on the members as they are now.
func (c *memberChange) apply(a *gateway.Agent) error {
	if !c.asked {
		return nil
	}
	list := a.Members
	if c.all != nil {
		list = *c.all
	}
	list = slices.Clone(list)
	for _, id := range c.add {
		if !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	list = slices.DeleteFunc(list, func(id gateway.AgentID) bool { return slices.Contains(c.remove, id) })
	if len(list) > gateway.MaxMembers {
		return fmt.Errorf("at most %d members are allowed", gateway.MaxMembers)
	}
	a.Members = list
	return nil
}

// needAgentKind refuses an operation that a mailbox or a group does not have.
func needAgentKind(a *gateway.Agent) error {
	if a.Kind == gateway.SingleAgent {
		return nil
	}
	return amtp.Errorf(amtp.CodeInvalidRequest, "%s is a %s and has no key; its members use their own keys.", a.Address,
		a.Kind)
}

// checkKind returns an error for a mailbox or a group that is to receive by push.
func checkKind(a *gateway.Agent) error {
	if a.Kind != gateway.SingleAgent && a.DeliveryMode != "pull" {
		return fmt.Errorf("a %s does not receive by push", a.Kind)
	}
	return nil
}

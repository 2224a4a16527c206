// Package agent has the operations of a gateway on its agents. It registers them,
// issues and ends their keys, lists them, and lets each read and acknowledge its own
// inbox. It decides from the principal whether a caller may do so; the caller was
// authenticated before.
package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Agents serves the agents of one domain.
type Agents struct {
	Store  gateway.Store
	Domain amtp.Domain
	Now    func() time.Time
	// Stopping is closed when the gateway shuts down: callers that wait at an inbox are
	// answered then.
	Stopping <-chan struct{}
	// For push agents: the seal of their secrets, the check of their endpoints, and the
	// queue that pushes.
	Seal    gateway.Seal
	Targets Targets
	Queue   Hurrier
}

// Bounds of what an agent says about itself.
const (
	maxDescription  = 1024 // bytes
	maxRole         = 128  // bytes
	maxCapability   = 128  // bytes
	maxCapabilities = 64
	maxSchemas      = 64
)

// address reads a bare name, or an address in our domain.
func (s *Agents) address(name string) (amtp.Address, error) {
	local, domain, full := strings.Cut(name, "@")
	if err := amtp.CheckName(local); err != nil {
		return amtp.Address{}, registrationFailed("%v", err)
	}
	if full {
		d, err := amtp.ParseDomain(domain)
		if err != nil || d != s.Domain && d != "localhost" {
			return amtp.Address{}, registrationFailed("this gateway serves %s, not %.80q", s.Domain, domain)
		}
	}
	a, err := amtp.ParseAddress(local + "@" + string(s.Domain))
	if err != nil {
		return amtp.Address{}, registrationFailed("%v", err)
	}
	return a, nil
}

// check returns an error if an agent's description of itself is not valid.
func check(a *gateway.Agent) error {
	switch {
	case a.DeliveryMode != "pull" && a.DeliveryMode != "push":
		return errors.New("delivery_mode must be pull or push")
	case len(a.Description) > maxDescription || !printable(a.Description):
		return errors.New("description has at most 1024 bytes and no control characters")
	case len(a.Role) > maxRole || !printable(a.Role):
		return errors.New("role has at most 128 bytes and no control characters")
	case len(a.Capabilities) > maxCapabilities || len(a.SupportedSchemas) > maxSchemas:
		return errors.New("at most 64 capabilities and 64 supported_schemas are allowed")
	}
	if a.MaxDeliveries < 0 || a.MaxDeliveries > gateway.MaxDeliveries {
		return fmt.Errorf("max_deliveries must be between 0 and %d", gateway.MaxDeliveries)
	}
	for _, c := range a.Capabilities {
		if c == "" || len(c) > maxCapability || !printable(c) {
			return errors.New("a capability has 1 to 128 bytes and no control characters")
		}
	}
	for _, pattern := range a.SupportedSchemas {
		if err := amtp.CheckSchemaPattern(pattern); err != nil {
			return err
		}
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// named finds the agent that a route names and checks that the caller may manage it:
// the administrator, or the agent itself.
func (s *Agents) named(ctx context.Context, p gateway.Principal, name string) (*gateway.Agent, error) {
	if p.Agent == nil && !p.Admin {
		return nil, gateway.NeedAdmin(&p)
	}
	address, err := s.address(name)
	if p.Admin {
		if err == nil {
			a, err := s.Store.AgentNamed(ctx, address)
			if err == nil {
				return a, nil
			}
			if !errors.Is(err, gateway.ErrNotFound) {
				return nil, err
			}
		}
		return nil, unknown(name)
	}
	if err != nil || !p.Agent.Address.Equal(address) {
		return nil, amtp.Errorf(amtp.CodeAdminAccessDenied,
			"The key of %s manages that agent only; the admin key manages all.", p.Agent.Address)
	}
	return p.Agent, nil
}

// Show returns one agent.
func (s *Agents) Show(ctx context.Context, p gateway.Principal, name string) (amtp.Agent, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.Agent{}, err
	}
	return s.view(a, true), nil
}

// All returns agents by address, for the administrator: up to limit of those after the
// argument after, and the count of all.
func (s *Agents) All(after string, limit int) (admin.AgentMap, gateway.AgentPage) {
	page := s.Store.AgentsPage(gateway.AgentFilter{After: after, Limit: limit})
	all := admin.AgentMap{Agents: make(map[string]amtp.Agent, len(page.Agents)), Count: page.Living,
		HasMore: page.HasMore}
	for _, a := range page.Agents {
		all.Agents[a.Address.String()] = s.view(a, true)
	}
	return all, page
}

// Update changes an agent's description of itself, and the way in which it receives
// messages.
func (s *Agents) Update(ctx context.Context, p gateway.Principal, name string, u amtp.AgentUpdate) (amtp.Agent,
	error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.Agent{}, err
	}
	before, wish := *a, *a
	members, err := s.memberChange(ctx, a, &u)
	if err == nil {
		err = s.apply(&wish, &u, &members)
	}
	if err != nil {
		return amtp.Agent{}, notChanged(err)
	}
	pushSecret := ""
	var with []gateway.DocumentChange
	if u.DeliveryMode != nil || u.PushTarget != nil || u.PushHeaders != nil {
		with = append(with, s.moved(&before, &wish, u.PushHeaders, &pushSecret))
	}
	changed, err := s.Store.UpdateAgent(ctx, p.Acting(), a.ID, func(a *gateway.Agent) error {
		before = *a
		if err := s.apply(a, &u, &members); err != nil {
			return notChanged(err)
		}
		wish = *a
		return nil
	}, with...)
	if err == nil {
		s.followed(ctx, &before, &changed)
		view := s.view(&changed, true)
		view.PushSecret = pushSecret
		return view, nil
	}
	return amtp.Agent{}, s.gone(err, name)
}

// apply changes an agent as the update says, and returns an error if the result is not
// valid.
func (s *Agents) apply(a *gateway.Agent, u *amtp.AgentUpdate, members *memberChange) error {
	set(&a.DeliveryMode, u.DeliveryMode)
	set(&a.Description, u.Description)
	set(&a.Role, u.Role)
	set(&a.Capabilities, u.Capabilities)
	set(&a.SupportedSchemas, u.SupportedSchemas)
	set(&a.Listed, u.Listed)
	if err := setReceipts(a, u.Receipts); err != nil {
		return err
	}
	if err := members.apply(a); err != nil {
		return err
	}
	set(&a.MaxDeliveries, u.MaxDeliveries)
	target, headers := "", map[string]string(nil)
	set(&target, u.PushTarget)
	set(&headers, u.PushHeaders)
	set(&a.Target, u.PushTarget)
	if err := check(a); err != nil {
		return err
	}
	if err := checkKind(a); err != nil {
		return err
	}
	return s.checkPush(a, target, headers)
}

func notChanged(err error) error {
	return amtp.Errorf(amtp.CodeInvalidRequest, "The agent was not changed: %v.", err)
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// Delete ends an agent and its keys.
func (s *Agents) Delete(ctx context.Context, p gateway.Principal, name string) (amtp.Address, error) {
	a, err := s.named(ctx, p, name)
	if err != nil {
		return amtp.Address{}, err
	}
	if err := s.Store.RemoveAgent(ctx, p.Acting(), a.ID, s.Now()); err != nil {
		return amtp.Address{}, s.gone(err, name)
	}
	if a.Target != "" {
		s.Queue.RetryNow(ctx, gateway.PushTo(a.ID)) // so that its senders get a report at once
	}
	return a.Address, nil
}

func (s *Agents) gone(err error, name string) error {
	if errors.Is(err, gateway.ErrNotFound) {
		return unknown(name)
	}
	return err
}

// view returns an agent in the protocol's form. Strangers see the day of its last
// activity. The agent itself, its members and the administrator see the minute, its push
// target and its members.
func (s *Agents) view(a *gateway.Agent, exact bool) amtp.Agent {
	last := a.LastActive
	if !exact {
		last = last.Truncate(24 * time.Hour)
	}
	target, receipts, deliveries := "", "", 0
	var members []amtp.Address
	if exact {
		target, receipts, members = a.Target, string(a.Receipts), s.memberAddresses(a)
		deliveries = a.MaxDeliveries
	}
	return amtp.Agent{
		Address: a.Address, DeliveryMode: a.DeliveryMode, PushTarget: target, Description: a.Description, Role: a.Role,
		Capabilities: orEmpty(a.Capabilities), SupportedSchemas: orEmpty(a.SupportedSchemas),
		CreatedAt: amtp.Time{Time: a.CreatedAt}, LastActive: amtp.Time{Time: last},
		Active: a.Active(s.Now()), Listed: a.Listed, Receipts: receipts, Kind: string(a.Kind), Members: members,
		MaxDeliveries: deliveries,
	}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return slices.Clone(list)
}

func unknown(name string) error {
	return amtp.Errorf(amtp.CodeAgentUnknown,
		"There is no agent %.100q at this gateway; GET /v1/discovery/agents lists those that are listed.", name)
}

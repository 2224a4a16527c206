package agent

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Query chooses agents. AMTP §3. Zero members do not restrict.
type Query struct {
	Address      string
	Role         string
	DeliveryMode string
	ActiveOnly   bool
	Capability   string
	Schema       string // an id, or a pattern that ends in *
}

// QueryOf returns the conditions in a client's query.
func QueryOf(q amtp.AgentQuery) Query {
	return Query{Address: q.Address, Role: q.Role, DeliveryMode: q.DeliveryMode, ActiveOnly: q.ActiveOnly,
		Capability: q.Capability, Schema: q.Schema}
}

// Page says which part of a list is wanted.
type Page struct {
	After string // gateway.AgentPage.Next of an earlier page
	Limit int
}

// Discover lists the listed agents, ordered by address, and returns where the next page
// begins. An agent that is not listed finds itself, and the administrator finds all.
// AgentCount counts all matching agents, as far as the list says.
func (s *Agents) Discover(ctx context.Context, p gateway.Principal, q Query, at Page) (amtp.AgentList, string,
	error) {
	now := s.Now()
	list := amtp.AgentList{Agents: []amtp.Agent{}, Domain: string(s.Domain), Timestamp: amtp.Time{Time: now}}
	mine := func(a *gateway.Agent) bool {
		return p.Admin || p.Agent != nil && (p.Agent.ID == a.ID || a.Has(p.Agent.ID))
	}
	visible := func(a *gateway.Agent) bool {
		return (a.Listed || mine(a)) && q.matches(a) && (!q.ActiveOnly || a.Active(now))
	}
	if q.Address != "" {
		a, err := s.addressed(ctx, q.Address)
		if a != nil && a.Address.Key() > at.After && visible(a) {
			list.Agents, list.AgentCount = append(list.Agents, s.view(a, mine(a))), 1
		}
		return list, "", err
	}
	page := s.Store.AgentsPage(gateway.AgentFilter{After: at.After, Limit: at.Limit, Match: visible,
		Count: q != Query{}})
	for _, a := range page.Agents {
		list.Agents = append(list.Agents, s.view(a, mine(a)))
	}
	list.HasMore, list.Incomplete = page.HasMore, page.Incomplete
	switch {
	case q != Query{}:
		list.AgentCount, list.CountCapped = page.Matched, page.Capped
	case p.Admin:
		list.AgentCount = page.Living
	default:
		list.AgentCount = page.Listed
		if p.Agent != nil && !p.Agent.Listed {
			list.AgentCount++
		}
	}
	return list, page.Next, nil
}

// addressed returns the agent with the address, nil when there is none.
func (s *Agents) addressed(ctx context.Context, address string) (*gateway.Agent, error) {
	a, err := amtp.ParseAddress(address)
	if err != nil {
		return nil, nil // no agent has it
	}
	found, err := s.Store.AgentNamed(ctx, gateway.AtHome(a, s.Domain))
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return found, nil
}

func (q *Query) matches(a *gateway.Agent) bool {
	return (q.Role == "" || strings.EqualFold(q.Role, a.Role)) &&
		(q.DeliveryMode == "" || q.DeliveryMode == a.DeliveryMode) &&
		(q.Capability == "" || slices.Contains(a.Capabilities, q.Capability)) &&
		(q.Schema == "" || slices.ContainsFunc(a.SupportedSchemas, func(s string) bool { return overlap(q.Schema, s) }))
}

// overlap reports whether some schema matches both patterns.
func overlap(a, b string) bool {
	a, aWild := strings.CutSuffix(a, "*")
	b, bWild := strings.CutSuffix(b, "*")
	switch {
	case aWild && bWild:
		return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
	case aWild:
		return strings.HasPrefix(b, a)
	case bWild:
		return strings.HasPrefix(a, b)
	}
	return a == b
}

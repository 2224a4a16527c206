package agent

import (
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

// Discover lists the agents that want to be found, ordered by address. An agent
// that is not listed finds itself, and the administrator finds all.
func (s *Agents) Discover(p gateway.Principal, q Query) amtp.AgentList {
	now := s.Now()
	if a, err := amtp.ParseAddress(q.Address); err == nil {
		q.Address = gateway.AtHome(a, s.Domain).String()
	}
	list := amtp.AgentList{Agents: []amtp.Agent{}, Domain: string(s.Domain), Timestamp: amtp.Time{Time: now}}
	for _, a := range s.Store.Agents() {
		mine := p.Admin || p.Agent != nil && p.Agent.ID == a.ID
		if !a.Listed && !mine || !q.matches(a) || q.ActiveOnly && !a.Active(now) {
			continue
		}
		list.Agents = append(list.Agents, View(a, now, mine))
	}
	list.AgentCount = len(list.Agents)
	return list
}

func (q *Query) matches(a *gateway.Agent) bool {
	return (q.Address == "" || strings.EqualFold(q.Address, a.Address.String())) &&
		(q.Role == "" || strings.EqualFold(q.Role, a.Role)) &&
		(q.DeliveryMode == "" || q.DeliveryMode == a.DeliveryMode) &&
		(q.Capability == "" || slices.Contains(a.Capabilities, q.Capability)) &&
		(q.Schema == "" || slices.ContainsFunc(a.SupportedSchemas, func(s string) bool { return overlap(q.Schema, s) }))
}

// overlap reports whether some schema is covered by both patterns.
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

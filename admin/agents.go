package admin

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/calls"
)

// AgentMap is the administrator's list of agents: a page of them, by address.
type AgentMap struct {
	Agents     map[string]amtp.Agent `json:"agents"`
	Count      int                   `json:"count"` // of all agents, not only those on this page
	HasMore    bool                  `json:"has_more"`
	NextCursor string                `json:"next_cursor,omitempty"` // give it as Cursor to read on
}

// Agents lists the first agents by address, at most 1000, and the count of all.
func (c *Client) Agents(ctx context.Context) (AgentMap, error) {
	return c.AgentsPage(ctx, AgentPageQuery{})
}

// AgentPageQuery chooses a page of agents.
type AgentPageQuery struct {
	Limit  int    // 0 leaves it to the gateway: 1000
	Cursor string // NextCursor of an earlier page
}

// AgentsPage lists agents by address, a page at a time.
func (c *Client) AgentsPage(ctx context.Context, q AgentPageQuery) (AgentMap, error) {
	v := make(calls.Query)
	v.Number("limit", q.Limit)
	v.Text("cursor", q.Cursor)
	var out AgentMap
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "agents"}, Query: v, Repeat: true}, &out)
	return out, err
}

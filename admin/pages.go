package admin

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/calls"
)

// The calls below go through a list from its beginning, or from the cursor of the
// query, to its end. They ask for page after page while they are read. The Limit of the
// query is the size of a page. An error ends the list and comes with a zero value; one
// of them is [amtp.ErrEmptyPages].

// AllAgents goes through the agents that [Client.AgentsPage] lists, by address.
func (c *Client) AllAgents(ctx context.Context, q AgentPageQuery) iter.Seq2[amtp.Agent, error] {
	return calls.Pages(func() ([]amtp.Agent, bool, error) {
		list, err := c.AgentsPage(ctx, q)
		agents := make([]amtp.Agent, 0, len(list.Agents))
		for _, address := range slices.Sorted(maps.Keys(list.Agents)) {
			agents = append(agents, list.Agents[address])
		}
		return agents, calls.GoesOn(list.HasMore, list.NextCursor, &q.Cursor), err
	})
}

// AllJobs goes through the jobs that [Client.Jobs] lists, oldest first.
func (c *Client) AllJobs(ctx context.Context, q JobQuery) iter.Seq2[QueuedJob, error] {
	return calls.Pages(func() ([]QueuedJob, bool, error) {
		list, err := c.Jobs(ctx, q)
		return list.Jobs, calls.GoesOn(list.HasMore, list.NextCursor, &q.After), err
	})
}

// AllDeadLetters goes through the dead letters that [Client.DeadLetters] lists.
func (c *Client) AllDeadLetters(ctx context.Context, q DeadLetterQuery) iter.Seq2[DeadLetter, error] {
	return calls.Pages(func() ([]DeadLetter, bool, error) {
		list, err := c.DeadLetters(ctx, q)
		return list.DeadLetters, calls.GoesOn(list.HasMore, list.NextCursor, &q.After), err
	})
}

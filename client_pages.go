package amtp

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
)

// The calls below go through a list from its beginning, or from the cursor of the
// query, to its end, and ask for page after page as they are read. Limit of the
// query is how much is asked for at once. An error ends the list and comes with a
// zero value: [ErrEmptyPages] is one of them.

// AllMessages goes through the messages that [Client.Messages] lists, newest first.
func (c *Client) AllMessages(ctx context.Context, q MessageQuery) iter.Seq2[MessageSummary, error] {
	return pages(func() ([]MessageSummary, bool, error) {
		list, err := c.Messages(ctx, q)
		more := goesOn(list.HasMore, list.NextCursor, &q.Cursor)
		q.Offset = 0
		return list.Messages, more, err
	})
}

// AllInbox goes through the messages that [Client.Inbox] shows, oldest first. It
// ends when none is left, and waits for none but the first.
func (c *Client) AllInbox(ctx context.Context, address Address, q InboxQuery) iter.Seq2[InboxMessage, error] {
	return pages(func() ([]InboxMessage, bool, error) {
		page, err := c.Inbox(ctx, address, q)
		more := goesOn(page.HasMore, page.NextCursor, &q.After)
		q.Offset, q.Wait = 0, 0
		return page.Messages, more, err
	})
}

// AllDiscovered goes through the agents that [Client.Discover] lists, by address.
func (c *Client) AllDiscovered(ctx context.Context, domain Domain, q AgentQuery) iter.Seq2[Agent, error] {
	return pages(func() ([]Agent, bool, error) {
		list, err := c.Discover(ctx, domain, q)
		return list.Agents, goesOn(list.HasMore, list.NextCursor, &q.Cursor), err
	})
}

// AllAgents goes through the agents that [Client.AgentsPage] lists, by address. It
// needs AdminKey.
func (c *Client) AllAgents(ctx context.Context, q AgentPageQuery) iter.Seq2[Agent, error] {
	return pages(func() ([]Agent, bool, error) {
		list, err := c.AgentsPage(ctx, q)
		agents := make([]Agent, 0, len(list.Agents))
		for _, address := range slices.Sorted(maps.Keys(list.Agents)) {
			agents = append(agents, list.Agents[address])
		}
		return agents, goesOn(list.HasMore, list.NextCursor, &q.Cursor), err
	})
}

// AllJobs goes through the jobs that [Client.Jobs] lists, oldest first. It needs
// AdminKey.
func (c *Client) AllJobs(ctx context.Context, q JobQuery) iter.Seq2[QueuedJob, error] {
	return pages(func() ([]QueuedJob, bool, error) {
		list, err := c.Jobs(ctx, q)
		return list.Jobs, goesOn(list.HasMore, list.NextCursor, &q.After), err
	})
}

// AllDeadLetters goes through the dead letters that [Client.DeadLetters] lists. It
// needs AdminKey.
func (c *Client) AllDeadLetters(ctx context.Context, q DeadLetterQuery) iter.Seq2[DeadLetter, error] {
	return pages(func() ([]DeadLetter, bool, error) {
		list, err := c.DeadLetters(ctx, q)
		return list.DeadLetters, goesOn(list.HasMore, list.NextCursor, &q.After), err
	})
}

// maxEmptyPages is after how many pages in a row without anything on them a list ends.
// A gateway looks at thousands of items for each.
const maxEmptyPages = 100

// ErrEmptyPages ends a list of which the gateway has shown a hundred pages in a row that
// had nothing on them and said that more follows. What matches may be further on: ask
// for less with the query, or go on yourself from the cursors of single pages.
var ErrEmptyPages = errors.New("the gateway showed 100 pages in a row without anything on them, and each said that more follows")

// goesOn notes where the next page begins and reports whether there is one. A
// gateway that names the same place again has no other.
func goesOn(more bool, next string, cursor *string) bool {
	if !more || next == "" || next == *cursor {
		return false
	}
	*cursor = next
	return true
}

// pages goes through what next returns until it says that nothing follows.
func pages[T any](next func() (items []T, more bool, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		for empty := 0; ; {
			items, more, err := next()
			if empty++; len(items) > 0 {
				empty = 0
			}
			if err == nil && more && empty == maxEmptyPages {
				err = ErrEmptyPages
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

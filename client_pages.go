package amtp

import (
	"context"
	"iter"

	"github.com/amtp-go/amtp/internal/calls"
)

// The calls below go through a list from its beginning, or from the cursor of the query,
// to its end. They ask for page after page while they are read. The Limit of the query is
// the size of a page. An error ends the list and comes with a zero value; one of them is
// [ErrEmptyPages].

// AllMessages goes through the messages that [Client.Messages] lists, newest first.
func (c *Client) AllMessages(ctx context.Context, q MessageQuery) iter.Seq2[MessageSummary, error] {
	return calls.Pages(func() ([]MessageSummary, bool, error) {
		list, err := c.Messages(ctx, q)
		more := calls.GoesOn(list.HasMore, list.NextCursor, &q.Cursor)
		q.Offset = 0
		return list.Messages, more, err
	})
}

// AllInbox goes through the messages that [Client.Inbox] shows, oldest first. It ends when
// none is left, and waits only for the first one.
func (c *Client) AllInbox(ctx context.Context, address Address, q InboxQuery) iter.Seq2[InboxMessage, error] {
	return calls.Pages(func() ([]InboxMessage, bool, error) {
		page, err := c.Inbox(ctx, address, q)
		more := calls.GoesOn(page.HasMore, page.NextCursor, &q.After)
		q.Offset, q.Wait = 0, 0
		return page.Messages, more, err
	})
}

// AllDiscovered goes through the agents that [Client.Discover] lists, by address.
func (c *Client) AllDiscovered(ctx context.Context, domain Domain, q AgentQuery) iter.Seq2[Agent, error] {
	return calls.Pages(func() ([]Agent, bool, error) {
		list, err := c.Discover(ctx, domain, q)
		return list.Agents, calls.GoesOn(list.HasMore, list.NextCursor, &q.Cursor), err
	})
}

// ErrEmptyPages ends a list after a hundred empty pages in a row, each of which said that
// more follows. Entries that match may be further on: use a narrower query, or continue
// from the cursors of single pages.
var ErrEmptyPages = calls.ErrEmptyPages

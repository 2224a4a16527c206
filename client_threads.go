package amtp

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/amtp-go/amtp/internal/calls"
)

// Thread describes a conversation in the caller's mailbox.
type Thread struct {
	ThreadID     MessageID     `json:"thread_id"`
	Subject      string        `json:"subject"`                // of the first message that the mailbox has
	MessageCount int           `json:"message_count"`          // counted up to 100
	CountCapped  bool          `json:"count_capped,omitempty"` // there are more than MessageCount
	Unread       int           `json:"unread"`                 // messages of the newest MessageCount that wait unread
	Last         ThreadMessage `json:"last_message"`
}

// ThreadMessage is the newest message of a thread.
type ThreadMessage struct {
	MessageID  MessageID `json:"message_id"`
	Sender     Address   `json:"sender"`
	ReceivedAt Time      `json:"received_at"`
	Trust      Trust     `json:"trust"`
}

// ThreadList is a page of threads, those with the newest messages first.
type ThreadList struct {
	Threads    []Thread `json:"threads"`
	HasMore    bool     `json:"has_more"`
	NextCursor string   `json:"next_cursor,omitempty"` // give it as Cursor to read on
	Incomplete bool     `json:"incomplete,omitempty"`  // the page ended before its limit; read on
}

// ThreadPage is part of a thread, oldest first.
type ThreadPage struct {
	ThreadID   MessageID // in the caller's mailbox
	Messages   []StoredMessage
	HasMore    bool
	NextCursor string // give it as Cursor to read on
}

// ThreadQuery chooses a page of a thread, or of the list of threads.
type ThreadQuery struct {
	Limit  int    // 0 leaves it to the gateway
	Cursor string // NextCursor of an earlier page
	// Mailbox is a shared mailbox of which the caller is a member, which is meant instead
	// of its own.
	Mailbox Address
}

func (q ThreadQuery) values() calls.Query {
	v := make(calls.Query)
	v.Number("limit", q.Limit)
	v.Text("cursor", q.Cursor)
	v.Text("mailbox", q.Mailbox.String())
	return v
}

// Thread returns the messages of a thread that the caller sent or received, oldest first,
// those that it acknowledged too. The id is that of the thread or of any message in it.
func (c *Client) Thread(ctx context.Context, id MessageID, q ThreadQuery) (ThreadPage, error) {
	var page struct {
		ThreadID   MessageID         `json:"thread_id"`
		HasMore    bool              `json:"has_more"`
		NextCursor string            `json:"next_cursor"`
		Messages   []json.RawMessage `json:"messages"`
	}
	if _, err := c.do(ctx, get(path("threads", string(id))).with(q.values()), &page); err != nil {
		return ThreadPage{}, err
	}
	out := ThreadPage{ThreadID: page.ThreadID, HasMore: page.HasMore, NextCursor: page.NextCursor,
		Messages: make([]StoredMessage, len(page.Messages))}
	for i, doc := range page.Messages {
		m := &out.Messages[i]
		m.Message.Raw = doc
		if err := firstError(decode(doc, &m.Message), decode(doc, &m.Status)); err != nil {
			return ThreadPage{}, err
		}
	}
	return out, nil
}

// Threads lists the threads of the caller's mailbox, those with the newest messages first.
func (c *Client) Threads(ctx context.Context, q ThreadQuery) (ThreadList, error) {
	var out ThreadList
	_, err := c.do(ctx, get(path("threads")).with(q.values()), &out)
	return out, err
}

// AllThread goes through the messages of a thread that [Client.Thread] shows.
func (c *Client) AllThread(ctx context.Context, id MessageID, q ThreadQuery) iter.Seq2[StoredMessage, error] {
	return calls.Pages(func() ([]StoredMessage, bool, error) {
		page, err := c.Thread(ctx, id, q)
		return page.Messages, calls.GoesOn(page.HasMore, page.NextCursor, &q.Cursor), err
	})
}

// AllThreads goes through the threads that [Client.Threads] lists.
func (c *Client) AllThreads(ctx context.Context, q ThreadQuery) iter.Seq2[Thread, error] {
	return calls.Pages(func() ([]Thread, bool, error) {
		list, err := c.Threads(ctx, q)
		return list.Threads, calls.GoesOn(list.HasMore, list.NextCursor, &q.Cursor), err
	})
}

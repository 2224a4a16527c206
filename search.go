package amtp

import (
	"context"
	"iter"
	"time"

	"github.com/amtp-go/amtp/internal/calls"
)

// SearchQuery chooses messages by their words. Zero members do not restrict, except for
// Words.
type SearchQuery struct {
	// Words have to be in a message, all of them: in its subject, its schema, its
	// addresses, the values in its payload or the names of its attachments. Words in
	// quotation marks have to follow one another. A * after a word makes it the beginning
	// of a word, of which at least two letters are given. Large and small letters are equal,
	// and accents do not count. At most 256 bytes, 16 words and two beginnings of words.
	Words  string
	From   Address // the sender
	Since  time.Time
	Schema string    // an id, or a pattern that ends in *
	Thread MessageID // in the caller's mailbox
	Limit  int       // 0 leaves it to the gateway: 100
	Cursor string    // NextCursor of an earlier page
	// Mailbox is a shared mailbox of which the caller is a member, which is meant instead
	// of its own.
	Mailbox Address
}

// SearchPage is a page of the messages that a search found, newest first.
type SearchPage struct {
	Messages   []FoundMessage `json:"messages"`
	Count      int            `json:"count"` // on this page
	HasMore    bool           `json:"has_more"`
	NextCursor string         `json:"next_cursor,omitempty"` // give it as Cursor to read on
	// Incomplete says that the page ended before its limit, because the gateway examines
	// only a limited number of messages in one call. Read on from NextCursor.
	Incomplete bool `json:"incomplete,omitempty"`
	// Behind is how many of the caller's newest messages cannot be found yet, because they
	// arrived a moment ago. The gateway counts only the next 1,000 messages that wait, of
	// all agents.
	Behind int `json:"behind"`
}

// FoundMessage is a message that a search found, without its content.
type FoundMessage struct {
	MessageID      MessageID      `json:"message_id"`
	Sender         Address        `json:"sender"`
	Recipients     []Address      `json:"recipients"`
	Subject        string         `json:"subject,omitempty"`
	Schema         string         `json:"schema,omitempty"`
	Timestamp      Time           `json:"timestamp"`
	ReceivedAt     Time           `json:"received_at"`
	ThreadID       MessageID      `json:"thread_id"`
	InReplyTo      MessageID      `json:"in_reply_to,omitempty"`
	Trust          Trust          `json:"trust"`
	Authentication Authentication `json:"authentication"`
	Sent           bool           `json:"sent"` // by the caller
	Size           int            `json:"size"` // bytes of the whole message
	// Snippet is the part of the payload around the first word that was found there, else
	// its beginning: up to 160 bytes of the sender's words.
	Snippet string   `json:"snippet,omitempty"`
	Labels  []string `json:"labels,omitempty"` // in the mailbox that was searched
}

// Search finds messages that the caller, or the mailbox of the query, sent or received,
// newest first. Messages whose
// content was removed after its retention are not found.
func (c *Client) Search(ctx context.Context, q SearchQuery) (SearchPage, error) {
	v := make(calls.Query)
	v.Text("q", q.Words)
	v.Text("from", q.From.String())
	v.Time("since", q.Since)
	v.Text("schema", q.Schema)
	v.Text("thread", string(q.Thread))
	v.Number("limit", q.Limit)
	v.Text("cursor", q.Cursor)
	v.Text("mailbox", q.Mailbox.String())
	var out SearchPage
	_, err := c.do(ctx, get(path("search")).with(v), &out)
	return out, err
}

// AllFound goes through the messages that [Client.Search] finds, newest first, as
// [Client.AllMessages] does.
func (c *Client) AllFound(ctx context.Context, q SearchQuery) iter.Seq2[FoundMessage, error] {
	return calls.Pages(func() ([]FoundMessage, bool, error) {
		page, err := c.Search(ctx, q)
		return page.Messages, calls.GoesOn(page.HasMore, page.NextCursor, &q.Cursor), err
	})
}

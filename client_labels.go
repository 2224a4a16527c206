package amtp

import (
	"context"

	"github.com/amtp-go/amtp/internal/calls"
)

// Labels are the labels of a message in the caller's mailbox.
type Labels struct {
	MessageID MessageID `json:"message_id"`
	Labels    []string  `json:"labels"` // in order
}

// LabelChange adds labels to a message and removes others. A label has 1 to 64 letters of
// ASCII, digits and - _ . / and is kept in lower case.
type LabelChange struct {
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	// Mailbox is a shared mailbox of which the caller is a member, which is meant instead
	// of its own.
	Mailbox Address `json:"-"`
}

// Label changes the labels of a message that the caller sent or received, and returns
// those that it has then: 32 at the most. Nobody else ever sees them.
func (c *Client) Label(ctx context.Context, id MessageID, change LabelChange) (Labels, error) {
	var out Labels
	v := make(calls.Query)
	v.Text("mailbox", change.Mailbox.String())
	to := call{method: "POST", path: path("messages", string(id), "labels"), body: change, repeat: true}
	_, err := c.do(ctx, to.with(v), &out)
	return out, err
}

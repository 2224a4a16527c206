package amtp

import (
	"context"
	"encoding/json"
	"time"

	"github.com/amtp-go/amtp/internal/calls"
)

// ClaimQuery chooses messages to work on. Zero members do not restrict.
type ClaimQuery struct {
	Max        int           // messages, 0 for one
	Visibility time.Duration // how long nobody else gets them, 0 for a minute
	// Wait is how long the gateway waits for a message when there is none.
	Wait      time.Duration
	From      Address
	Thread    MessageID
	InReplyTo MessageID
}

// Claims is the messages that a call claimed, each with its Lease.
type Claims struct {
	Recipient Address
	Messages  []InboxMessage
}

// Claim takes messages out of the inbox of address to work on them. Until their leases end,
// no other claim returns them. [Client.AckClaimed] finishes the work, [Client.Nack] gives a
// message back and [Client.Reject] refuses it. Messages whose leases end are claimed again.
func (c *Client) Claim(ctx context.Context, address Address, q ClaimQuery) (Claims, error) {
	body := map[string]any{"max": max(q.Max, 1)}
	filter := map[string]any{}
	for name, value := range map[string]string{"from": q.From.String(), "thread": string(q.Thread),
		"in_reply_to": string(q.InReplyTo)} {
		if value != "" {
			filter[name] = value
		}
	}
	if len(filter) > 0 {
		body["filter"] = filter
	}
	if q.Visibility != 0 {
		body["visibility"] = q.Visibility.String()
	}
	if q.Wait != 0 {
		body["wait"] = q.Wait.String()
	}
	var raw json.RawMessage
	p := path("inbox", address.String(), "claim")
	if _, err := c.do(ctx, call{method: "POST", path: p, body: body}, &raw); err != nil {
		return Claims{}, err
	}
	page, err := decodeInbox(raw)
	return Claims{Recipient: page.Recipient, Messages: page.Messages}, err
}

// Extend moves the end of the lease on a message to a time from now.
func (c *Client) Extend(ctx context.Context, address Address, id MessageID, lease string,
	visibility time.Duration) (LeaseResult, error) {
	var out LeaseResult
	_, err := c.do(ctx, call{method: "POST", path: path("inbox", address.String(), string(id), "extend"), repeat: true,
		body: map[string]any{"lease": lease, "visibility": visibility.String()}}, &out)
	return out, err
}

// Nack gives a message back, so that it may be claimed again after the delay. The reason may
// be "".
func (c *Client) Nack(ctx context.Context, address Address, id MessageID, lease string, delay time.Duration,
	reason string) (LeaseResult, error) {
	var out LeaseResult
	_, err := c.do(ctx, call{method: "POST", path: path("inbox", address.String(), string(id), "nack"),
		body: map[string]any{"lease": lease, "delay": delay.String(), "reason": reason}}, &out)
	return out, err
}

// Reject refuses the work that a message asks for: it becomes a dead letter, and its sender
// is told. The lease and the reason may be "". A repeated call succeeds.
func (c *Client) Reject(ctx context.Context, address Address, id MessageID, lease,
	reason string) (RejectResult, error) {
	body := map[string]any{"reason": reason}
	if lease != "" {
		body["lease"] = lease
	}
	var out RejectResult
	_, err := c.do(ctx, call{method: "POST", path: path("inbox", address.String(), string(id), "reject"), repeat: true,
		body: body}, &out)
	return out, err
}

// AckClaimed acknowledges a message under its lease. When the lease has ended, the error has
// the code LEASE_LOST, and somebody else may be working on the message.
func (c *Client) AckClaimed(ctx context.Context, address Address, id MessageID, lease string) (AckResult, error) {
	v := make(calls.Query)
	v.Text("lease", lease)
	var out AckResult
	p := path("inbox", address.String(), string(id))
	_, err := c.do(ctx, call{method: "DELETE", path: p, query: v, repeat: true}, &out)
	return out, err
}

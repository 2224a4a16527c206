package amtp

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/amtp-go/amtp/internal/calls"
)

// Client calls one gateway. Set its members before the first call. Any number of calls may
// run at the same time if the members do not change meanwhile.
//
// Every call returns an *[Error] if the gateway refused it, a *[ConnectError] if no answer
// came, and a *[URLError] if URL cannot be used, in particular if a key would be sent
// unencrypted to another machine. Redirects are not followed.
//
// A call that may be repeated without harm is tried again after a lost connection and
// after the answers 429, 502, 503 and 504. The pauses grow, or follow the gateway's
// Retry-After. Calls that are not repeated say so.
type Client struct {
	// URL is the gateway's base, such as https://amtp.example.com. It may have
	// a path and a slash at its end.
	URL string
	// Key is the agent's API key. Empty means that none is sent.
	Key string
	// AdminKey is sent only with calls for which an administrator may be needed.
	AdminKey string
	// HTTP makes the connections; nil means the standard transport. How it
	// treats redirects is not used.
	HTTP *http.Client
	// UserAgent is sent with every request; empty means the protocol's form with this
	// library's version.
	UserAgent string
	// Retries is how often a call is tried again; 0 means 3, a negative number never.
	Retries int
}

// Send submits a message. If it returns without an error, the gateway has accepted the
// message for the recipients that are not marked failed. A message without an idempotency
// key gets one, so that a repeated request of this call cannot arrive twice. A caller that
// may repeat the call itself must set the key. Only the exported members of m are sent.
func (c *Client) Send(ctx context.Context, m Message) (SendResult, error) {
	if m.Version == "" {
		m.Version = Version
	}
	if m.IdempotencyKey == "" {
		key, err := uuid.NewRandom()
		if err != nil {
			return SendResult{}, err
		}
		m.IdempotencyKey = key.String()
	}
	var out SendResult
	header, err := c.do(ctx, call{method: "POST", path: path("messages"), body: m, repeat: true}, &out)
	out.Replayed = header.Get("Idempotent-Replayed") == "true"
	return out, err
}

// Message returns a message that the caller sent or received, with its status.
func (c *Client) Message(ctx context.Context, id MessageID) (StoredMessage, error) {
	var raw json.RawMessage
	var out StoredMessage
	_, err := c.do(ctx, get(path("messages", string(id))), &raw)
	if err == nil {
		out.Message.Raw = raw
		err = firstError(decode(raw, &out.Message), decode(raw, &out.Status))
	}
	return out, err
}

// Status returns the status of a message.
func (c *Client) Status(ctx context.Context, id MessageID) (MessageStatus, error) {
	var out MessageStatus
	_, err := c.do(ctx, get(path("messages", string(id), "status")), &out)
	return out, err
}

// MessageQuery chooses messages. Zero members do not restrict.
type MessageQuery struct {
	Status    Status
	Sender    Address
	Recipient Address
	Since     time.Time
	Sent      bool   // only those that the caller sent
	Label     string // only those with the caller's label
	Limit     int    // 0 leaves it to the gateway: 100
	Offset    int    // 10,000 at the most; not with Cursor
	Cursor    string // NextCursor of an earlier page
}

// Messages lists messages that the caller sent or received, newest first.
func (c *Client) Messages(ctx context.Context, q MessageQuery) (MessageList, error) {
	v := make(calls.Query)
	v.Text("status", string(q.Status))
	v.Text("sender", q.Sender.String())
	v.Text("recipient", q.Recipient.String())
	v.Time("since", q.Since)
	v.Flag("sent", q.Sent)
	v.Text("label", q.Label)
	v.Number("limit", q.Limit)
	v.Number("offset", q.Offset)
	v.Text("cursor", q.Cursor)
	var out MessageList
	_, err := c.do(ctx, get(path("messages")).with(v), &out)
	return out, err
}

// InboxQuery chooses messages of an inbox. Zero members do not restrict.
type InboxQuery struct {
	Limit  int // 0 leaves it to the gateway: 100
	Offset int
	Since  time.Time
	Status string // unread or read
	Label  string // only those with the label
	After  string // NextCursor of an earlier page
	// InReplyTo chooses the answers to a message, by whichever of its ids they name it.
	InReplyTo MessageID
	From      Address   // of the sender
	Thread    MessageID // the id of the thread, or of any message in it
	Fields    string    // FieldsHeaders leaves Payload out; "" means whole messages
	Sort      string    // SortPriority puts the most urgent first, on one page; "" means the oldest first
	// Wait is how long the gateway waits for a message before it answers with an empty
	// page, in whole seconds. A gateway may answer earlier.
	Wait time.Duration
}

// Inbox returns the messages in the inbox of address, oldest first. Reading
// changes nothing: a message stays until [Client.Ack].
func (c *Client) Inbox(ctx context.Context, address Address, q InboxQuery) (InboxPage, error) {
	v := make(calls.Query)
	v.Number("limit", q.Limit)
	v.Number("offset", q.Offset)
	v.Time("since", q.Since)
	v.Text("status", q.Status)
	v.Text("label", q.Label)
	v.Text("after", q.After)
	v.Text("in_reply_to", string(q.InReplyTo))
	v.Text("from", q.From.String())
	v.Text("thread", string(q.Thread))
	v.Text("fields", q.Fields)
	v.Text("sort", q.Sort)
	v.Number("wait", int(q.Wait/time.Second))
	var raw json.RawMessage
	if _, err := c.do(ctx, get(path("inbox", address.String())).with(v), &raw); err != nil {
		return InboxPage{}, err
	}
	return decodeInbox(raw)
}

// decodeInbox reads a page and its messages, each with its bytes.
func decodeInbox(doc []byte) (InboxPage, error) {
	var raw struct {
		Recipient    Address           `json:"recipient"`
		Count        int               `json:"count"`
		MessageCount int               `json:"message_count"`
		HasMore      bool              `json:"has_more"`
		NextCursor   string            `json:"next_cursor"`
		Incomplete   bool              `json:"incomplete"`
		Messages     []json.RawMessage `json:"messages"`
	}
	if err := decode(doc, &raw); err != nil {
		return InboxPage{}, err
	}
	out := InboxPage{
		Recipient: raw.Recipient, Count: raw.Count, MessageCount: raw.MessageCount,
		HasMore: raw.HasMore, NextCursor: raw.NextCursor, Incomplete: raw.Incomplete,
		Messages: make([]InboxMessage, len(raw.Messages)),
	}
	for i, doc := range raw.Messages {
		if err := decode(doc, &out.Messages[i]); err != nil {
			return InboxPage{}, err
		}
		out.Messages[i].Raw = doc
	}
	return out, nil
}

// MarkRead marks a message in the inbox as read.
func (c *Client) MarkRead(ctx context.Context, address Address, id MessageID) (ReadResult, error) {
	var out ReadResult
	p := path("inbox", address.String(), string(id), "read")
	_, err := c.do(ctx, call{method: "POST", path: p, repeat: true}, &out)
	return out, err
}

// Ack acknowledges a message, which leaves the inbox for good. A repeated call succeeds.
func (c *Client) Ack(ctx context.Context, address Address, id MessageID) (AckResult, error) {
	var out AckResult
	p := path("inbox", address.String(), string(id))
	_, err := c.do(ctx, call{method: "DELETE", path: p, repeat: true}, &out)
	return out, err
}

// AgentQuery chooses agents of a directory. Zero members do not restrict.
type AgentQuery struct {
	Address      string
	Role         string
	DeliveryMode string // pull or push
	ActiveOnly   bool   // seen within the last 30 days
	Capability   string
	Schema       string // an id, or a pattern such as agntcy:commerce.*
	Limit        int    // 0 leaves it to the gateway: 1000
	Cursor       string // NextCursor of an earlier page
}

// Discover lists agents of a domain by address; "" means the gateway's own domain. For
// another domain the gateway asks the gateway there, if the caller has a key. AMTP §3.
func (c *Client) Discover(ctx context.Context, domain Domain, q AgentQuery) (AgentList, error) {
	p := path("discovery", "agents")
	if domain != "" {
		p = path("discovery", "agents", string(domain))
	}
	v := make(calls.Query)
	v.Text("address", q.Address)
	v.Text("role", q.Role)
	v.Text("delivery_mode", q.DeliveryMode)
	v.Flag("active_only", q.ActiveOnly)
	v.Text("capability", q.Capability)
	v.Text("schema", q.Schema)
	v.Number("limit", q.Limit)
	v.Text("cursor", q.Cursor)
	var out AgentList
	_, err := c.do(ctx, get(p).with(v), &out)
	return out, err
}

// Capabilities returns what a domain publishes about its gateway, as the gateway
// finds it. AMTP §2.
func (c *Client) Capabilities(ctx context.Context, domain Domain) (DomainCapabilities, error) {
	var out DomainCapabilities
	_, err := c.do(ctx, get(path("capabilities", string(domain))), &out)
	return out, err
}

// WhoAmI returns the agent to whom Key belongs.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var out Identity
	_, err := c.do(ctx, get(path("whoami")), &out)
	return out, err
}

// Health asks whether the gateway's process is healthy. An unhealthy one is no error: see
// the answer.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var out Health
	_, err := c.do(ctx, call{method: "GET", path: "/health", probe: true}, &out)
	return out, err
}

// Ready asks whether the gateway can store messages. One that is not ready is no error: see
// the answer.
func (c *Client) Ready(ctx context.Context) (Health, error) {
	var out Health
	_, err := c.do(ctx, call{method: "GET", path: "/ready", probe: true}, &out)
	return out, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

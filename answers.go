package amtp

import "encoding/json"

// Status is the state of a message, or of its delivery to one recipient, in
// the protocol's words. AMTP §5.
type Status string

// The states on the wire. Accepted occurs only in the answer to a submission.
const (
	StatusAccepted   Status = "accepted"
	StatusQueued     Status = "queued"
	StatusDelivering Status = "delivering"
	StatusRetrying   Status = "retrying"
	StatusDelivered  Status = "delivered"
	StatusFailed     Status = "failed"
)

// StatusPending is a word of the filter of [Client.Messages] only: it selects
// every message that is still queued, delivering or retrying for a recipient.
const StatusPending Status = "pending"

// Trust says how well the sender of a message is known to the gateway.
type Trust string

// The labels. Only Local and Verified mean that the sender was proven.
const (
	TrustLocal      Trust = "local"      // an agent of this gateway, by its key
	TrustVerified   Trust = "verified"   // another domain, by its signature
	TrustUnverified Trust = "unverified" // the sender is not proven
	TrustBridged    Trust = "bridged"    // came as e-mail
)

// Authentication is the gateway's finding about a sender. It is recorded beside the
// message, never taken from it.
type Authentication struct {
	Result    string `json:"result"` // pass, fail, none, temperror or permerror
	Domain    string `json:"domain,omitempty"`
	Selector  string `json:"selector,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// FirstContact says that no earlier message from the address to this agent was proven
	// by its domain. It is always true for a message that proves nothing.
	FirstContact bool `json:"first_contact,omitempty"`
}

// RecipientStatus is the state of a message for one recipient.
type RecipientStatus struct {
	Address        Address `json:"address"`
	Status         Status  `json:"status"`
	Timestamp      Time    `json:"timestamp"` // of the last change
	Attempts       int     `json:"attempts"`
	DeliveryMode   string  `json:"delivery_mode,omitempty"` // pull or push
	LocalDelivery  bool    `json:"local_delivery,omitempty"`
	InboxDelivered bool    `json:"inbox_delivered,omitempty"`
	DeliveredAt    Time    `json:"delivered_at,omitzero"`
	Acknowledged   bool    `json:"acknowledged,omitempty"`
	AcknowledgedAt Time    `json:"acknowledged_at,omitzero"`
	// For a recipient in another domain Read, Refused and Acknowledged are what its
	// gateway said in a receipt, if it sends any.
	Read   bool `json:"read,omitempty"`
	ReadAt Time `json:"read_at,omitzero"`
	// Claimed says that a reader of the inbox works on the message now. Only the sender
	// learns it, of a recipient of its own gateway.
	Claimed      bool   `json:"claimed,omitempty"`
	Refused      bool   `json:"refused,omitempty"` // the recipient refused the work that was asked of it
	RefusedAt    Time   `json:"refused_at,omitzero"`
	ErrorCode    Code   `json:"error_code,omitempty"`
	ErrorMessage string `json:"error_message,omitempty"`
}

// AllFailed reports whether a message failed for all of its recipients.
func AllFailed(list []RecipientStatus) bool {
	for i := range list {
		if list[i].Status != StatusFailed {
			return false
		}
	}
	return len(list) > 0
}

// SendResult answers a submission. Recipients are in the order of the request.
type SendResult struct {
	MessageID  MessageID         `json:"message_id,omitempty"` // "" if a refused message had none
	Status     Status            `json:"status"`
	Recipients []RecipientStatus `json:"recipients"`
	// LocalID is the id under which the gateway of another domain keeps the message, if
	// it is not MessageID.
	LocalID MessageID `json:"local_id,omitempty"`
	// Replayed says that the gateway recognised a retry and stored nothing new.
	Replayed bool `json:"-"`
}

// MessageStatus is the status of a message, for each recipient. AMTP §5.
type MessageStatus struct {
	MessageID   MessageID         `json:"message_id"`
	Status      Status            `json:"status"`
	CreatedAt   Time              `json:"created_at"`
	UpdatedAt   Time              `json:"updated_at"`
	DeliveredAt *Time             `json:"delivered_at"` // nil until all recipients have the message
	Recipients  []RecipientStatus `json:"recipients"`
	Attempts    int               `json:"attempts"`
	NextRetry   *Time             `json:"next_retry"` // nil if there is nothing to retry

	// SenderVerification says how the sender is known. It is nil if the gateway, or the
	// version of it that accepted the message, does not say.
	SenderVerification *SenderVerification `json:"sender_verification,omitempty"`

	// SentBy is the member that wrote for a shared mailbox. Only the members and the
	// administrator see it.
	SentBy *Address `json:"sent_by,omitempty"`
}

// MessageSummary is one entry of a list of messages, without the content.
type MessageSummary struct {
	MessageStatus
	Sender    Address   `json:"sender"`
	Subject   string    `json:"subject,omitempty"`
	InReplyTo MessageID `json:"in_reply_to,omitempty"`
	Labels    []string  `json:"labels,omitempty"` // the reader's own; see [Client.Label]
}

// MessageList is a page of messages, newest first. Total counts the messages that match,
// up to 1,000 or the end of the page; TotalCapped says that there may be more. With a
// cursor, Total counts the messages on the page.
type MessageList struct {
	Messages    []MessageSummary `json:"messages"`
	Total       int              `json:"total"`
	TotalCapped bool             `json:"total_capped,omitempty"`
	Limit       int              `json:"limit"`
	Offset      int              `json:"offset"`
	HasMore     bool             `json:"has_more"`
	NextCursor  string           `json:"next_cursor,omitempty"` // give it as Cursor to read on
	// Incomplete says that the page ended before its limit, because the gateway examines
	// only a limited number of messages in one call. Read on from NextCursor.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Received is a message as a gateway shows it to a caller that may read it: the gateway's
// own members, and the sender's.
type Received struct {
	MessageID       MessageID       `json:"message_id"`
	SenderMessageID MessageID       `json:"sender_message_id,omitempty"` // the sender's own id, if it differs
	Timestamp       Time            `json:"timestamp"`
	Sender          Address         `json:"sender"`
	Subject         string          `json:"subject"`
	Schema          string          `json:"schema"`
	Headers         json.RawMessage `json:"headers"`
	Payload         json.RawMessage `json:"payload"`
	InReplyTo       MessageID       `json:"in_reply_to"`
	ResponseType    string          `json:"response_type"`
	Attachments     []Attachment    `json:"attachments"`
	Trust           Trust           `json:"trust"`
	Authentication  Authentication  `json:"authentication"`
	ReceivedAt      Time            `json:"received_at"`
	ThreadID        MessageID       `json:"thread_id"`
	Labels          []string        `json:"labels"`      // the reader's own; see [Client.Label]
	BodyPurged      bool            `json:"body_purged"` // retention has removed the content

	// SenderVerification says the same as Trust and Authentication in the protocol's
	// words. It is nil if the gateway, or the version of it that accepted the message,
	// does not say.
	SenderVerification *SenderVerification `json:"sender_verification,omitempty"`

	// Raw is the object as the gateway wrote it.
	Raw json.RawMessage `json:"-"`
}

// InboxMessage is a message in an inbox.
type InboxMessage struct {
	Received
	Recipients    []Address `json:"recipients"`
	Status        string    `json:"status"`         // unread or read
	DeliveryCount int       `json:"delivery_count"` // how often it was leased
	// Size is how many bytes the message has. It is there, and Payload is not, if only the
	// headers were asked for.
	Size int64 `json:"size,omitempty"`
	// Lease is there in the answer to a claim.
	Lease *Lease `json:"lease,omitempty"`
}

// Lease is the right to work on a message that was claimed.
type Lease struct {
	Token   string `json:"token"`   // shown to extend the lease and to finish the work
	Until   Time   `json:"until"`   // nobody else gets the message before
	Attempt int    `json:"attempt"` // how often the message was claimed, with this time
}

// LeaseResult answers a call that extends a lease or gives a message back.
type LeaseResult struct {
	MessageID MessageID `json:"message_id"`
	Status    string    `json:"status"`  // extended or returned
	Until     Time      `json:"until"`   // of the lease, or when the message may be claimed again
	Attempt   int       `json:"attempt"` // how often the message was claimed
	Recipient Address   `json:"recipient"`
}

// RejectResult answers a rejection. A repeated one has the time of the first.
type RejectResult struct {
	MessageID MessageID `json:"message_id"`
	Status    string    `json:"status"` // rejected
	Timestamp Time      `json:"timestamp"`
	Recipient Address   `json:"recipient"`
}

// InboxCount is how many messages are in an inbox, counted up to 1,000 each.
type InboxCount struct {
	Recipient Address `json:"recipient"`
	Unread    int     `json:"unread"` // those not marked read
	Pending   int     `json:"pending"`
	// CountsCapped says that there may be more than were counted.
	CountsCapped bool `json:"counts_capped,omitempty"`
}

// InboxPage is part of an inbox, oldest first.
type InboxPage struct {
	Recipient    Address        `json:"recipient"`
	Count        int            `json:"count"`
	MessageCount int            `json:"message_count"` // the same as Count
	HasMore      bool           `json:"has_more"`
	NextCursor   string         `json:"next_cursor"`          // give it as After to read on
	Incomplete   bool           `json:"incomplete,omitempty"` // the page ended before its limit; read on
	Messages     []InboxMessage `json:"messages"`
}

// StoredMessage is a message with its status, for its sender, its recipients
// and the administrator.
type StoredMessage struct {
	Message Received
	Status  MessageStatus
}

// AckResult answers an acknowledgement. A repeated one has the time of the first.
type AckResult struct {
	MessageID MessageID `json:"message_id"`
	Status    string    `json:"status"` // acknowledged
	Timestamp Time      `json:"timestamp"`
	Recipient Address   `json:"recipient"`
	Message   string    `json:"message"`
}

// ReadResult answers a read mark.
type ReadResult struct {
	MessageID MessageID `json:"message_id"`
	Status    string    `json:"status"` // read
	Timestamp Time      `json:"timestamp"`
	Recipient Address   `json:"recipient"`
}

// Agent is an agent as its gateway lists it.
type Agent struct {
	Address      Address `json:"address"`
	DeliveryMode string  `json:"delivery_mode"` // pull or push
	// PushTarget is shown only to the agent itself and the administrator.
	PushTarget       string   `json:"push_target,omitempty"`
	Description      string   `json:"description,omitempty"`
	Role             string   `json:"role,omitempty"`
	Capabilities     []string `json:"capabilities"`
	SupportedSchemas []string `json:"supported_schemas"`
	CreatedAt        Time     `json:"created_at"`
	LastActive       Time     `json:"last_active"`
	Active           bool     `json:"active"` // within the last 30 days
	Listed           bool     `json:"listed"` // shown in discovery
	// Receipts says whether senders in other domains get receipts when the agent has read
	// or acknowledged their messages: always or never, "" for the operator's setting. It
	// is shown only to the agent itself and the administrator.
	Receipts string `json:"receipts,omitempty"`
	// MaxDeliveries is how often a message may be claimed from the inbox before it becomes
	// a dead letter, 0 for any number. It is shown as Receipts is.
	MaxDeliveries int `json:"max_deliveries,omitempty"`
	// Kind is mailbox for an inbox that members share, group for a list of members, and ""
	// for an agent. Members is shown only to the members and the administrator.
	Kind    string    `json:"kind,omitempty"`
	Members []Address `json:"members,omitempty"`
	// APIKey is only in the answer to a registration.
	APIKey string `json:"api_key,omitempty"`
	// PushSecret is only in the answer to the request that made it.
	PushSecret string `json:"push_secret,omitempty"`
}

// AgentList is the answer of discovery: a page of agents, by address. AMTP §3.
type AgentList struct {
	Agents []Agent `json:"agents"`
	// AgentCount is how many agents match, on this page and others. With conditions it
	// counts those after the cursor. CountCapped says that there may be more, because the
	// gateway examines only a limited number of agents in one call.
	AgentCount  int    `json:"agent_count"`
	CountCapped bool   `json:"count_capped,omitempty"`
	Domain      string `json:"domain"`
	Timestamp   Time   `json:"timestamp"`
	HasMore     bool   `json:"has_more"`
	NextCursor  string `json:"next_cursor,omitempty"` // give it as Cursor to read on
	Incomplete  bool   `json:"incomplete,omitempty"`  // the page ended before its limit; read on
}

// DomainCapabilities says how a domain is reached, as a gateway found it.
type DomainCapabilities struct {
	Capabilities
	DiscoveredAt Time `json:"discovered_at"`
	// TTL is for how many nanoseconds the answer is valid from DiscoveredAt, 0 for an
	// entry that the gateway's operator configured instead of DNS.
	TTL int64 `json:"ttl"`
}

// NewAgent asks for a registration.
type NewAgent struct {
	Address      string `json:"address"`       // a name, or an address in the gateway's domain
	DeliveryMode string `json:"delivery_mode"` // pull or push
	// PushTarget is the URL of a push agent's endpoint. PushHeaders are sent there with
	// each message; they are stored sealed and never shown.
	PushTarget  string            `json:"push_target,omitempty"`
	PushHeaders map[string]string `json:"push_headers,omitempty"`

	Description      string   `json:"description,omitempty"`
	Role             string   `json:"role,omitempty"`
	Capabilities     []string `json:"capabilities,omitempty"`
	SupportedSchemas []string `json:"supported_schemas,omitempty"`
	Listed           *bool    `json:"listed,omitempty"` // nil means listed

	// Kind is mailbox, group or "" for an agent. A mailbox and a group have members, which
	// are names or addresses of agents here, and no key. Only an administrator makes them.
	Kind    string   `json:"kind,omitempty"`
	Members []string `json:"members,omitempty"`

	// IdempotencyKey makes the registration repeatable. For ten minutes the same
	// registration with the same key gets the same answer; another registration of the
	// name with that key gets IDEMPOTENCY_KEY_REUSED. The key has 22 to 128 letters,
	// digits, - and _, chosen at random, and must be kept secret until the answer
	// arrives. It is sent in the header Idempotency-Key, which other gateways may ignore.
	IdempotencyKey string `json:"-"`
}

// AgentUpdate changes an agent; nil members stay as they are. PushHeaders replaces all
// earlier headers.
type AgentUpdate struct {
	DeliveryMode *string            `json:"delivery_mode,omitempty"`
	PushTarget   *string            `json:"push_target,omitempty"`
	PushHeaders  *map[string]string `json:"push_headers,omitempty"`

	Description      *string   `json:"description,omitempty"`
	Role             *string   `json:"role,omitempty"`
	Capabilities     *[]string `json:"capabilities,omitempty"`
	SupportedSchemas *[]string `json:"supported_schemas,omitempty"`
	Listed           *bool     `json:"listed,omitempty"`
	Receipts         *string   `json:"receipts,omitempty"` // default, always or never
	MaxDeliveries    *int      `json:"max_deliveries,omitempty"`

	// Members replaces all members of a mailbox or a group. AddMembers and RemoveMembers
	// change some of them.
	Members       *[]string `json:"members,omitempty"`
	AddMembers    []string  `json:"add_members,omitempty"`
	RemoveMembers []string  `json:"remove_members,omitempty"`
}

// Registration answers a registration. The key is shown only once.
type Registration struct {
	Address      Address `json:"address"`
	APIKey       string  `json:"api_key"` // "" for a mailbox or a group
	DeliveryMode string  `json:"delivery_mode"`
	PushSecret   string  `json:"push_secret,omitempty"` // of a push agent, also shown only once
	Agent        Agent   `json:"agent"`
	Message      string  `json:"message"`
}

// IssuedPushSecret answers the request for a new secret that signs pushed messages. The
// secret is shown only once.
type IssuedPushSecret struct {
	Address    Address `json:"address"`
	PushSecret string  `json:"push_secret"`
	// PreviousUntil is until when the previous secret also signs; zero if it does not.
	PreviousUntil Time   `json:"previous_until,omitzero"`
	Message       string `json:"message"`
}

// AgentKey is one key of an agent, without its secret.
type AgentKey struct {
	ID        string `json:"id"`
	CreatedAt Time   `json:"created_at"`
	LastUsed  Time   `json:"last_used,omitzero"` // to the minute
}

// AgentKeys is the list of an agent's keys.
type AgentKeys struct {
	Address Address    `json:"address"`
	Keys    []AgentKey `json:"keys"`
	Count   int        `json:"count"`
}

// IssuedKey answers the request for a new key. The key is shown only once.
type IssuedKey struct {
	Address Address `json:"address"`
	APIKey  string  `json:"api_key"`
	ID      string  `json:"id"`
	Revoked int     `json:"revoked"` // how many other keys this revoked
	Message string  `json:"message"`
}

// Identity is the agent to which the caller's key belongs.
type Identity struct {
	Address Address `json:"address"`
	Domain  string  `json:"domain"`
	KeyID   string  `json:"key_id"`
	Unread  int     `json:"unread"`  // messages in the inbox not marked read, counted up to 1,000
	Pending int     `json:"pending"` // messages in the inbox, counted up to 1,000
	// CountsCapped says that there may be more than were counted.
	CountsCapped bool      `json:"counts_capped,omitempty"`
	Mailboxes    []Address `json:"mailboxes,omitempty"` // the shared mailboxes of which the agent is a member
	Agent        Agent     `json:"agent"`
}

// Health answers /health and /ready.
type Health struct {
	Status       string            `json:"status"`
	Healthy      *bool             `json:"healthy,omitempty"`
	Ready        *bool             `json:"ready,omitempty"`
	Timestamp    Time              `json:"timestamp"`
	Version      string            `json:"version"`
	Components   map[string]string `json:"components,omitempty"`
	Dependencies map[string]string `json:"dependencies,omitempty"`
	Clock        *ClockDoubt       `json:"clock,omitempty"`  // present while the gateway does not trust its clock
	Reason       string            `json:"reason,omitempty"` // why it is not ready
}

// ClockDoubt says why a gateway does not trust its clock at the moment. Until it does, it
// removes and gives up nothing because of its age.
type ClockDoubt struct {
	Jumped  int64 `json:"jumped_seconds"` // by how much, negative when it went back
	AtStart bool  `json:"at_start"`       // the jump was between the gateway's last run and this start
	Waits   int64 `json:"waits_seconds"`  // for how much longer it has to agree with the time that passes
}

// Package gateway defines what one gateway stores and promises: agents, messages,
// deliveries and who may act on them, and the contract of the store that keeps them. It
// does no I/O; every rule here is a function from values to values.
//
// The promise behind the contract: a message for which [Store.Accept] returned no error
// is on stable storage for every recipient that the answer lists, whatever happens to
// the process afterwards.
package gateway

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/amtp-go/amtp"
)

// AgentID identifies an agent for good. It is never used again: a later agent of the
// same name does not inherit the mail of a deleted one.
type AgentID int64

// Agent is one local agent.
type Agent struct {
	ID               AgentID
	Address          amtp.Address // as registered, in this gateway's domain
	DeliveryMode     string       // pull or push
	Target           string       // the URL at which a push agent receives, never shown to strangers
	Description      string
	Role             string
	Capabilities     []string
	SupportedSchemas []string // ids or patterns
	Listed           bool     // shown in discovery
	Receipts         ReceiptWish
	Kind             AgentKind
	Members          []AgentID // of a shared mailbox or a group; some may have been removed
	MaxDeliveries    int       // how often a message may be taken from the inbox, 0 for any number; see Takings
	CreatedAt        time.Time
	LastActive       time.Time // to the minute
	// Damage says what of the row cannot be read, "" when all of it can. Where the
	// address is Unreadable the agent is as good as removed: no message can name it.
	Damage string
}

// AgentKind says what is behind an address of this gateway.
type AgentKind string

// The kinds. They are stored.
const (
	SingleAgent   AgentKind = ""        // one agent with its own keys
	SharedMailbox AgentKind = "mailbox" // an inbox that its members share; it has no key of its own
	MemberGroup   AgentKind = "group"   // a list of members, each of which gets what is sent to it
)

// MaxMembers is the most members that a shared mailbox or a group has.
const MaxMembers = 100

// Has reports whether the agent is a member.
func (a *Agent) Has(member AgentID) bool { return slices.Contains(a.Members, member) }

// ActiveWithin is how recently an agent must have been seen to count as active. AMTP
// §3.
const ActiveWithin = 30 * 24 * time.Hour

// Active reports whether the agent was seen within ActiveWithin.
func (a *Agent) Active(now time.Time) bool { return now.Sub(a.LastActive) < ActiveWithin }

// IsReserved reports whether a local part belongs to the gateway itself: no agent may
// register it or send under it.
func IsReserved(local string) bool {
	l := strings.ToLower(local)
	return l == "mailer-daemon" || l == "postmaster" || l == "abuse" || l == "echo" || strings.HasPrefix(l, "amtp-")
}

// Key is one API key of an agent. Only its hash is kept.
type Key struct {
	ID        string // shown in lists; reveals nothing of the secret
	Agent     AgentID
	Hash      [32]byte // SHA-256 of the secret
	CreatedAt time.Time
	LastUsed  time.Time // to the minute
}

// Class says how a caller proved its identity.
type Class int

// The classes. The numbers are stored.
const (
	ClassAgent     Class = 1 // the sender's own key
	ClassDomain    Class = 2 // the signature of the sender's domain
	ClassAnonymous Class = 3 // nothing
	ClassGateway   Class = 4 // this gateway itself, for its reports
)

// Acceptor accepts a message from a principal and stores it. intake.Intake is the only
// one of a gateway; messages that the gateway writes itself go through it, too. The
// error says why nothing was stored.
type Acceptor interface {
	Accept(context.Context, Principal, *amtp.Message, RequestID) (*amtp.SendResult, error)
}

// Principal is the caller of a request. Authorisation looks at nothing else, and never
// at the text of a message. The zero value is a caller without credentials.
type Principal struct {
	Agent *Agent // the agent whose key was shown, or nil
	KeyID string // the key that was shown
	Admin bool   // the administrator's key was shown
	// Domain is the domain whose gateway calls: a domain other than ours, for which
	// Found says what it proved. Only Result "pass" vouches for it.
	Domain     amtp.Domain
	Found      Finding
	NewlySigns bool // Domain may have sent the same message unsigned before
	// Settled says that Domain has signed for longer than History.
	Settled bool
	// Familiar says that Domain is served when the disk is short; see
	// SenderDomain.Familiar.
	Familiar bool
	Gateway  bool // this gateway itself, which writes to For only
	For      AgentID
	// Development says that the request meets every condition of the development
	// profile: the caller proved nothing, and the few routes that the profile opens are
	// open.
	Development bool
	// From is the address from which the request comes, the zero value when it is
	// unknown. Volume is counted by it, and it decides nothing else.
	From netip.Addr
}

// Stranger reports whether the caller showed no credential and is not a program on this
// machine in the development profile. Another gateway is a stranger until the signature
// of a message proves its domain.
func (p *Principal) Stranger() bool { return p.Agent == nil && !p.Admin && !p.Development }

// Acting returns the agent that makes the request and the key that it showed, the zero
// value for a caller that is no agent.
func (p *Principal) Acting() Acting {
	if p.Agent == nil {
		return Acting{}
	}
	return Acting{Agent: p.Agent.ID, Key: p.KeyID}
}

// Class returns the class with which the principal's messages are stored.
func (p Principal) Class() Class {
	switch {
	case p.Agent != nil:
		return ClassAgent
	case p.Gateway:
		return ClassGateway
	case p.Domain != "" && p.Found.Result == amtp.AuthPass:
		return ClassDomain
	}
	return ClassAnonymous
}

// Delivery is the state of one message for one recipient.
type Delivery struct {
	ID        DeliveryID   // 0 in answers to Accept
	Recipient amtp.Address // as registered when local
	Agent     AgentID      // the local recipient, 0 for a remote one
	State     State
	Changed   time.Time // of the last change of State
	Attempts  int
	NextDue   time.Time // zero when nothing is due
	Delivered time.Time // zero until it is
	Acked     time.Time // zero until it is
	Read      time.Time // zero until it is known to be
	Refused   time.Time // when the recipient refused the work, zero until that is known
	Leased    time.Time // the end of the last lease on a message in an inbox here, zero for none
	Mode      string    // pull, push, or "" for remote
	Further   bool      // remote, and another recipient of its domain was named before it
	// of a remote delivery: the time of a redrive so late that the other side may have
	// forgotten the message, else zero
	Redriven  time.Time
	ErrorCode amtp.Code
	ErrorText string
	// Damage says why the row of the delivery cannot be read, "" when it can. Then
	// Recipient is Unreadable, and nothing is delivered to it.
	Damage string
}

// Unreadable returns the address that stands for an address which cannot be read in the
// store. No domain ends in .invalid. RFC 6761 §6.4.
func Unreadable() amtp.Address {
	a, _ := amtp.ParseAddress("unreadable@row.invalid") // it is one
	return a
}

// RequestID identifies one request in answers, logs and envelopes.
type RequestID uint64

// String returns 16 hexadecimal digits.
func (id RequestID) String() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	return hex.EncodeToString(b[:])
}

// Envelope is what the gateway knows of a message apart from its bytes.
type Envelope struct {
	ID          amtp.MessageID // canonical: a UUID in lower case
	GivenID     amtp.MessageID // the sender's own id where it differs
	Sender      amtp.Address   // as registered when local
	SenderAgent AgentID        // the local sender, 0 for a remote one
	Class       Class
	Found       Finding   // about the sender; only Shown presents it
	ReceivedAt  time.Time // by this gateway
	Timestamp   time.Time // the sender's when it is plausible, else ReceivedAt
	Subject     string
	InReplyTo   amtp.MessageID
	Author      AgentID      // the member that wrote for a shared mailbox, 0 for any other message
	AuthorName  amtp.Address // the address of Author, in what a store returns
	RequestID   RequestID    // of the request that sent it
	// Damage says what of the row cannot be read, "" when all of it can. Then the
	// sender counts as unproven, and Sender is Unreadable where its address cannot be
	// read.
	Damage string
}

// Record is a stored message with its deliveries, in the order in which the
// recipients were named.
type Record struct {
	Envelope
	Body       []byte // as received; nil after its retention
	Thread     amtp.MessageID
	Labels     []string // in the reader's mailbox, in order
	Deliveries []Delivery
}

// InboxItem is one message in one inbox.
type InboxItem struct {
	Envelope
	Body          []byte
	Thread        amtp.MessageID
	Labels        []string  // in order
	Seq           int64     // the inbox's own sequence
	ReadAt        time.Time // zero when unread
	DeliveryCount int
}

// Status returns the delivery in the protocol's form. AMTP §5.
func (d *Delivery) Status() amtp.RecipientStatus {
	status, code := d.State.Wire()
	text := d.ErrorText
	switch {
	case d.ErrorCode != "":
		code = d.ErrorCode
	case d.Damage != "":
		code, text = amtp.CodeInternal, d.Damage
	}
	inbox := d.Agent != 0 && d.Mode == "pull" && status == amtp.StatusDelivered
	return amtp.RecipientStatus{
		Address:        d.Recipient,
		Status:         status,
		Timestamp:      amtp.Time{Time: d.Changed},
		Attempts:       d.Attempts,
		DeliveryMode:   d.Mode,
		LocalDelivery:  d.Agent != 0,
		InboxDelivered: inbox,
		DeliveredAt:    amtp.Time{Time: d.Delivered},
		Acknowledged:   d.State == Acknowledged,
		AcknowledgedAt: amtp.Time{Time: d.Acked},
		Read:           !d.Read.IsZero(),
		ReadAt:         amtp.Time{Time: d.Read},
		Refused:        !d.Refused.IsZero(),
		RefusedAt:      amtp.Time{Time: d.Refused},
		ErrorCode:      code,
		ErrorMessage:   text,
	}
}

// IsClaimed reports whether a reader of the inbox works on the message at that time.
func (d *Delivery) IsClaimed(now time.Time) bool { return d.State == Delivered && d.Leased.After(now) }

// Status returns the status of the message and of each recipient at that time. AMTP §5.
func (r *Record) Status(now time.Time) amtp.MessageStatus {
	s := amtp.MessageStatus{
		MessageID:  r.ID,
		Status:     Summary(r.Deliveries),
		CreatedAt:  amtp.Time{Time: r.ReceivedAt},
		UpdatedAt:  amtp.Time{Time: r.ReceivedAt},
		Recipients: make([]amtp.RecipientStatus, len(r.Deliveries)),

		SenderVerification: r.Shown().Verification,
	}
	if !r.AuthorName.IsZero() {
		s.SentBy = &r.AuthorName
	}
	var last, next amtp.Time
	for i := range r.Deliveries {
		d := &r.Deliveries[i]
		s.Recipients[i] = d.Status()
		s.Recipients[i].Claimed = d.IsClaimed(now)
		s.Attempts += d.Attempts
		if d.Changed.After(s.UpdatedAt.Time) {
			s.UpdatedAt = amtp.Time{Time: d.Changed}
		}
		if d.Delivered.After(last.Time) {
			last = amtp.Time{Time: d.Delivered}
		}
		if !d.NextDue.IsZero() && (next.IsZero() || d.NextDue.Before(next.Time)) {
			next = amtp.Time{Time: d.NextDue}
		}
	}
	if s.Status == amtp.StatusDelivered {
		s.DeliveredAt = &last
	}
	if !next.IsZero() {
		s.NextRetry = &next
	}
	return s
}

// For returns the record as the reader may see it. A recipient sees the other
// recipients and whether they have the message, but not what they did with it.
func (r Record) For(by Reader) Record {
	if by.Everyone || by.Agent == r.SenderAgent {
		return r
	}
	deliveries := make([]Delivery, len(r.Deliveries))
	copy(deliveries, r.Deliveries)
	for i := range deliveries {
		if d := &deliveries[i]; d.Agent == 0 || d.Agent != by.Agent {
			d.Conceal()
		}
	}
	r.Deliveries, r.Author, r.AuthorName = deliveries, 0, amtp.Address{}
	return r
}

// Conceal hides what the recipient did with the message: it shows the delivery as
// delivered, and nothing later.
func (d *Delivery) Conceal() {
	if d.State == Acknowledged || d.leftInbox() {
		d.State, d.Changed, d.ErrorCode, d.ErrorText = Delivered, d.Delivered, "", ""
	}
	d.Acked, d.Read, d.Refused, d.Leased = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

// leftInbox reports whether the message failed after it was in the recipient's inbox.
func (d *Delivery) leftInbox() bool {
	return (d.State == Rejected || d.State == Expired) && d.Agent != 0 && d.Mode == "pull" && !d.Delivered.IsZero()
}

// Short cuts a stranger's text to the length that an answer may repeat.
func Short(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "?") + "…"
	}
	return s
}

// Storable reports whether any store can hold a text: it is UTF-8 without control
// characters. PostgreSQL allows no NUL in a text.
func Storable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

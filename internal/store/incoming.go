package store

import (
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/google/uuid"
)

// Incoming is a gateway.Acceptance with the values that are computed before its
// transaction begins.
type Incoming struct {
	gateway.Acceptance
	Content []byte    // the fingerprint, for a sender that proved nothing; else nil
	Dedup   [16]byte  // the hash of Key, when there is a Key
	Early   *Incoming // the same from a domain that did not sign yet, or nil
	Given   uuid.UUID
	IsUUID  bool // GivenID is a UUID: Given
	// Same holds, for stored messages that may be this one and whose bytes differ,
	// whether they have its content.
	Same map[int64]bool
}

// NewIncoming prepares an acceptance.
func NewIncoming(a gateway.Acceptance) (*Incoming, error) {
	p := &Incoming{Acceptance: a}
	named := a.Key != "" || a.GivenID != ""
	if a.Class == gateway.ClassAnonymous && named {
		sum, err := a.Message.Fingerprint()
		if err != nil {
			return nil, err
		}
		p.Content = sum[:16]
	}
	if a.Key != "" {
		p.Dedup = DedupKey(a.Class, a.SenderAgent, p.From(), a.Key, p.Content)
	}
	p.Given, p.IsUUID = a.GivenID.UUID()
	if a.Unsigned && a.Class != gateway.ClassAnonymous && named {
		a.Class = gateway.ClassAnonymous
		early, err := NewIncoming(a)
		if err != nil {
			return nil, err
		}
		p.Early, p.Same = early, make(map[int64]bool, 1)
		early.Same = p.Same
	}
	return p, nil
}

// From returns the sender's address, "" for a local agent.
func (p *Incoming) From() string {
	if p.SenderAgent != 0 {
		return ""
	}
	return p.Sender.Key()
}

// Flow returns the flow of the message's jobs.
func (p *Incoming) Flow() gateway.Flow { return FlowOf(p.SenderAgent, p.From()) }

// FlowOf returns the flow of a local agent, or else of an address in another domain,
// both as they are stored.
func FlowOf(agent gateway.AgentID, from string) gateway.Flow {
	return gateway.FlowOf(agent, amtp.Domain(from[strings.LastIndexByte(from, '@')+1:]))
}

// Stamp returns the sender's timestamp if it differs from the time of receipt, else 0.
func (p *Incoming) Stamp() int64 {
	if p.Timestamp.Equal(p.ReceivedAt) {
		return 0
	}
	return Micros(p.Timestamp)
}

// Variant distinguishes messages that senders without proof send under the same id.
func (p *Incoming) Variant() []byte {
	if p.Content == nil {
		return []byte{}
	}
	return p.Content
}

// Name returns the canonical id that the message gets, and the sender's own id where it
// differs. taken says that another message already has the given id.
func (p *Incoming) Name(taken bool) (canonical uuid.UUID, given string) {
	if !p.IsUUID || taken {
		canonical, _ = p.ID.UUID()
		return canonical, string(p.GivenID)
	}
	if amtp.MessageID(p.Given.String()) != p.GivenID {
		given = string(p.GivenID) // the same UUID in other upper and lower case
	}
	return p.Given, given
}

// HasContent compares the message with a stored one: by its body, or by its fingerprint
// when the body is gone.
func (p *Incoming) HasContent(body, fingerprint []byte) (bool, error) {
	now, err := p.Message.Fingerprint()
	if err != nil {
		return false, err
	}
	if len(body) == 0 {
		return string(fingerprint) == string(now[:]), nil
	}
	stored, refused := amtp.ParseMessage(body)
	if refused != nil {
		return false, refused
	}
	then, err := stored.Fingerprint()
	return then == now, err
}

// Remains computes what is kept of a message when its body is deleted. That is the
// fingerprint, by which a late retry is recognised, and the deduplication key, which is
// only in the body; nil when the body has none. ok is false when the body cannot be
// read.
func Remains(class gateway.Class, sender gateway.AgentID, address string, body []byte) (fingerprint,
	key []byte, ok bool) {
	parsed, refused := amtp.ParseMessage(body)
	if refused != nil {
		return nil, nil, false
	}
	sum, err := parsed.Fingerprint()
	if err != nil {
		return nil, nil, false
	}
	if parsed.IdempotencyKey == "" {
		return sum[:], nil, true
	}
	var content []byte
	if class == gateway.ClassAnonymous {
		content = sum[:16]
	}
	dedup := DedupKey(class, sender, address, parsed.IdempotencyKey, content)
	return sum[:], dedup[:], true
}

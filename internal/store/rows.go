package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/google/uuid"
)

// Micros returns how t is stored: integer microseconds since 1970, 0 for the
// zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the inverse of Micros.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

var trusts = []amtp.Trust{"", amtp.TrustLocal, amtp.TrustVerified, amtp.TrustUnverified, amtp.TrustBridged}

// TrustCode returns how the trust label of a message is stored.
func TrustCode(e *gateway.Envelope) int64 {
	shown := e.Shown().Trust
	for i, known := range trusts {
		if shown == known {
			return int64(i)
		}
	}
	return 0
}

// bridged reports whether a stored trust label is that of a message that came as
// e-mail. Every other label follows from the other columns.
func bridged(code int64) bool {
	return code > 0 && code < int64(len(trusts)) && trusts[code] == amtp.TrustBridged
}

// Finding returns how a finding is stored: as JSON, or "" for the usual finding of the
// class.
func Finding(class gateway.Class, f gateway.Finding) string {
	f.Bridged = false // the trust label stores it
	if f == usual(class) {
		return ""
	}
	b, _ := json.Marshal(f) // a struct of strings and a bool cannot fail
	return string(b)
}

// FindingOf is the inverse of Finding, with the stored trust label.
func FindingOf(class gateway.Class, stored string, trust int64) (gateway.Finding, error) {
	f := usual(class)
	if stored != "" {
		f = gateway.Finding{}
		if err := json.Unmarshal([]byte(stored), &f); err != nil {
			return f, err
		}
	}
	f.Bridged = bridged(trust)
	return f, nil
}

func usual(class gateway.Class) gateway.Finding {
	if class == gateway.ClassAgent || class == gateway.ClassGateway {
		return gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthPass}}
	}
	return gateway.Finding{Authentication: amtp.Authentication{Result: amtp.AuthNone}}
}

// DedupKey returns the 16 bytes under which an idempotency key is stored. They are a
// hash of the sender's class, the sender, the key and, for a sender that proved
// nothing, the content. Two callers never share one, nor do two contents of senders
// without proof.
func DedupKey(class gateway.Class, sender gateway.AgentID, address, key string, content []byte) [16]byte {
	h := make([]byte, 0, 64+len(address)+len(key)+len(content))
	h = append(h, byte(class))
	h = binary.BigEndian.AppendUint64(h, uint64(sender))
	for _, part := range []string{address, key, string(content)} {
		h = binary.BigEndian.AppendUint32(h, uint32(len(part)))
		h = append(h, part...)
	}
	sum := sha256.Sum256(h)
	return [16]byte(sum[:16])
}

// Strings returns a list of strings as it is stored.
func Strings(list []string) string {
	if len(list) == 0 {
		return ""
	}
	b, _ := json.Marshal(list) // strings cannot fail
	return string(b)
}

// StringsOf is the inverse of Strings.
func StringsOf(stored string) ([]string, error) {
	if stored == "" {
		return nil, nil
	}
	var list []string
	err := json.Unmarshal([]byte(stored), &list)
	return list, err
}

// Members returns a list of members as it is stored.
func Members(list []gateway.AgentID) string {
	if len(list) == 0 {
		return ""
	}
	b, _ := json.Marshal(list) // numbers cannot fail
	return string(b)
}

// MembersOf is the inverse of Members.
func MembersOf(stored string) (list []gateway.AgentID, err error) {
	if stored != "" {
		err = json.Unmarshal([]byte(stored), &list)
	}
	return list, err
}

// EnvelopeRow is an envelope as it is stored. Times are microseconds, 0 for none.
type EnvelopeRow struct {
	UUID        []byte
	SenderAgent gateway.AgentID
	Sender      string // of another domain
	Class       gateway.Class
	Trust       int64
	Finding     string
	Received    int64
	Stamped     int64 // 0 where it is the same as Received
	Request     int64
	GivenID     string
	Subject     string
	InReplyTo   string
	Author      int64
	First       bool // the first message of its sender to the agent that reads it
}

// Envelope returns the envelope that the row holds. Damage describes a value that
// cannot be read. It is no error, so that a damaged row does not hide the other rows of
// a list.
func (r *EnvelopeRow) Envelope(dir *Directory) gateway.Envelope {
	e := gateway.Envelope{
		ID: MessageID(r.UUID), SenderAgent: r.SenderAgent, Class: r.Class, ReceivedAt: FromMicros(r.Received),
		RequestID: gateway.RequestID(r.Request), GivenID: amtp.MessageID(r.GivenID), Subject: r.Subject,
		InReplyTo: amtp.MessageID(r.InReplyTo),
		Timestamp: FromMicros(r.Stamped), Author: gateway.AgentID(r.Author),
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = e.ReceivedAt
	}
	found, err := FindingOf(e.Class, r.Finding, r.Trust)
	e.Found = found
	e.Found.FirstContact = found.FirstContact || r.First
	if err != nil {
		damage(&e, "the authentication of the sender", r.Finding, err)
	}
	if e.Author != 0 {
		e.AuthorName, _ = dir.Address(e.Author)
	}
	if e.SenderAgent != 0 {
		e.Sender, _ = dir.Address(e.SenderAgent)
		return e
	}
	if e.Sender, err = amtp.ParseAddress(r.Sender); err != nil {
		e.Sender = gateway.Unreadable()
		damage(&e, "the sender", r.Sender, err)
	}
	return e
}

// damage notes a value of an envelope that cannot be read. A sender in another domain
// then counts as one that proved nothing.
func damage(e *gateway.Envelope, what, stored string, err error) {
	e.Damage = unreadable(what, stored, err)
	if e.SenderAgent == 0 {
		e.Class, e.Found = gateway.ClassAnonymous, usual(gateway.ClassAnonymous)
	}
}

// ReadAgent sets the members of an agent that are parsed from its row, and notes in
// Damage what cannot be read.
func ReadAgent(a *gateway.Agent, address, capabilities, schemas, members string) {
	var err error
	if a.Members, err = MembersOf(members); err != nil {
		a.Damage = unreadable("the members", members, err)
	}
	if a.Capabilities, err = StringsOf(capabilities); err != nil {
		a.Damage = unreadable("the agent's capabilities", capabilities, err)
	}
	if a.SupportedSchemas, err = StringsOf(schemas); err != nil {
		a.Damage = unreadable("the agent's schemas", schemas, err)
	}
	if a.Address, err = amtp.ParseAddress(address); err != nil {
		a.Address, a.Damage = gateway.Unreadable(), unreadable("the agent's address", address, err)
	}
}

// Folded returns the form in which equal addresses are equal strings, even for an
// address that cannot be read.
func Folded(address string) string { return strings.ToLower(address) }

// unreadable says that a value in the store cannot be read.
func unreadable(what, stored string, err error) string {
	return fmt.Sprintf("%s in the gateway's database, %q, cannot be read: %v", what, gateway.Short(stored), err)
}

// AnsweredRow is the message that another message answers, as it is stored, in the
// mailbox of the answering agent.
type AnsweredRow struct {
	UUID    []byte
	GivenID string
	Local   bool // it was sent from here
	Sender  string
	// Copies are, for a message sent from here, its deliveries to other domains that
	// are Further or Redriven, with their Address.
	Copies []DeliveryRow
}

// Answered returns the id under which other gateways know the message. a has its
// author's domain, or for a message sent from here the copies with other ids.
func (r *AnsweredRow) Answered(dir *Directory) (id amtp.MessageID, a gateway.Answered) {
	own := MessageID(r.UUID)
	if !r.Local {
		_, domain, _ := strings.Cut(r.Sender, "@")
		a.From = amtp.Domain(domain)
		if r.GivenID != "" {
			return amtp.MessageID(r.GivenID), a
		}
		return own, a
	}
	for i := range r.Copies {
		a.Copies = append(a.Copies, r.Copies[i].Delivery(dir))
	}
	return amtp.PeerMessageID(own), a
}

// MessageID returns the canonical id with these 16 bytes, "" for any other length.
func MessageID(b []byte) amtp.MessageID {
	u, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return amtp.MessageID(u.String())
}

// Thread returns the stored thread, or the message's own id when none is stored.
func Thread(stored string, own amtp.MessageID) amtp.MessageID {
	if stored == "" {
		return own
	}
	return amtp.MessageID(stored)
}

// Bit returns 1 for true and 0 for false.
func Bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

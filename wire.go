package amtp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/google/uuid"
)

// PeerEnvelope is what a gateway knows of a message that it is about to deliver
// to another domain's gateway. Its facts take the place of what the sender wrote
// about them.
type PeerEnvelope struct {
	MessageID      MessageID // this gateway's own
	IdempotencyKey string    // the sender's; "" when it gave none
	Timestamp      time.Time
	Sender         Address
	Recipients     []Address // of one domain; exactly one when Single
	// InReplyTo is the id under which the peer knows the message that this one
	// answers: PeerMessageID of one that we sent there, the peer's own id of
	// one that came from there. "" leaves the member as the sender wrote it.
	InReplyTo MessageID
	// Single says that the peer takes one recipient in each message, because
	// its record says auth=sig. Every recipient then has a key of its own.
	Single bool
	// Round counts the answers that refused some of the recipients by name.
	// The reference gateway repeats such an answer to the same key for a day,
	// so every round has another key.
	Round int
}

// PeerBody writes the message that goes to the peer: the members that an
// envelope knows first, then all others of the message in their order, with
// every byte of their values. A message without payload gets a null: every
// critical member is there, and [Signer.Sign] takes the result. The same message
// and envelope always give the same bytes. AMTP §4, §5.
//
// body is a message that [ParseMessage] took. It is an error when it has a
// signature or another spelling of a member's name, both of which
// [Message.Signable] refuses, or when the envelope's recipients are none, of
// several domains, or several where there must be one.
func PeerBody(body []byte, e PeerEnvelope) ([]byte, error) {
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, err
	}
	return peerBody(members, e)
}

func peerBody(members []strictjson.Member, e PeerEnvelope) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	size := 512
	for _, m := range members {
		size += len(m.Name) + len(m.Value) + 4
	}
	b := e.appendFacts(make([]byte, 0, size))
	payload := false
	for _, m := range members {
		if known := knownMember(m.Name); known != "" && known != m.Name {
			return nil, fmt.Errorf("the member %s is another spelling of %s", quoteShort(m.Name), known)
		}
		switch m.Name {
		case "version", "message_id", "idempotency_key", "timestamp", "sender", "recipients":
			continue
		case "signature":
			if string(m.Value) != "null" {
				return nil, errors.New("the message has a signature already")
			}
			continue
		case "in_reply_to":
			if e.InReplyTo != "" {
				continue
			}
		case "payload":
			payload = true
		}
		b = appendQuoted(append(b, ','), m.Name)
		b = append(b, ':')
		b = append(b, m.Value...)
	}
	if !payload {
		b = append(b, `,"payload":null`...)
	}
	return append(b, '}'), nil
}

func (e PeerEnvelope) check() error {
	if len(e.Recipients) == 0 {
		return errors.New("the message for the peer has no recipient")
	}
	if e.Single && len(e.Recipients) > 1 {
		return errors.New("the message for the peer has several recipients where one is allowed")
	}
	for _, r := range e.Recipients {
		if r.Domain() != e.Recipients[0].Domain() {
			return errors.New("the message for the peer has recipients of several domains")
		}
	}
	return nil
}

// appendFacts writes the beginning of the object.
func (e PeerEnvelope) appendFacts(b []byte) []byte {
	b = append(b, `{"version":"`+Version+`","message_id":`...)
	b = appendQuoted(b, string(PeerMessageID(e.MessageID)))
	b = appendQuoted(append(b, `,"idempotency_key":`...), e.PeerKey())
	b = e.Timestamp.UTC().AppendFormat(append(b, `,"timestamp":"`...), TimeFormat)
	b = appendQuoted(append(b, `","sender":`...), e.Sender.String())
	b = append(b, `,"recipients":[`...)
	for i, r := range e.Recipients {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, r.String())
	}
	b = append(b, ']')
	if e.InReplyTo != "" {
		b = appendQuoted(append(b, `,"in_reply_to":`...), string(e.InReplyTo))
	}
	return b
}

// PeerMessageID returns the id under which other gateways know our message: the
// id itself when it is a UUIDv7, which is all that the reference gateway takes,
// otherwise a UUID of that form made from its SHA-256.
func PeerMessageID(id MessageID) MessageID {
	if isUUID(string(id), 7) {
		return id
	}
	return MessageID(derive(7, "message_id", string(id)))
}

// PeerKey returns the idempotency key for this envelope: the sender's own when it
// is a UUIDv4 and the first to go to this peer, otherwise a UUID of that form
// made from the SHA-256 of what makes it another: sender, key (or message id
// where there is none), the recipient when single, and the round. The sender is
// part of it because the reference gateway does not tell senders apart.
func (e PeerEnvelope) PeerKey() string {
	if !e.Single && e.Round == 0 && isUUID(e.IdempotencyKey, 4) {
		return e.IdempotencyKey
	}
	kind, key, recipient := "key", e.IdempotencyKey, ""
	if key == "" {
		kind, key = "id", string(e.MessageID)
	}
	if e.Single && len(e.Recipients) > 0 {
		recipient = e.Recipients[0].Key()
	}
	return derive(4, "idempotency_key", e.Sender.Key(), kind, key, recipient, strconv.Itoa(e.Round))
}

// isUUID reports whether s is a UUID of the version, in its usual form.
func isUUID(s string, version uuid.Version) bool {
	u, ok := MessageID(s).UUID()
	return ok && u.Version() == version && u.Variant() == uuid.RFC4122
}

// derive makes a UUID of the version's form from parts, none of which has a
// zero byte.
func derive(version int, parts ...string) string {
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(strings.Join(parts, "\x00")), version).String()
}

// knownMember returns the protocol's spelling of a member's name in whatever
// case of letters; "" for the name of no member of ours. Readers that do not
// tell the cases apart would take the one for the other.
func knownMember(name string) string {
	for _, known := range [...]string{
		"version", "message_id", "idempotency_key", "timestamp", "sender", "recipients", "subject", "schema", "headers", "payload",
		"in_reply_to", "response_type", "workflow_id", "coordination", "attachments", "signature",
	} {
		if len(name) >= len(known) && strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// appendQuoted writes a JSON string of valid UTF-8 with as few escapes as may be.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

package amtp

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/google/uuid"
)

// PeerEnvelope has a gateway's facts about a message that it is about to deliver to one
// recipient in another domain. They replace the sender's members of the same names. A
// delivery to another gateway has exactly one recipient. AMTP §9.
type PeerEnvelope struct {
	MessageID      MessageID // this gateway's own
	IdempotencyKey string    // the sender's; "" if it gave none
	Timestamp      time.Time
	Sender         Address
	Recipient      Address
	// Further says that another recipient of the same domain comes before this one. The
	// first recipient gets the message under its own id and key, each further one under a
	// key of its own.
	Further bool
	// FanOut says that the peer is known to accept one message id in several deliveries.
	// At any other peer a further recipient gets an id of its own, because the reference
	// gateway of July 2026 overwrites a message whose id comes twice.
	FanOut bool
	// InReplyTo is the id under which the peer knows the message that this one answers:
	// the PeerID of a message that we sent there, or the peer's own id of one that came
	// from there. "" leaves the member as the sender wrote it.
	InReplyTo MessageID
	// AnyReply says that the peer accepts an in_reply_to of any form. For any other peer,
	// a value that is no UUIDv7 goes into the header [HeaderInReplyTo].
	AnyReply bool
	// RedriveOf is the id of an earlier message that this one repeats so late that the
	// peer may have forgotten it, "" for none. It goes into the header [HeaderRedriveOf].
	RedriveOf MessageID
	// Round counts the answers that refused the recipient for a reason that may pass. The
	// reference gateway repeats such an answer to the same key for a day, so every round
	// has another key.
	Round int
}

// Headers that a gateway writes into a message for another gateway.
const (
	HeaderInReplyTo = "amtp-in-reply-to" // in_reply_to, if the peer may refuse the member
	HeaderRedriveOf = "amtp-redrive-of"  // the id of the message that a late redrive repeats
)

// PeerBody writes the message for the peer: first the members of the envelope, then all
// others of the message in their order, with every byte of their values. Only headers may
// get more at their end. A message without payload gets a null, so that every critical
// member is present and [Signer.Sign] accepts the result. The same message and envelope
// always give the same bytes. AMTP §4, §5, §9.
//
// body is a message that [ParseMessage] accepted. It is an error if it has a signature or
// another spelling of a member's name, both of which [Message.Signable] refuses, or if the
// envelope has no recipient.
func PeerBody(body []byte, e PeerEnvelope) ([]byte, error) {
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, err
	}
	return peerBody(members, e)
}

func peerBody(members []strictjson.Member, e PeerEnvelope) ([]byte, error) {
	if e.Recipient.IsZero() {
		return nil, errors.New("the message for the peer has no recipient")
	}
	size := 512
	for _, m := range members {
		size += len(m.Name) + len(m.Value) + 4
	}
	headers := e.headers(members)
	b := e.appendFacts(make([]byte, 0, size))
	payload := false
	for _, m := range members {
		if right := misspelt(m.Name); right != "" {
			return nil, fmt.Errorf("the member %s is another spelling of %s", quoteShort(m.Name), right)
		}
		value := m.Value
		switch m.Name {
		case "version", "message_id", "idempotency_key", "timestamp", "sender", "recipients":
			continue
		case "signature":
			if string(m.Value) != "null" {
				return nil, errors.New("the message has a signature already")
			}
			continue
		case "in_reply_to":
			if e.InReplyTo != "" || !e.takesReply(m.Value) {
				continue
			}
		case "headers":
			var err error
			if value, err = withHeaders(m.Value, headers); err != nil {
				return nil, err
			}
			headers = nil
		case "payload":
			payload = true
		}
		b = appendQuoted(append(b, ','), m.Name)
		b = append(b, ':')
		b = append(b, value...)
	}
	if len(headers) > 0 {
		value, err := withHeaders(nil, headers)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"headers":`...), value...)
	}
	if !payload {
		b = append(b, `,"payload":null`...)
	}
	return append(b, '}'), nil
}

// takesReply reports whether the peer accepts the value of an in_reply_to: a UUIDv7, a
// value that means none, or any value with AnyReply.
func (e PeerEnvelope) takesReply(value []byte) bool {
	id := unquoted(value)
	return e.AnyReply || id == "" || isUUID(id, 7)
}

// header is a header that a gateway writes.
type header struct{ name, value string }

// headers returns the headers that the gateway adds to the message.
func (e PeerEnvelope) headers(members []strictjson.Member) (list []header) {
	reply := string(e.InReplyTo)
	for _, m := range members {
		if m.Name == "in_reply_to" && reply == "" {
			reply = unquoted(m.Value)
		}
	}
	if reply != "" && !e.AnyReply && !isUUID(reply, 7) {
		list = append(list, header{HeaderInReplyTo, reply})
	}
	if e.RedriveOf != "" {
		list = append(list, header{HeaderRedriveOf, string(e.RedriveOf)})
	}
	return list
}

// unquoted returns the text of a JSON string, "" for any other value.
func unquoted(value []byte) (text string) {
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// withHeaders returns the value of the member headers with more headers at its end, and
// every byte of the others. A sender's header of the same name, in any case, is removed.
func withHeaders(value []byte, more []header) ([]byte, error) {
	if len(more) == 0 {
		return value, nil
	}
	if len(value) == 0 || string(value) == "null" {
		value = []byte("{}")
	}
	members, err := strictjson.Object(value)
	if err != nil {
		return nil, err
	}
	for _, h := range more {
		same := func(m strictjson.Member) bool { return strictjson.Fold(m.Name) == h.name }
		right := func(m strictjson.Member) bool { return m.Name == h.name && unquoted(m.Value) == h.value }
		if others := slices.DeleteFunc(slices.Clone(members), same); len(others) < len(members) {
			if len(others) == len(members)-1 && slices.ContainsFunc(members, right) {
				continue
			}
			members = others
			value = written(members)
		}
		text := appendQuoted(nil, h.value)
		value = slices.Clone(bytes.TrimRight(value, " \t\r\n"))
		value = value[:len(value)-1] // its closing brace
		if len(members) > 0 {
			value = append(value, ',')
		}
		value = append(appendQuoted(value, h.name), ':')
		value = append(append(value, text...), '}')
		members = append(members, strictjson.Member{Name: h.name, Value: text})
	}
	return value, nil
}

// written returns members as an object.
func written(members []strictjson.Member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, m.Name), ':')
		b = append(b, m.Value...)
	}
	return append(b, '}')
}

// appendFacts writes the beginning of the object.
func (e PeerEnvelope) appendFacts(b []byte) []byte {
	b = append(b, `{"version":"`+Version+`","message_id":`...)
	b = appendQuoted(b, string(e.PeerID()))
	b = appendQuoted(append(b, `,"idempotency_key":`...), e.PeerKey())
	b = e.Timestamp.UTC().AppendFormat(append(b, `,"timestamp":"`...), TimeFormat)
	b = appendQuoted(append(b, `","sender":`...), e.Sender.String())
	b = appendQuoted(append(b, `,"recipients":[`...), e.Recipient.String())
	b = append(b, ']')
	if id := string(e.InReplyTo); id != "" && (e.AnyReply || isUUID(id, 7)) {
		b = appendQuoted(append(b, `,"in_reply_to":`...), id)
	}
	return b
}

// PeerMessageID returns the id under which other gateways know our message: the id itself
// if it is a UUIDv7, because the reference gateway accepts no other form, otherwise a
// UUIDv7 made from its SHA-256.
func PeerMessageID(id MessageID) MessageID {
	if isUUID(string(id), 7) {
		return id
	}
	return MessageID(DeriveID(7, "message_id", string(id)))
}

// PeerCopyID returns the id under which a further recipient of one domain gets our message,
// if its gateway may not accept one id in several deliveries: a UUIDv7 made from the
// SHA-256 of PeerMessageID and the recipient.
func PeerCopyID(id MessageID, recipient Address) MessageID {
	return MessageID(DeriveID(7, "message_id", string(PeerMessageID(id)), recipient.Key()))
}

// PeerID returns the id under which the message is sent: that of the message, or, for a
// further recipient at a peer that is not known to take fan-out, one of its own.
func (e PeerEnvelope) PeerID() MessageID {
	if e.Further && !e.FanOut {
		return PeerCopyID(e.MessageID, e.Recipient)
	}
	return PeerMessageID(e.MessageID)
}

// PeerKey returns the idempotency key under which the message is sent. It does not depend
// on the peer: a gateway that deduplicates on it accepts the message once for each
// recipient, whatever its id becomes. AMTP §8.
//
// It is the sender's own key if that is a UUIDv4 and the recipient the first of its
// domain. Otherwise it is a UUIDv4 made from the SHA-256 of the sender, the key (or the
// message id if there is no key), a further recipient, and the round. The sender is part
// of it because the reference gateway does not tell senders apart.
func (e PeerEnvelope) PeerKey() string {
	if !e.Further && e.Round == 0 && isUUID(e.IdempotencyKey, 4) {
		return e.IdempotencyKey
	}
	kind, key, recipient := "key", e.IdempotencyKey, ""
	if key == "" {
		kind, key = "id", string(e.MessageID)
	}
	if e.Further {
		recipient = e.Recipient.Key()
	}
	return DeriveID(4, "idempotency_key", e.Sender.Key(), kind, key, recipient, strconv.Itoa(e.Round))
}

// isUUID reports whether s is a UUID of the version, in its usual form.
func isUUID(s string, version uuid.Version) bool {
	u, ok := MessageID(s).UUID()
	return ok && u.Version() == version && u.Variant() == uuid.RFC4122
}

// DeriveID returns a UUID of version 4 or 7 that is derived from the parts: the same parts
// always give the same UUID. No part may have a zero byte. An automatic message gets its
// id (7) and its idempotency key (4) in this way, so that it is recognised when it is
// written again.
func DeriveID(version int, parts ...string) string {
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(strings.Join(parts, "\x00")), version).String()
}

// misspelt returns the protocol's name of which a member's name is another spelling, ""
// for any other name. Readers that ignore case would take the one for the other.
func misspelt(name string) string {
	if folded := strictjson.Fold(name); known[folded] && folded != name {
		return folded
	}
	return ""
}

// appendQuoted writes a JSON string of valid UTF-8 with as few escapes as possible.
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

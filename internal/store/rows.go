package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
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

// TrustCode returns how a trust label is stored.
func TrustCode(t amtp.Trust) int64 {
	for i, known := range trusts {
		if t == known {
			return int64(i)
		}
	}
	return 0
}

// TrustOf is the inverse of TrustCode; what it does not know is unverified.
func TrustOf(code int64) amtp.Trust {
	if code <= 0 || code >= int64(len(trusts)) {
		return amtp.TrustUnverified
	}
	return trusts[code]
}

// Authentication returns how the result of an authentication is stored: "" for
// the two that follow from the class, else JSON.
func Authentication(class gateway.Class, a amtp.Authentication) string {
	if a == usual(class) {
		return ""
	}
	b, _ := json.Marshal(a) // a struct of strings and a bool cannot fail
	return string(b)
}

// AuthenticationOf is the inverse of Authentication.
func AuthenticationOf(class gateway.Class, stored string) (amtp.Authentication, error) {
	if stored == "" {
		return usual(class), nil
	}
	var a amtp.Authentication
	err := json.Unmarshal([]byte(stored), &a)
	return a, err
}

func usual(class gateway.Class) amtp.Authentication {
	if class == gateway.ClassAgent || class == gateway.ClassGateway {
		return amtp.Authentication{Result: "pass"}
	}
	return amtp.Authentication{Result: "none"}
}

// DedupKey returns the 16 bytes under which an idempotency key is remembered:
// a hash over who vouches for the sender, the sender, the key and, when nobody
// vouches, the content. Two callers, or two contents of strangers, never share
// one.
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

// Strings returns how a list of strings is stored, and StringsOf its inverse.
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

// EnvelopeRow is an envelope as it is stored. Times are microseconds, 0 for
// none.
type EnvelopeRow struct {
	UUID           []byte
	SenderAgent    gateway.AgentID
	Sender         string // of another domain
	Class          gateway.Class
	Trust          int64
	Authentication string
	Received       int64
	Stamped        int64 // only where it differs
	Request        int64
	GivenID        string
	Subject        string
	InReplyTo      string
}

// Envelope returns what the row says.
func (r *EnvelopeRow) Envelope(dir *Directory) (e gateway.Envelope, err error) {
	e = gateway.Envelope{
		ID: MessageID(r.UUID), SenderAgent: r.SenderAgent, Class: r.Class, Trust: TrustOf(r.Trust), ReceivedAt: FromMicros(r.Received),
		RequestID: gateway.RequestID(r.Request), GivenID: amtp.MessageID(r.GivenID), Subject: r.Subject, InReplyTo: amtp.MessageID(r.InReplyTo),
		Timestamp: FromMicros(r.Stamped),
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = e.ReceivedAt
	}
	if e.Authentication, err = AuthenticationOf(e.Class, r.Authentication); err != nil {
		return e, err
	}
	if e.SenderAgent != 0 {
		e.Sender, _ = dir.Address(e.SenderAgent)
		return e, nil
	}
	e.Sender, err = amtp.ParseAddress(r.Sender)
	return e, err
}

// MessageID returns the canonical id whose 16 bytes are stored, "" for others.
func MessageID(b []byte) amtp.MessageID {
	u, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return amtp.MessageID(u.String())
}

// Thread returns the thread that is stored, or else the message's own.
func Thread(stored string, own amtp.MessageID) amtp.MessageID {
	if stored == "" {
		return own
	}
	return amtp.MessageID(stored)
}

// Bit returns 1 for true.
func Bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

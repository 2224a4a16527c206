package amtp

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/canonical"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// Version is the protocol version that this package speaks.
const Version = "1.0"

// Bounds of one message. MaxMessageSize is the protocol's default; a gateway may have
// another limit and publishes it as max-size. AMTP §2, §4.
const (
	MaxMessageSize  = 10 << 20 // bytes of the whole message
	MaxRecipients   = 100
	MaxSubject      = 1 << 10  // bytes
	MaxHeaders      = 64 << 10 // bytes of the headers object
	MaxResponseType = 128      // bytes
)

// Message is one message. AMTP §4. Members that hold JSON keep the bytes that
// were given; a value made by [ParseMessage] keeps all of them, unknown members
// too.
type Message struct {
	Version        string          `json:"version,omitempty"` // "" means 1.0
	MessageID      MessageID       `json:"message_id,omitempty"`
	IdempotencyKey string          `json:"idempotency_key,omitempty"` // 1 to 255 visible ASCII characters
	Timestamp      Time            `json:"timestamp,omitzero"`
	Sender         Address         `json:"sender"`
	Recipients     []Address       `json:"recipients"`
	Subject        string          `json:"subject,omitempty"`
	Schema         string          `json:"schema,omitempty"`
	Headers        json.RawMessage `json:"headers,omitempty"` // an object
	Payload        json.RawMessage `json:"payload,omitempty"` // any JSON value
	InReplyTo      MessageID       `json:"in_reply_to,omitempty"`
	ResponseType   string          `json:"response_type,omitempty"`
	// of the workflow that the message belongs to or answers
	WorkflowID   MessageID       `json:"workflow_id,omitempty"`
	Coordination json.RawMessage `json:"coordination,omitempty"`
	Attachments  []Attachment    `json:"attachments,omitempty"`
	Signature    json.RawMessage `json:"signature,omitempty"`

	raw     []byte
	members []strictjson.Member
}

// Attachment refers to a file that the message does not carry. AMTP §4.
type Attachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size"` // bytes
	Hash        string `json:"hash"` // algorithm:hex, such as sha256:9f86…
	URL         string `json:"url"`  // http or https
}

// known are the protocol's members of a message. AMTP §4.
var known = map[string]bool{
	"attachments":     true,
	"coordination":    true,
	"headers":         true,
	"idempotency_key": true,
	"in_reply_to":     true,
	"message_id":      true,
	"payload":         true,
	"recipients":      true,
	"response_type":   true,
	"schema":          true,
	"sender":          true,
	"signature":       true,
	"subject":         true,
	"timestamp":       true,
	"version":         true,
	"workflow_id":     true,
}

// reserved are the members that only a gateway may write. Otherwise a reader could take a
// sender's claim for the gateway's finding.
var reserved = map[string]bool{
	"attempts":            true,
	"authentication":      true,
	"body_purged":         true,
	"created_at":          true,
	"delivered_at":        true,
	"delivery_count":      true,
	"labels":              true,
	"lease":               true,
	"next_retry":          true,
	"received_at":         true,
	"sender_message_id":   true,
	"sender_verification": true,
	"sent_by":             true,
	"size":                true,
	"status":              true,
	"thread_id":           true,
	"trust":               true,
	"updated_at":          true,
}

// ParseMessage reads and checks one message. The error, if any, is an *Error
// with the code that the protocol has for it. The message keeps and aliases
// doc, which must not change afterwards.
func ParseMessage(doc []byte) (*Message, *Error) {
	members, err := strictjson.Object(doc)
	if err != nil {
		return nil, Errorf(CodeInvalidMessage, "The message is not valid JSON: %v.",
			err).With("parse_error", err.Error())
	}
	m := &Message{raw: doc, members: members}
	for _, member := range members {
		if err := m.read(member); err != nil {
			return nil, err
		}
	}
	if m.Sender.IsZero() {
		return nil, invalid("sender", "it is required")
	}
	if len(m.Recipients) == 0 {
		return nil, invalid("recipients", "at least one recipient is required")
	}
	return m, nil
}

// read reads one top-level member. A null, and for optional members an empty string, is
// the same as no member: existing gateways write them all.
func (m *Message) read(member strictjson.Member) *Error {
	name, value := member.Name, member.Value
	switch folded := strictjson.Fold(name); { // some readers ignore case
	case reserved[folded]:
		return invalid(name, "only a gateway writes this member; put your own data into payload or headers")
	case known[folded] && !strictjson.IsASCII(name): // no sender means this; a name in other case is an unknown member
		return invalid(name, "this name is written "+folded)
	}
	if string(value) == "null" && name != "payload" {
		return nil
	}
	switch name {
	case "payload":
		m.Payload = value
	case "recipients":
		return m.readRecipients(value)
	case "headers":
		m.Headers = value
		return checkHeaders(value)
	case "coordination":
		m.Coordination = value
		return object(name, value)
	case "signature":
		m.Signature = value
		return object(name, value)
	case "attachments":
		return m.readAttachments(value)
	case "version", "sender", "message_id", "idempotency_key", "timestamp",
		"subject", "schema", "in_reply_to", "response_type", "workflow_id":
		return m.readString(name, value)
	}
	return nil
}

func (m *Message) readString(name string, value []byte) *Error {
	s, ok := text(value)
	if !ok {
		return invalid(name, "it must be a string")
	}
	if s == "" && name != "sender" {
		return nil
	}
	var err error
	switch name {
	case "version":
		m.Version = s
		if s != Version {
			return Errorf(CodeUnsupportedVersion, "Version %s is not supported; this gateway speaks %s.",
				quoteShort(s), Version)
		}
	case "sender":
		m.Sender, err = ParseAddress(s)
	case "message_id":
		m.MessageID, err = ParseMessageID(s)
	case "in_reply_to":
		m.InReplyTo, err = ParseMessageID(s)
	case "workflow_id":
		m.WorkflowID, err = ParseMessageID(s)
	case "idempotency_key":
		m.IdempotencyKey, err = s, CheckIdempotencyKey(s)
	case "schema":
		m.Schema, err = s, CheckSchema(s)
	case "timestamp":
		return m.readTimestamp(s)
	case "subject":
		m.Subject = s
		if len(s) > MaxSubject || hasControl(s) {
			return invalid(name, "it has at most 1024 bytes and no line breaks or control characters")
		}
	case "response_type":
		m.ResponseType = s
		if len(s) > MaxResponseType || hasControl(s) {
			return invalid(name, "it has at most 128 bytes and no control characters")
		}
	}
	if err != nil {
		return invalid(name, err.Error())
	}
	return nil
}

func (m *Message) readTimestamp(s string) *Error {
	t, err := time.Parse(time.RFC3339Nano, s)
	t = t.UTC() // before its year is looked at: the zone may move it into another
	if err != nil || t.Year() > 9999 {
		return invalid("timestamp", "it must be a date and time with a zone, such as 2026-01-31T12:00:00Z")
	}
	if t.Year() > 1 { // the reference programs print a zero time for none
		m.Timestamp = Time{t}
	}
	return nil
}

func (m *Message) readRecipients(value []byte) *Error {
	list, ok := elements(value)
	if !ok {
		return invalid("recipients", "it must be an array of addresses")
	}
	if len(list) > MaxRecipients {
		return Errorf(CodeInvalidRecipient, "The message has %d recipients; at most %d are allowed.", len(list),
			MaxRecipients)
	}
	m.Recipients = make([]Address, 0, len(list))
	for _, item := range list {
		s, isText := text(item)
		if !isText {
			return invalid("recipients", "every recipient must be a string")
		}
		a, err := ParseAddress(s)
		if err != nil {
			return Errorf(CodeInvalidRecipient, "Recipient %v.", err).With("recipient", short(s))
		}
		if !contains(m.Recipients, a) {
			m.Recipients = append(m.Recipients, a)
		}
	}
	return nil
}

// elements splits a JSON array that was checked already. An array of strings
// without escapes, nearly every list of recipients, is split without a parser.
func elements(value []byte) ([]json.RawMessage, bool) {
	if value[0] != '[' {
		return nil, false
	}
	var list []json.RawMessage
	rest := bytes.TrimSpace(value[1:])
	for len(rest) > 0 && rest[0] == '"' {
		end := bytes.IndexByte(rest[1:], '"') + 2
		if bytes.IndexByte(rest[:end], '\\') >= 0 {
			break
		}
		list = append(list, json.RawMessage(rest[:end]))
		rest = bytes.TrimLeft(rest[end:], ", \t\r\n")
	}
	if string(rest) == "]" {
		return list, true
	}
	list = nil
	err := json.Unmarshal(value, &list)
	return list, err == nil
}

func contains(list []Address, a Address) bool {
	for _, b := range list {
		if a.Equal(b) {
			return true
		}
	}
	return false
}

func checkHeaders(value []byte) *Error {
	if err := object("headers", value); err != nil {
		return err
	}
	if len(value) > MaxHeaders {
		return invalid("headers", "the object has at most 65536 bytes")
	}
	members, err := strictjson.Object(value)
	if err != nil {
		return invalid("headers", err.Error())
	}
	for _, h := range members {
		if h.Name == "" || hasControl(h.Name) {
			return invalid("headers", "a header's name is not empty and has no control characters")
		}
	}
	return nil
}

func (m *Message) readAttachments(value []byte) *Error {
	if value[0] != '[' {
		return invalid("attachments", "it must be an array")
	}
	if err := strictjson.DecodeValue(value, &m.Attachments); err != nil {
		return invalid("attachments", err.Error())
	}
	if len(m.Attachments) > 100 {
		return invalid("attachments", "at most 100 are allowed")
	}
	if why := checkAttachmentNames(value); why != "" {
		return invalid("attachments", why)
	}
	for i := range m.Attachments {
		if why := m.Attachments[i].check(); why != "" {
			return invalid("attachments", why)
		}
	}
	return nil
}

// checkAttachmentNames refuses a member whose name differs from one of ours only in case:
// every reader must read the members that were checked.
func checkAttachmentNames(value []byte) string {
	var list []map[string]json.RawMessage
	if json.Unmarshal(value, &list) != nil {
		return "each must be an object"
	}
	for _, attachment := range list {
		for name := range attachment {
			switch lower := strictjson.Fold(name); lower {
			case "filename", "content_type", "size", "hash", "url":
				if lower != name {
					return "the member " + quoteShort(name) + " must be written " + lower
				}
			}
		}
	}
	return ""
}

func (a *Attachment) check() string {
	algorithm, sum, _ := strings.Cut(a.Hash, ":")
	switch {
	case a.Filename == "" || len(a.Filename) > 255 || hasControl(a.Filename):
		return "filename has 1 to 255 bytes and no control characters"
	case a.ContentType == "" || len(a.ContentType) > 255 || hasControl(a.ContentType):
		return "content_type has 1 to 255 bytes and no control characters"
	case a.Size < 0:
		return "size is not negative"
	case algorithm != "sha256" && algorithm != "sha512" && algorithm != "md5":
		return "hash is written sha256:… or sha512:…"
	case sum == "" || len(sum) > 2*sha256.Size*2 || strings.Trim(strings.ToLower(sum), "0123456789abcdef") != "":
		return "hash has hexadecimal digits behind the colon"
	case !isPlainURL(a.URL):
		return "url is an http or https address without user name or password"
	}
	return ""
}

func isPlainURL(s string) bool {
	rest, https := strings.CutPrefix(s, "https://")
	if !https {
		var http bool
		if rest, http = strings.CutPrefix(s, "http://"); !http {
			return false
		}
	}
	host, _, _ := strings.Cut(rest, "/")
	return host != "" && len(s) <= 2048 && !strings.Contains(host, "@") && !hasControl(s) && !strings.Contains(s, " ")
}

// Raw returns the bytes as they arrived; nil for a message that was not parsed.
func (m *Message) Raw() []byte { return m.raw }

// Fingerprint identifies the content of a parsed message: SHA-256 of its
// canonical form without recipients, message_id, idempotency_key, timestamp,
// signature, and the headers answer-by and expires. A retry has the fingerprint
// of what it repeats.
func (m *Message) Fingerprint() ([sha256.Size]byte, error) {
	return canonical.Fingerprint(m.members)
}

// text decodes a JSON string. Strings without escapes, nearly all, are copied.
func text(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			err := json.Unmarshal(value, &s)
			return s, err == nil
		}
	}
	return string(inner), true
}

func object(name string, value []byte) *Error {
	if value[0] != '{' {
		return invalid(name, "it must be an object")
	}
	return nil
}

func invalid(member, why string) *Error {
	verb := "is"
	if member == "attachments" || member == "headers" || member == "recipients" {
		verb = "are"
	}
	return Errorf(CodeInvalidMessage, "The message's %s %s not accepted: %s.", short(member), verb, why).With("field",
		short(member))
}

func short(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "?") + "…"
	}
	return s
}

// hasControl reports whether s has a control character or one that changes the
// direction of text around it.
func hasControl(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 ||
			r == 0x2028 || r == 0x2029 {
			return true
		}
	}
	return false
}

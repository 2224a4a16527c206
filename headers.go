package amtp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/amtp-go/amtp/internal/strictjson"
)

// Headers that a gateway acts on. All other headers are the sender's own. AMTP §4.
const (
	HeaderPriority = "priority"  // urgent, high, normal or low
	HeaderAnswerBy = "answer-by" // RFC 3339: the sender hears at this time that no answer came
	HeaderExpires  = "expires"   // RFC 3339: the message is of no use after this time
)

// The priorities of a message, in the header priority.
const (
	PriorityUrgent = "urgent"
	PriorityHigh   = "high"
	PriorityNormal = "normal"
	PriorityLow    = "low"
)

// Header returns the text of a header, "" when the message does not have it or when it is
// no text.
func (m *Message) Header(name string) string {
	if len(m.Headers) == 0 || !bytes.Contains(m.Headers, []byte(name)) {
		return ""
	}
	headers, err := strictjson.Object(m.Headers)
	if err != nil {
		return ""
	}
	for _, h := range headers {
		var text string
		if h.Name == name && json.Unmarshal(h.Value, &text) == nil {
			return text
		}
	}
	return ""
}

// AnswerBy returns the time by which the sender asks for an answer, the zero time for
// none. The error says why the header is no time.
func (m *Message) AnswerBy() (time.Time, error) { return m.timeHeader(HeaderAnswerBy) }

// Expires returns the time after which the message is of no use, the zero time for none.
// The error says why the header is no time.
func (m *Message) Expires() (time.Time, error) { return m.timeHeader(HeaderExpires) }

func (m *Message) timeHeader(name string) (time.Time, error) {
	text := m.Header(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("the header %s is a time such as 2026-11-30T17:00:00Z, not %.40q", name, text)
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("the header %s has a year from 1 to 9999 in UTC, and %.40q has not", name, text)
	}
	return t, nil
}

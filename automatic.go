package amtp

import (
	"strings"

	"github.com/amtp-go/amtp/internal/strictjson"
)

// Automatic reports whether a program sent the message by itself: a report, an
// answer to a message, or what says so in its header auto-submitted. Whoever
// answers by itself does not answer such a message: two that do would never end.
// RFC 3834 §2.
func (m *Message) Automatic() bool {
	if m.ResponseType != "" {
		return true
	}
	headers, err := strictjson.Object(m.Headers)
	if err != nil {
		return false // it has none
	}
	for _, h := range headers {
		if strings.EqualFold(h.Name, "auto-submitted") && !strings.EqualFold(string(h.Value), `"no"`) {
			return true
		}
	}
	return false
}

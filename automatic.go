package amtp

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/amtp-go/amtp/internal/strictjson"
)

// The message types, in the payload, of messages that gateways write by themselves: a
// report of a failed delivery (AMTP §8), and receipts.
const (
	TypeDeliveryFailure = "delivery_failure"
	TypeAnswerDeadline  = "answer_deadline" // no answer came by the time in the header answer-by
	TypeReceipts        = "receipts"
)

var automaticTypes = []string{TypeDeliveryFailure, TypeAnswerDeadline, TypeReceipts}

// Daemon is the local part of the address from which a gateway writes to its own agents
// what became of their messages. No agent has it. AMTP §8.
const Daemon = "mailer-daemon"

// IsReport reports whether a message of the sender comes from the gateway of the domain
// itself. Such a message answers none, although it names one in in_reply_to.
func IsReport(sender Address, of Domain) bool {
	return sender.Local() == Daemon && sender.Domain() == of
}

// Automatic reports whether a program sent the message by itself: a report, a receipt, an
// automatic answer, or a message that says so in its header auto-submitted. A program
// that answers by itself must not answer such a message: two programs that answer each
// other would never end. RFC 3834 §2.
func (m *Message) Automatic() bool {
	if m.ResponseType != "" || slices.Contains(automaticTypes, PayloadType(m.Payload)) {
		return true
	}
	headers, err := strictjson.Object(m.Headers)
	if err != nil {
		return false // it has none
	}
	for _, h := range headers {
		if strictjson.Fold(h.Name) == "auto-submitted" && !strings.EqualFold(string(h.Value), `"no"`) {
			return true
		}
	}
	return false
}

// PayloadType returns the message_type of a payload that is an object, such as
// [TypeDeliveryFailure]; empty without one.
func PayloadType(payload json.RawMessage) string {
	members, err := strictjson.Object(payload)
	if err != nil {
		return "" // it is something else
	}
	for _, member := range members {
		if member.Name == "message_type" {
			kind, _ := text(member.Value)
			return kind
		}
	}
	return ""
}

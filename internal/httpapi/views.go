package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// shownKey returns the agent key that the request shows. The answer to its holder
// repeats it.
func shownKey(r *http.Request) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key)
}

// appendResult writes the answer to a submission, the most frequent of all answers, in
// the form that encoding/json would give it.
func appendResult(b []byte, r *amtp.SendResult) []byte {
	b = append(b, `{"message_id":`...)
	b = appendString(b, string(r.MessageID))
	b = append(b, `,"status":`...)
	b = appendString(b, string(r.Status))
	b = append(b, `,"recipients":[`...)
	for i := range r.Recipients {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRecipient(b, &r.Recipients[i])
	}
	b = append(b, ']')
	if r.LocalID != "" {
		b = appendString(append(b, `,"local_id":`...), string(r.LocalID))
	}
	return append(b, '}')
}

func appendRecipient(b []byte, r *amtp.RecipientStatus) []byte {
	b = append(b, `{"address":`...)
	b = appendString(b, r.Address.String())
	b = append(b, `,"status":`...)
	b = appendString(b, string(r.Status))
	b = appendTime(append(b, `,"timestamp":`...), r.Timestamp.Time)
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(r.Attempts), 10)
	if r.DeliveryMode != "" {
		b = appendString(append(b, `,"delivery_mode":`...), r.DeliveryMode)
	}
	if r.LocalDelivery {
		b = append(b, `,"local_delivery":true`...)
	}
	if r.InboxDelivered {
		b = append(b, `,"inbox_delivered":true`...)
	}
	if !r.DeliveredAt.IsZero() {
		b = appendTime(append(b, `,"delivered_at":`...), r.DeliveredAt.Time)
	}
	if r.Acknowledged {
		b = append(b, `,"acknowledged":true`...)
	}
	if !r.AcknowledgedAt.IsZero() {
		b = appendTime(append(b, `,"acknowledged_at":`...), r.AcknowledgedAt.Time)
	}
	if r.Read {
		b = append(b, `,"read":true`...)
	}
	if !r.ReadAt.IsZero() {
		b = appendTime(append(b, `,"read_at":`...), r.ReadAt.Time)
	}
	if r.Claimed {
		b = append(b, `,"claimed":true`...)
	}
	if r.Refused {
		b = append(b, `,"refused":true`...)
	}
	if !r.RefusedAt.IsZero() {
		b = appendTime(append(b, `,"refused_at":`...), r.RefusedAt.Time)
	}
	if r.ErrorCode != "" {
		b = appendString(append(b, `,"error_code":`...), string(r.ErrorCode))
	}
	if r.ErrorMessage != "" {
		b = appendString(append(b, `,"error_message":`...), r.ErrorMessage)
	}
	return append(b, '}')
}

// appendString writes a string of the gateway, with the characters of HTML escaped.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string cannot fail
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendTime writes a time in amtp.TimeFormat. It uses the one form that the standard
// library writes fast, which ends in a Z.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

func appendJSON(b []byte, v any) ([]byte, error) {
	encoded, err := json.Marshal(v)
	return append(b, encoded...), err
}

// inboxView is the JSON of a page of an inbox, or of the headers of its messages.
func inboxView(owner amtp.Address, page *gateway.InboxPage, headers bool) ([]byte, error) {
	size := 256
	for i := range page.Items {
		size += len(page.Items[i].Body) + 512
	}
	b := make([]byte, 0, size)
	b = appendString(append(b, `{"recipient":`...), owner.String())
	for _, name := range []string{"count", "message_count"} {
		b = append(b, `,"`+name+`":`...)
		b = strconv.AppendInt(b, int64(len(page.Items)), 10)
	}
	b = strconv.AppendBool(append(b, `,"has_more":`...), page.HasMore)
	b = appendString(append(b, `,"next_cursor":`...), ofInbox.text(page.Next))
	if page.Incomplete {
		b = append(b, `,"incomplete":true`...)
	}
	b = append(b, `,"messages":[`...)
	for i := range page.Items {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendItem(b, &page.Items[i], headers); err != nil {
			return nil, err
		}
	}
	return append(b, `]}`...), nil
}

// appendItem writes a message of an inbox. headers leaves its payload out and says how
// many bytes the message has. It also leaves out the sender's members of these names.
func appendItem(b []byte, item *gateway.InboxItem, headers bool, without ...string) ([]byte, error) {
	if headers {
		without = append(without, "payload", "size")
	}
	b, err := appendMessage(b, &item.Envelope, item.Body, item.Thread, without...)
	if err != nil {
		return nil, err
	}
	if headers && item.Body != nil {
		b = strconv.AppendInt(append(b, `,"size":`...), int64(len(item.Body)), 10)
	}
	status := `,"status":"unread"`
	if !item.ReadAt.IsZero() {
		status = `,"status":"read"`
	}
	b = append(b, status...)
	b = strconv.AppendInt(append(b, `,"delivery_count":`...), int64(item.DeliveryCount), 10)
	b = appendLabels(b, item.Labels)
	return append(b, '}'), nil
}

// storedView is the JSON of a message with its status.
func storedView(rec *gateway.Record, now time.Time) ([]byte, error) {
	b, err := appendMessage(make([]byte, 0, len(rec.Body)+1024), &rec.Envelope, rec.Body, rec.Thread, "recipients")
	if err != nil {
		return nil, err
	}
	status := rec.Status(now)
	b = appendLabels(b, rec.Labels)
	status.SenderVerification = nil // appendMessage wrote it
	summary, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	// The summary begins with the message_id, which appendMessage wrote.
	_, rest, _ := strings.Cut(string(summary), ",")
	b = append(b, ',')
	return append(b, rest...), nil
}

// appendMessage writes an object without its closing brace. The gateway's own members
// come first, then the sender's members as they arrived. It leaves out the sender's
// values of the gateway's members, and the members that without names.
func appendMessage(b []byte, e *gateway.Envelope, body []byte, thread amtp.MessageID,
	without ...string) ([]byte, error) {
	b = appendString(append(b, `{"message_id":`...), string(e.ID))
	if e.GivenID != "" {
		b = appendString(append(b, `,"sender_message_id":`...), string(e.GivenID))
	}
	b = appendString(append(b, `,"version":`...), amtp.Version)
	b = appendString(append(b, `,"sender":`...), e.Sender.String())
	b = appendTime(append(b, `,"timestamp":`...), e.Timestamp)
	b = appendTime(append(b, `,"received_at":`...), e.ReceivedAt)
	b = appendString(append(b, `,"thread_id":`...), string(thread))
	b, err := appendShown(b, e.Shown())
	if err != nil {
		return nil, err
	}
	if body == nil {
		b = append(b, `,"body_purged":true`...)
		if !slices.Contains(without, "recipients") {
			b = append(b, `,"recipients":[]`...)
		}
		return b, nil
	}
	members, err := strictjson.Split(body)
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		// The comparison ignores the case of letters: some readers do not tell such names
		// apart, and use the last one.
		switch name := strictjson.Fold(m.Name); name {
		case "message_id", "version", "sender", "timestamp":
			continue
		case "sender_verification": // in a message from before senders were refused this member
			continue
		default:
			if slices.Contains(without, name) {
				continue
			}
		}
		b = appendString(append(b, ','), m.Name)
		b = append(b, ':')
		b = append(b, m.Value...)
	}
	return b, nil
}

// appendShown writes how well the sender is proven.
func appendShown(b []byte, s gateway.Shown) ([]byte, error) {
	b = appendString(append(b, `,"trust":`...), string(s.Trust))
	b, err := appendJSON(append(b, `,"authentication":`...), s.Authentication)
	if err != nil || s.Verification == nil {
		return b, err
	}
	return appendJSON(append(b, `,"sender_verification":`...), s.Verification)
}

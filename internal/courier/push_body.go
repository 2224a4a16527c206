package courier

import (
	"encoding/json"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// expected are the sender's members that the reference gateway always pushes, each with
// the value that it has if the sender did not write it.
var expected = []struct{ name, absent string }{
	{"attachments", "null"}, {"coordination", "null"}, {"headers", "null"}, {"in_reply_to", `""`},
	{"payload", "null"}, {"response_type", `""`}, {"schema", `""`}, {"subject", `""`},
}

// pushBody is the body that an endpoint receives: the gateway's own members, and then the
// sender's as they arrived. It is what the inbox of a pull agent shows, but without the
// inbox's marks (status, delivery_count). It has every member that the reference gateway
// pushes. AMTP §5.
func pushBody(p *gateway.Parcel) ([]byte, error) {
	e := &p.Envelope
	shown := e.Shown()
	written := make(map[string]bool)
	b := append(make([]byte, 0, len(p.Body)+1024), '{')
	for _, m := range []struct {
		name  string
		value any
	}{
		{"message_id", e.ID}, {"sender_message_id", e.GivenID}, {"version", amtp.Version}, {"sender", e.Sender},
		{"recipient", p.Recipients[0].Recipient},
		{"timestamp", amtp.Time{Time: e.Timestamp}}, {"received_at", amtp.Time{Time: e.ReceivedAt}},
		{"thread_id", p.Thread},
		{"trust", shown.Trust}, {"authentication", shown.Authentication},
		{"sender_verification", shown.Verification},
	} {
		written[m.name] = true
		if m.value == amtp.MessageID("") || m.value == (*amtp.SenderVerification)(nil) {
			continue
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b = appendMember(b, m.name, value)
	}
	members, err := strictjson.Split(p.Body)
	if err != nil {
		return nil, err
	}
	for _, x := range expected {
		b = appendMember(b, x.name, member(members, x.name, x.absent))
		written[x.name] = true
	}
	for _, m := range members {
		// Names are compared without regard to case: some readers do not tell the cases
		// apart, and the last one would win.
		if !written[strictjson.Fold(m.Name)] {
			b = appendMember(b, m.Name, m.Value)
		}
	}
	return append(b, '}'), nil
}

// member returns the value of a member, or absent if there is none.
func member(members []strictjson.Member, name, absent string) []byte {
	for _, m := range members {
		if m.Name == name && string(m.Value) != "null" {
			return m.Value
		}
	}
	return []byte(absent)
}

// appendMember adds a member to an object that is not closed yet.
func appendMember(b []byte, name string, value []byte) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	quoted, _ := json.Marshal(name) // a string cannot fail
	return append(append(append(b, quoted...), ':'), value...)
}

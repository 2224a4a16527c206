package courier

import (
	"crypto/sha256"
	"encoding/json"
	"strconv"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/google/uuid"
)

// redriveOf is the header that names the message which a late redrive repeats.
const redriveOf = "amtp-redrive-of"

// redriven returns the id and the body of the new message that a late redrive
// makes of the parcel's. The same redrive always makes the same.
func redriven(p *gateway.Parcel) (amtp.MessageID, []byte, error) {
	seed := "amtp redrive\x00" + string(p.Envelope.ID) + "\x00" + strconv.FormatInt(p.Redriven.UnixMicro(), 10)
	id := amtp.MessageID(uuid.NewHash(sha256.New(), uuid.Nil, []byte(seed), 7).String())
	body, err := withHeader(p.Body, redriveOf, string(p.Envelope.ID))
	return id, body, err
}

// withHeader returns the message with one more header; every other byte of its
// values stays.
func withHeader(body []byte, name, value string) ([]byte, error) {
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, err
	}
	headers := []byte("{}")
	out := []byte{'{'}
	for _, m := range members {
		if m.Name == "headers" && string(m.Value) != "null" {
			headers = m.Value
		}
		if m.Name == "headers" {
			continue
		}
		out = appendMember(out, m.Name, m.Value)
	}
	inner, err := strictjson.Object(headers)
	if err != nil {
		return nil, err
	}
	list := []byte{'{'}
	for _, m := range inner {
		if m.Name != name {
			list = appendMember(list, m.Name, m.Value)
		}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	list = append(appendMember(list, name, text), '}')
	return append(appendMember(out, "headers", list), '}'), nil
}

// appendMember adds a member to an object that is being written and not closed.
func appendMember(b []byte, name string, value []byte) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	quoted, _ := json.Marshal(name) // a string cannot fail
	return append(append(append(b, quoted...), ':'), value...)
}

package automail

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// PushReplier sends an endpoint's answer to a push, the member response of a JSON object,
// as a message from its agent to the sender. AMTP §5. However often the message is pushed,
// only the first answer becomes a reply.
type PushReplier struct {
	Acceptor gateway.Acceptor
	Log      *slog.Logger
}

// Reply sends the answer, a JSON document, as the agent's reply to the message of the
// parcel, if the answer has one. It returns a refusal only if the same reply may be
// accepted later.
func (r *PushReplier) Reply(ctx context.Context, p *gateway.Parcel, a *gateway.Agent, answer []byte) error {
	response, why := responseOf(p, answer)
	if why == "" && response == nil {
		return nil
	}
	if why == "" {
		m, refused := replyTo(p, a, response)
		if refused == nil {
			_, refused = r.Acceptor.Accept(ctx, gateway.Principal{Agent: a}, m, 0)
		}
		if isTaken(refused) {
			return nil
		}
		if isLater(refused) {
			return refused
		}
		why = string(gateway.CodeOf(refused))
	}
	r.Log.Warn("the answer of an endpoint is not sent as a reply", "message", string(p.Envelope.ID), "destination",
		string(p.Destination), "reason", why)
	return nil
}

// responseOf returns the endpoint's response for the sender, nil if there is none. why is
// the reason if the response must not be sent.
func responseOf(p *gateway.Parcel, answer []byte) (response []byte, why string) {
	if len(answer) == 0 {
		return nil, ""
	}
	if len(answer) > gateway.MaxPushAnswer {
		return nil, "it is longer than 65536 bytes"
	}
	members, err := strictjson.Object(answer)
	if err != nil {
		return nil, "" // some endpoints answer with something other than an object
	}
	for _, m := range members {
		if m.Name == "response" && string(m.Value) != "null" {
			response = m.Value
			break
		}
	}
	if response == nil {
		return nil, ""
	}
	if isAutomatic(p) {
		return nil, "the message is a reply or a report itself"
	}
	return response, ""
}

// isAutomatic reports whether a program sent the message by itself, so that it gets no
// automatic answer: two endpoints that answer everything would never end. RFC 3834 §2.
func isAutomatic(p *gateway.Parcel) bool {
	if p.Envelope.Class == gateway.ClassGateway || gateway.IsReserved(p.Envelope.Sender.Local()) {
		return true
	}
	m, refused := amtp.ParseMessage(p.Body)
	return refused != nil || m.Automatic()
}

// replyTo is the message that carries a response to the sender.
func replyTo(p *gateway.Parcel, a *gateway.Agent, response []byte) (*amtp.Message, error) {
	e := &p.Envelope
	subject := e.Subject
	if subject != "" && !strings.HasPrefix(strings.ToLower(subject), "re: ") {
		subject = "Re: " + subject
	}
	if len(subject) > amtp.MaxSubject {
		subject = gateway.Short(subject)
	}
	id, key := identify("amtp push reply", string(e.ID), string(gateway.PushTo(a.ID)))
	body, err := json.Marshal(amtp.Message{
		Version: amtp.Version, MessageID: id, IdempotencyKey: key,
		Sender: a.Address, Recipients: []amtp.Address{e.Sender}, Subject: subject, InReplyTo: e.ID,
		ResponseType: "workflow_response",
		Headers:      json.RawMessage(`{"auto-submitted":"auto-replied"}`),
	})
	if err != nil {
		return nil, amtp.Errorf(amtp.CodeInvalidMessage, "The reply cannot be written.")
	}
	// Every byte of it, as it came.
	body = append(append(append(body[:len(body)-1], `,"payload":`...), response...), '}')
	m, refused := amtp.ParseMessage(body)
	if refused != nil {
		return nil, refused
	}
	return m, nil
}

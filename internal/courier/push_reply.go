package courier

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/google/uuid"
)

// reply sends what an endpoint answered as a message from its agent to the
// sender: the member response of a JSON object. It returns a refusal only when
// the same may be accepted later. AMTP §5.
//
// Its id and key follow from the message and the agent: however often the
// message is pushed, there is one reply, the first.
func (c *Push) reply(ctx context.Context, p *gateway.Parcel, a *gateway.Agent, h http.Header,
	answer []byte) *amtp.Error {
	response, why := responseOf(p, h, answer)
	if why == "" && response == nil {
		return nil
	}
	var refused *amtp.Error
	if why == "" {
		var m *amtp.Message
		if m, refused = replyTo(p, a, response); refused == nil {
			_, refused = c.Acceptor.Accept(ctx, gateway.Principal{Agent: a}, m, 0)
		}
		if refused == nil || refused.Code == amtp.CodeIdempotencyKeyReused { // it has answered before, otherwise
			return nil
		}
		if refused.Code == amtp.CodeTemporaryFailure || refused.Code == amtp.CodeInternal {
			return refused
		}
		why = string(refused.Code)
	}
	c.Log.Warn("the answer of an endpoint is not sent as a reply", "message", string(p.Envelope.ID), "destination",
		string(p.Destination), "reason", why)
	return nil
}

// responseOf returns what an endpoint answered for the sender, nil when it said
// nothing, and why not when it may not say it.
func responseOf(p *gateway.Parcel, h http.Header, answer []byte) (response []byte, why string) {
	if !isJSON(h) || len(answer) == 0 {
		return nil, ""
	}
	if len(answer) > maxReply {
		return nil, "it is longer than 65536 bytes"
	}
	members, err := strictjson.Object(answer)
	if err != nil {
		return nil, "" // some endpoints answer what is no object
	}
	if response = member(members, "response", ""); len(response) == 0 {
		return nil, ""
	}
	if isAutomatic(p) {
		return nil, "the message is a reply or a report itself"
	}
	return response, ""
}

// isAutomatic reports whether no answer is sent to the message by itself: two
// endpoints that answer everything would never end. RFC 3834 §2.
func isAutomatic(p *gateway.Parcel) bool {
	if p.Envelope.Class == gateway.ClassGateway || gateway.IsReserved(p.Envelope.Sender.Local()) {
		return true
	}
	m, refused := amtp.ParseMessage(p.Body)
	return refused != nil || m.Automatic()
}

// replyTo is the message that carries a response to the sender.
func replyTo(p *gateway.Parcel, a *gateway.Agent, response []byte) (*amtp.Message, *amtp.Error) {
	e := &p.Envelope
	subject := e.Subject
	if subject != "" && !strings.HasPrefix(strings.ToLower(subject), "re: ") {
		subject = "Re: " + subject
	}
	if len(subject) > amtp.MaxSubject {
		subject = gateway.Short(subject)
	}
	body, err := json.Marshal(amtp.Message{
		Version: amtp.Version, MessageID: amtp.MessageID(replyID(e.ID, a.ID, "message")),
		IdempotencyKey: replyID(e.ID, a.ID, "key"),
		Sender:         a.Address, Recipients: []amtp.Address{e.Sender}, Subject: subject, InReplyTo: e.ID,
		ResponseType: "workflow_response",
		Headers:      json.RawMessage(`{"auto-submitted":"auto-replied"}`),
	})
	if err != nil {
		return nil, amtp.Errorf(amtp.CodeInvalidMessage, "The reply cannot be written.")
	}
	body = append(appendMember(body[:len(body)-1], "payload", response), '}') // every byte of it
	return amtp.ParseMessage(body)
}

// replyID returns a UUID that only the reply of this agent to this message has.
func replyID(id amtp.MessageID, agent gateway.AgentID, what string) string {
	seed := "amtp push reply\x00" + what + "\x00" + string(id) + "\x00" + string(gateway.PushTo(agent))
	version := 7
	if what == "key" {
		version = 4
	}
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(seed), version).String()
}

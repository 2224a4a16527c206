package automail

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Mail is the part of gateway.Store that a Deadline needs.
type Mail interface {
	Agents
	Message(context.Context, gateway.Reader, amtp.MessageID) (gateway.Record, error)
	Answerers(context.Context, gateway.Acting, amtp.MessageID) ([]amtp.Address, error)
}

// Deadline tells senders here that an answer did not come in time: a notice is a message
// in their inbox, from mailer-daemon of their own domain. It says what is known of each
// recipient, and nothing else. It is the courier of the jobs for gateway.Deadlines.
//
// A message whose recipients have all answered gets no notice. A later answer arrives like
// any other. An answer counts for the recipient that sent it. One from another address is
// listed too, and counts for the recipients for which its sender may have answered: see
// answeredFor.
type Deadline struct {
	Acceptor gateway.Acceptor
	Store    Mail
	Domain   amtp.Domain // ours
	Now      func() time.Time
}

// silence is the payload of a notice.
type silence struct {
	Version           string         `json:"version"`
	MessageType       string         `json:"message_type"`
	OriginalMessageID amtp.MessageID `json:"original_message_id"`
	OriginalSubject   string         `json:"original_subject,omitempty"`
	AnswerBy          amtp.Time      `json:"answer_by"`
	Answered          []amtp.Address `json:"answered"`
	Waiting           []known        `json:"waiting"`
}

// known is what this gateway knows of a recipient that has not answered.
type known struct {
	Address      amtp.Address `json:"address"`
	Status       amtp.Status  `json:"status"`
	Read         bool         `json:"read"`
	Claimed      bool         `json:"claimed"` // it is being worked on
	Acknowledged bool         `json:"acknowledged"`
	Attempts     int          `json:"attempts"`
	ErrorCode    amtp.Code    `json:"error_code,omitempty"`
}

// Carry writes the notice of a job.
func (d *Deadline) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	sender, err := d.Store.Agent(p.SenderAgent)
	if errors.Is(err, gateway.ErrNotFound) {
		return p.All(gateway.Outcome{Event: gateway.Success}) // the sender was removed
	}
	var m *amtp.Message
	if wait := p.At.Sub(d.Now()); err == nil && wait > 0 {
		return p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure,
			Reason: "the time is not up", RetryAfter: wait})
	}
	if err == nil {
		m, err = d.notice(ctx, &p, sender.Address)
	}
	switch {
	case errors.Is(err, gateway.ErrNotFound), err == nil && m == nil:
		return p.All(gateway.Outcome{Event: gateway.Success}) // there is nothing to tell
	case err != nil:
		return later(&p, amtp.CodeTemporaryFailure)
	}
	return deliver(ctx, d.Acceptor, &p, m, "the notice")
}

// answeredFor reports whether one of the others, who are no recipients, may have answered
// for the recipient: a member of a shared mailbox here, or somebody in its domain for an
// address elsewhere, which may be a group.
func (d *Deadline) answeredFor(r *gateway.Delivery, others []amtp.Address) bool {
	if len(others) == 0 {
		return false
	}
	if r.Agent == 0 {
		return slices.ContainsFunc(others, func(a amtp.Address) bool { return a.Domain() == r.Recipient.Domain() })
	}
	box, err := d.Store.Agent(r.Agent)
	if err != nil || box.Kind != gateway.SharedMailbox {
		return false
	}
	return slices.ContainsFunc(box.Members, func(id gateway.AgentID) bool {
		member, err := d.Store.Agent(id)
		return err == nil && slices.ContainsFunc(others, member.Address.Equal)
	})
}

// notice is the notice of a job, nil when every recipient has answered.
func (d *Deadline) notice(ctx context.Context, p *gateway.Parcel, to amtp.Address) (*amtp.Message,
	error) {
	id := p.Envelope.ID
	rec, err := d.Store.Message(ctx, gateway.Reader{Agent: p.SenderAgent}, id)
	if err != nil {
		return nil, err
	}
	answered, err := d.Store.Answerers(ctx, gateway.Acting{Agent: p.SenderAgent}, id)
	if err != nil {
		return nil, err
	}
	others := slices.DeleteFunc(slices.Clone(answered), func(a amtp.Address) bool {
		return a.Equal(to) || gateway.IsReserved(a.Local()) ||
			slices.ContainsFunc(rec.Deliveries, func(r gateway.Delivery) bool { return r.Recipient.Equal(a) })
	})
	s := silence{Version: amtp.Version, MessageType: amtp.TypeAnswerDeadline, OriginalMessageID: id,
		OriginalSubject: rec.Subject, AnswerBy: amtp.Time{Time: p.At}, Answered: []amtp.Address{}, Waiting: []known{}}
	s.Answered = append(s.Answered, others...)
	for i := range rec.Deliveries {
		r := rec.Deliveries[i].Status()
		if slices.ContainsFunc(answered, r.Address.Equal) {
			s.Answered = append(s.Answered, r.Address)
			continue
		}
		if d.answeredFor(&rec.Deliveries[i], others) {
			continue
		}
		s.Waiting = append(s.Waiting, known{Address: r.Address, Status: r.Status, Read: r.Read,
			Claimed: rec.Deliveries[i].IsClaimed(d.Now()), Acknowledged: r.Acknowledged, Attempts: r.Attempts,
			ErrorCode: r.ErrorCode})
	}
	if len(s.Waiting) == 0 {
		return nil, nil
	}
	from, err := amtp.ParseAddress(Daemon + "@" + string(d.Domain))
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	own, key := identify("amtp answer-by", string(id))
	return parsed(map[string]any{
		"version": amtp.Version, "message_id": own, "idempotency_key": key,
		"sender": from, "recipients": []amtp.Address{to}, "subject": about("No answer yet", &rec.Envelope),
		"in_reply_to": id, "headers": map[string]string{"auto-submitted": "auto-generated"},
		"payload": json.RawMessage(payload),
	})
}

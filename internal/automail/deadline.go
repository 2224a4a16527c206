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
// any other.
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
	s := silence{Version: amtp.Version, MessageType: amtp.TypeAnswerDeadline, OriginalMessageID: id,
		OriginalSubject: rec.Subject, AnswerBy: amtp.Time{Time: p.At}, Answered: []amtp.Address{}, Waiting: []known{}}
	for i := range rec.Deliveries {
		r := rec.Deliveries[i].Status()
		if slices.ContainsFunc(answered, r.Address.Equal) {
			s.Answered = append(s.Answered, r.Address)
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

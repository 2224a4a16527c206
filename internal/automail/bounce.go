package automail

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Agents finds the agents of this gateway. gateway.Store is one.
type Agents interface {
	Agent(gateway.AgentID) (*gateway.Agent, error)
}

// Reporter tells senders here which deliveries failed: a report is a message in their
// inbox, from mailer-daemon of their own domain. It is the courier of the jobs for
// gateway.Reports.
//
// A report is a job like any other, queued in the transaction that stored the failure.
// Senders in other domains get no report, and there is no report about a report. AMTP §8.
type Reporter struct {
	Acceptor gateway.Acceptor
	Agents   Agents
	Domain   amtp.Domain // ours
}

// Daemon is the local part of the sender of reports.
const Daemon = amtp.Daemon

// failure is the payload of a report. AMTP §8. failed_recipients names the recipients.
// The code and the reason are those of the first one; failures has them for each.
type failure struct {
	Version           string         `json:"version"`
	MessageType       string         `json:"message_type"`
	OriginalMessageID amtp.MessageID `json:"original_message_id"`
	OriginalSubject   string         `json:"original_subject,omitempty"`
	FailedRecipients  []amtp.Address `json:"failed_recipients"`
	ErrorCode         amtp.Code      `json:"error_code"`
	ErrorMessage      string         `json:"error_message"`
	RetryCount        int            `json:"retry_count"`
	FinalAttempt      amtp.Time      `json:"final_attempt"`
	Failures          []failed       `json:"failures"`
}

type failed struct {
	Address      amtp.Address `json:"address"`
	ErrorCode    amtp.Code    `json:"error_code"`
	ErrorMessage string       `json:"error_message"`
	Attempts     int          `json:"attempts"`
}

// Carry writes the report of a job.
func (r *Reporter) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	// Another agent of the same name does not get the report.
	sender, err := r.Agents.Agent(p.SenderAgent)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return p.All(gateway.Outcome{Event: gateway.Success}) // the sender was removed
	case err != nil:
		return later(&p, amtp.CodeTemporaryFailure)
	}
	m, err := r.message(&p, sender.Address, failureOf(&p), about("Not delivered", &p.Envelope))
	if err != nil || len(p.Recipients) == 0 { // the message cannot be read; its failure is reported nevertheless
		m, err = r.message(&p, sender.Address, failure{Version: amtp.Version, MessageType: "delivery_failure",
			OriginalMessageID: p.Envelope.ID, FailedRecipients: []amtp.Address{}, Failures: []failed{},
			FinalAttempt: amtp.Time{Time: p.Begun},
			ErrorCode:    amtp.CodeInternal, ErrorMessage: "the gateway cannot write what happened"},
			"Not delivered")
	}
	if err != nil {
		return p.All(gateway.Outcome{Event: gateway.Refuse, Code: amtp.CodeInternal,
			Reason: "the report cannot be written"})
	}
	return deliver(ctx, r.Acceptor, &p, m, "the report")
}

// deliver puts a message to the sender of a parcel into its inbox. A report that is stored
// already may name deliveries that were redriven meanwhile.
func deliver(ctx context.Context, to gateway.Acceptor, p *gateway.Parcel, m *amtp.Message,
	what string) gateway.Carriage {
	_, refused := to.Accept(ctx, gateway.Principal{Gateway: true, For: p.SenderAgent}, m, 0)
	switch {
	case isTaken(refused), gateway.CodeOf(refused) == amtp.CodeAgentUnknown:
		return p.All(gateway.Outcome{Event: gateway.Success})
	case isLater(refused):
		return later(p, gateway.CodeOf(refused))
	}
	return p.All(gateway.Outcome{Event: gateway.Refuse, Code: gateway.CodeOf(refused),
		Reason: what + " was refused by this gateway"})
}

// later makes the queue write the message again when the store works.
func later(p *gateway.Parcel, code amtp.Code) gateway.Carriage {
	c := p.All(gateway.Outcome{Event: gateway.Postpone, Code: code, Reason: "the message cannot be stored now"})
	c.Down = true
	return c
}

// message is the report of a job. It is the same each time it is written.
func (r *Reporter) message(p *gateway.Parcel, to amtp.Address, f failure, subject string) (*amtp.Message, error) {
	from, err := amtp.ParseAddress(Daemon + "@" + string(r.Domain))
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	id, key := identify("amtp report", string(p.Envelope.ID), strconv.FormatInt(int64(p.ID), 10),
		strconv.FormatInt(p.Begun.UnixMicro(), 10))
	return parsed(map[string]any{
		"version": amtp.Version, "message_id": id, "idempotency_key": key,
		"sender": from, "recipients": []amtp.Address{to}, "subject": subject,
		"in_reply_to": p.Envelope.ID, "headers": map[string]string{"auto-submitted": "auto-generated"},
		"payload": json.RawMessage(payload),
	})
}

// about is the subject of a message about another one.
func about(what string, e *gateway.Envelope) string {
	if e.Subject == "" {
		return what + ": " + string(e.ID)
	}
	return what + ": " + gateway.Short(e.Subject)
}

func failureOf(p *gateway.Parcel) failure {
	f := failure{Version: amtp.Version, MessageType: "delivery_failure", OriginalMessageID: p.Envelope.ID,
		OriginalSubject: p.Envelope.Subject}
	for i := range p.Recipients {
		s := p.Recipients[i].Status()
		f.FailedRecipients = append(f.FailedRecipients, s.Address)
		f.Failures = append(f.Failures, failed{s.Address, s.ErrorCode, s.ErrorMessage, s.Attempts})
		if last := p.Recipients[i].Changed; last.After(f.FinalAttempt.Time) {
			f.FinalAttempt = amtp.Time{Time: last}
		}
		f.RetryCount = max(f.RetryCount, s.Attempts-1)
	}
	if len(f.Failures) > 0 {
		f.ErrorCode, f.ErrorMessage = f.Failures[0].ErrorCode, f.Failures[0].ErrorMessage
	}
	return f
}

package httpapi

import (
	"errors"
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
)

// send accepts a message. AMTP §5: the answer comes when the message is on disk.
func (s *Server) send(c *call) {
	if err := s.Intake.Early(&c.principal); err != nil {
		c.fail(err)
		return
	}
	m, bytes, err := c.arrival()
	if err != nil {
		s.Intake.Unread(&c.principal, bytes, err)
		c.fail(err)
		return
	}
	wait, waits := c.prefersReply()
	before := int64(0)
	if waits {
		before = c.newestOf(m.Sender)
	}
	got, err := s.Intake.Receive(c.r.Context(), intake.Arrival{
		Message: m, Principal: c.principal, From: c.from, Request: c.id, Proven: c.proven})
	if err != nil {
		c.fail(err)
		return
	}
	if got.Unnoted != nil {
		if ok, left := s.sampled.may(s.Now()); ok {
			s.Log.Warn("cannot record that a domain sent a message without a signature", "request", c.id.String(),
				"domain", string(got.Caller.Domain), "left_out", left, "cause", got.Unnoted)
		}
	}
	if got.Replayed {
		c.w.Header().Set("Idempotent-Replayed", "true")
		before = 0 // the reply may have come since the first request
	}
	if waits {
		c.replied(m.Sender, got.SendResult, awaited{before, wait})
		return
	}
	c.write(http.StatusAccepted, appendResult(make([]byte, 0, 160+200*len(got.Recipients)), got.SendResult))
}

// arrival reads the message in the body, and returns the number of bytes read.
func (c *call) arrival() (*amtp.Message, int64, error) {
	body, err := c.body(amtp.CodeInvalidMessage, false)
	if err != nil {
		return nil, 0, err
	}
	m, wrong := amtp.ParseMessage(body)
	if wrong != nil {
		return nil, int64(len(body)), wrong
	}
	return m, int64(len(body)), nil
}

// message shows one message with its status.
func (s *Server) message(c *call) {
	body, err := s.shownMessage(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, body)
}

// shownMessage returns the message that the path names, in the form for the caller.
func (s *Server) shownMessage(c *call) ([]byte, error) {
	by, err := s.reader(c)
	if err != nil {
		return nil, err
	}
	rec, err := s.record(c, by)
	if err != nil {
		return nil, err
	}
	return storedView(&rec, s.Now())
}

// status shows the status of a message and its deliveries. In the development profile
// the reference client asks without a key.
func (s *Server) status(c *call) {
	by, err := s.reader(c)
	if c.principal.Development && c.inMailbox() == "" {
		by, err = gateway.Reader{Everyone: true}, nil
	}
	if err != nil {
		c.fail(err)
		return
	}
	rec, err := s.record(c, by)
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(http.StatusOK, rec.Status(s.Now()))
}

// readerOf returns the reader that the principal is.
func readerOf(p gateway.Principal) (gateway.Reader, error) {
	switch {
	case p.Agent != nil:
		return gateway.Reader{Agent: p.Agent.ID, Key: p.KeyID}, nil
	case p.Admin:
		return gateway.Reader{Everyone: true}, nil
	}
	return gateway.Reader{}, amtp.Errorf(amtp.CodeMissingAuthorization,
		"Messages are shown to their sender and recipients: show the agent's key").
		With("required_header", "Authorization: Bearer <api-key>")
}

// record finds the message that the path names. It gives the same error for a message of
// other agents as for one that does not exist.
func (s *Server) record(c *call, by gateway.Reader) (gateway.Record, error) {
	id, err := amtp.ParseMessageID(c.r.PathValue("id"))
	if err != nil {
		return gateway.Record{}, amtp.Errorf(amtp.CodeMessageNotFound, "Message status not found")
	}
	rec, err := s.Store.Message(c.r.Context(), by, id)
	for _, box := range s.mailboxes(by) {
		if !errors.Is(err, gateway.ErrNotFound) {
			break
		}
		by.Agent = box.ID
		rec, err = s.Store.Message(c.r.Context(), by, id)
	}
	if errors.Is(err, gateway.ErrNotFound) {
		return rec, amtp.Errorf(amtp.CodeMessageNotFound, "Message status not found")
	}
	if err != nil {
		return rec, err
	}
	return rec.For(by), nil
}

// mailboxes returns the shared mailboxes whose messages the reader may see besides its own.
func (s *Server) mailboxes(by gateway.Reader) []*gateway.Agent {
	if by.Everyone {
		return nil
	}
	return s.Store.Mailboxes(by.Agent)
}

// reader returns whose messages the call asks for: those of the caller or, with the
// parameter mailbox, those of a shared mailbox of which it is a member.
func (s *Server) reader(c *call) (gateway.Reader, error) {
	by, err := readerOf(c.principal)
	name := c.inMailbox()
	if err != nil || name == "" {
		return by, err
	}
	box, err := s.Agents.Mailbox(c.r.Context(), c.principal, name)
	return gateway.Reader{Agent: box.Agent, Key: box.Key}, err
}

// listMessages lists the messages that the caller sent and received.
func (s *Server) listMessages(c *call) {
	by, err := s.reader(c)
	if err != nil {
		c.fail(err)
		return
	}
	p := c.params()
	filter := gateway.MessageFilter{
		Sender:    gateway.AtHome(p.address("sender"), s.Domain),
		Recipient: gateway.AtHome(p.address("recipient"), s.Domain),
		Status:    amtp.Status(p.oneOf("status", "pending", "queued", "delivering", "retrying", "delivered", "failed")),
		Since:     p.since(),
		Sent:      p.flag("sent"),
		Label:     p.label(),
		Before:    p.cursor(ofMessages),
		Limit:     p.limit(),
		Offset:    p.offset(),
	}
	if filter.Before > 0 && filter.Offset > 0 {
		p.fail(amtp.CodeInvalidOffset, "offset counts from the newest message; it does not go with cursor")
	}
	if p.err != nil {
		c.fail(p.err)
		return
	}
	page, err := s.Store.Messages(c.r.Context(), by, filter)
	if err != nil {
		c.fail(err)
		return
	}
	list := amtp.MessageList{Messages: make([]amtp.MessageSummary, len(page.Messages)),
		Total: page.Total, TotalCapped: page.Capped, Limit: filter.Limit, Offset: filter.Offset,
		HasMore: page.HasMore, Incomplete: page.Incomplete}
	if page.HasMore {
		list.NextCursor = ofMessages.text(page.Next)
	}
	for i := range page.Messages {
		rec := page.Messages[i].For(by)
		list.Messages[i] = amtp.MessageSummary{MessageStatus: rec.Status(s.Now()), Sender: rec.Sender,
			Subject:   rec.Subject,
			InReplyTo: rec.InReplyTo, Labels: rec.Labels}
	}
	c.reply(http.StatusOK, list)
}

package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
)

// span is a length of time in a request: a text such as "90s", or "90" for seconds.
type span time.Duration

// UnmarshalJSON reads both forms.
func (s *span) UnmarshalJSON(b []byte) error {
	text := ""
	if err := json.Unmarshal(b, &text); err != nil {
		return errSpan
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		*s = span(seconds) * span(time.Second)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return errSpan
	}
	*s = span(d)
	return nil
}

var errSpan = errors.New(`a length of time must be a text such as "90s"`)

// claimBody asks for messages to work on.
type claimBody struct {
	Max        int  `json:"max"`
	Visibility span `json:"visibility"`
	Wait       span `json:"wait"`
	Filter     struct {
		From      string `json:"from"`
		Thread    string `json:"thread"`
		InReplyTo string `json:"in_reply_to"`
	} `json:"filter"`
}

// claiming returns the claim that a body asks for.
func (s *Server) claiming(body *claimBody) (agent.Claiming, error) {
	p := params{values: map[string][]string{"from": {body.Filter.From}, "thread": {body.Filter.Thread},
		"in_reply_to": {body.Filter.InReplyTo}}}
	c := agent.Claiming{Max: body.Max, MaxBytes: maxPage, Visibility: time.Duration(body.Visibility),
		Wait: time.Duration(body.Wait),
		Filter: gateway.TakeFilter{From: gateway.AtHome(p.address("from"), s.Domain), Thread: p.messageID("thread"),
			InReplyTo: p.messageID("in_reply_to")}}
	if c.Wait < 0 || c.Wait > maxWait {
		p.fail(amtp.CodeInvalidRequest, "wait must be between 0 and 30 seconds")
	}
	return c, inBody(p.err)
}

// inBody returns the error of a parameter as one of the body, or of the request as a whole.
func inBody(err error) error {
	if e, ok := errors.AsType[*amtp.Error](err); ok {
		return amtp.Errorf(amtp.CodeInvalidRequest, "%s", e.Message)
	}
	return err
}

// claim takes messages of an inbox under leases.
func (s *Server) claim(c *call) {
	box, err := s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	var body claimBody
	if !c.reads(&body, err) {
		return
	}
	claiming, err := s.claiming(&body)
	if err != nil {
		c.fail(err)
		return
	}
	at := claiming
	at.Wait = 0
	items, err := s.Agents.Claim(c.r.Context(), box, at)
	if err != nil || len(items) > 0 || claiming.Wait <= 0 {
		c.claimed(box, items, err)
		return
	}
	c.leaveRoom() // the body of the request is not needed any more
	c.waits(func(c *call) {
		c.patient(claiming.Wait)
		items, err := s.Agents.Claim(c.r.Context(), box, claiming)
		if err == nil && len(items) == 0 {
			err = c.recheck() // the key may have been revoked while its holder waited
		}
		c.claimed(box, items, err)
	})
}

// claimed answers with messages that were claimed.
func (c *call) claimed(box agent.Mailbox, items []gateway.TakenItem, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	answer, err := claimView(box.Address, items)
	if err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, answer)
}

// claimView is the JSON of messages that were claimed.
func claimView(owner amtp.Address, items []gateway.TakenItem) ([]byte, error) {
	b := appendString([]byte(`{"recipient":`), owner.String())
	b = strconv.AppendInt(append(b, `,"count":`...), int64(len(items)), 10)
	b = append(b, `,"messages":[`...)
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendItem(b, &items[i].InboxItem, false, "lease"); err != nil {
			return nil, err
		}
		l := &items[i].Lease
		b = appendString(append(b[:len(b)-1], `,"lease":{"token":`...), l.Token.String())
		b = appendTime(append(b, `,"until":`...), l.Until)
		b = strconv.AppendInt(append(b, `,"attempt":`...), int64(l.Attempt), 10)
		b = append(b, `}}`...)
	}
	return append(b, `]}`...), nil
}

// leaseBody is the body of a call under a lease.
type leaseBody struct {
	Lease      string `json:"lease"`
	Visibility span   `json:"visibility"`
	Delay      span   `json:"delay"`
	Reason     string `json:"reason"`
}

// underLease answers with what do returns for the body and the inbox in the path.
func (c *call) underLease(do func(box agent.Mailbox, id string, body *leaseBody) (any, error)) {
	box, err := c.s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	var body leaseBody
	if !c.reads(&body, err) {
		return
	}
	result, err := do(box, c.r.PathValue("id"), &body)
	c.result(http.StatusOK, result, err)
}

// extend moves the end of a lease.
func (s *Server) extend(c *call) {
	c.underLease(func(box agent.Mailbox, id string, b *leaseBody) (any, error) {
		return s.Agents.Extend(c.r.Context(), box, id, b.Lease, time.Duration(b.Visibility))
	})
}

// giveBack ends a lease without a result.
func (s *Server) giveBack(c *call) {
	c.underLease(func(box agent.Mailbox, id string, b *leaseBody) (any, error) {
		return s.Agents.GiveBack(c.r.Context(), box, id, b.Lease, time.Duration(b.Delay), b.Reason)
	})
}

// reject refuses the work that a message asks for.
func (s *Server) reject(c *call) {
	c.underLease(func(box agent.Mailbox, id string, b *leaseBody) (any, error) {
		return s.Agents.Reject(c.r.Context(), box, id, b.Lease, b.Reason)
	})
}

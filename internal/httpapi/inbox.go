package httpapi

import (
	"cmp"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// maxPage is how many bytes of messages one answer holds, unless a single one
// is larger.
const maxPage = 4 << 20

// inbox shows an inbox of the caller. AMTP §5.
func (s *Server) inbox(c *call) {
	p := c.params()
	fields := p.fields("full")
	filter := s.inboxFilter(p)
	filter.After = p.cursor(ofInbox)
	filter.Offset, filter.Limit, filter.MaxBytes = p.offset(), p.limit(), maxPage
	wait := p.wait()
	if filter.Urgent = p.oneOf("sort", "priority") != ""; filter.Urgent && filter.Offset != 0 {
		p.fail(amtp.CodeInvalidParameter, "sort=priority has one page, so it goes with no offset")
	}
	if fields == "count" && len(p.values) > 1 {
		p.fail(amtp.CodeInvalidParameter, "fields=count counts the whole inbox; it goes with no other parameter")
	}
	box, err := s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	if p.err != nil {
		err = p.err
	}
	if err != nil {
		c.fail(err)
		return
	}
	if fields == "count" {
		count, err := s.Agents.Count(c.r.Context(), box)
		c.result(http.StatusOK, countView{count, 0, 0, count.Pending > 0, ofInbox.text(0), []struct{}{}}, err)
		return
	}
	headers := fields == "headers"
	if wait <= 0 {
		page, err := s.Agents.Inbox(c.r.Context(), box, filter, 0)
		c.inboxPage(box, &page, err, headers)
		return
	}
	until := time.Now().Add(wait)
	reading := s.Agents.Read(box, filter)
	page, err := reading.Next(c.r.Context(), 0)
	if err != nil || len(page.Items) > 0 {
		reading.Close()
		c.awaitedPage(box, &page, err, headers)
		return
	}
	c.waits(func(c *call) {
		defer reading.Close()
		c.patient(wait)
		page, err := reading.Next(c.r.Context(), time.Until(until))
		defect.Aside(func() { c.awaitedPage(box, &page, err, headers) })
	})
}

// awaitedPage answers with a page that was waited for.
func (c *call) awaitedPage(box agent.Mailbox, page *gateway.InboxPage, err error, headers bool) {
	if err == nil {
		err = c.recheck() // the key may have been revoked while its holder waited
	}
	c.inboxPage(box, page, err, headers)
}

// inboxPage answers with a page of an inbox, or with the error if there is one.
func (c *call) inboxPage(box agent.Mailbox, page *gateway.InboxPage, err error, headers bool) {
	if err != nil {
		c.fail(err)
		return
	}
	body, err := inboxView(box.Address, page, headers)
	if err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, body)
}

// countView is a page of an inbox that has counts instead of messages.
type countView struct {
	amtp.InboxCount
	Count        int        `json:"count"`
	MessageCount int        `json:"message_count"`
	HasMore      bool       `json:"has_more"`
	NextCursor   string     `json:"next_cursor"`
	Messages     []struct{} `json:"messages"`
}

// inboxFilter reads the conditions that the messages of an inbox have to meet.
func (s *Server) inboxFilter(p *params) gateway.InboxFilter {
	status := p.oneOf("status", "unread", "read")
	return gateway.InboxFilter{
		Since:     p.since(),
		Unread:    status == "unread",
		Read:      status == "read",
		InReplyTo: p.messageID("in_reply_to"),
		From:      gateway.AtHome(p.address("from"), s.Domain),
		Thread:    p.messageID("thread"),
		Label:     p.label(),
	}
}

// fields reads how much of each message the caller wants; absent says what no parameter
// means.
func (p *params) fields(absent string) string {
	return cmp.Or(p.oneOf("fields", "full", "headers", "count"), absent)
}

// recheck returns an error if the caller's key has ended, or if the caller may no longer
// use the inbox in the path.
func (c *call) recheck() error {
	p, err := c.s.Authenticator.Caller(c.r, c.s.Now(), access.Strict)
	if box := c.r.PathValue("recipient"); err == nil && box != "" {
		_, err = c.s.Agents.Mailbox(c.r.Context(), p, box)
	}
	return err
}

// acknowledge takes a message out of an inbox of the caller for good.
func (s *Server) acknowledge(c *call) {
	p := c.params()
	lease := p.text("lease")
	c.inBox(func(box agent.Mailbox) (any, error) {
		if p.err != nil {
			return nil, inBody(p.err)
		}
		return s.Agents.Ack(c.r.Context(), box, c.r.PathValue("id"), lease)
	})
}

// acknowledgeAll takes messages out of an inbox of the caller for good.
func (s *Server) acknowledgeAll(c *call) {
	c.inBox(func(box agent.Mailbox) (any, error) {
		var wanted struct {
			IDs    []string          `json:"ids"`
			Leases map[string]string `json:"leases"`
		}
		if err := c.decode(&wanted, false); err != nil {
			return nil, err
		}
		return s.Agents.AckAll(c.r.Context(), box, wanted.IDs, wanted.Leases)
	})
}

// markRead marks a message in an inbox of the caller as read.
func (s *Server) markRead(c *call) {
	c.inBox(func(box agent.Mailbox) (any, error) {
		return s.Agents.MarkRead(c.r.Context(), box, c.r.PathValue("id"))
	})
}

// inBox answers with what do returns for the inbox in the path, or with the refusal of a
// caller that may not use that inbox.
func (c *call) inBox(do func(agent.Mailbox) (any, error)) {
	box, err := c.s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	if err != nil {
		c.fail(err)
		return
	}
	result, err := do(box)
	c.result(http.StatusOK, result, err)
}

// result writes v, or the error if there is one.
func (c *call) result(status int, v any, err error) {
	if err != nil {
		c.fail(err)
		return
	}
	c.reply(status, v)
}

// reads reads the body, which may be empty, into v. If the error cannot says that the
// operation is impossible, the body is not read. It reports whether the call goes on.
func (c *call) reads(v any, cannot error) bool {
	if cannot != nil {
		c.fail(cannot)
		return false
	}
	if err := c.decode(v, true); err != nil {
		c.fail(err)
		return false
	}
	return true
}

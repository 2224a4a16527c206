package httpapi

import (
	"net/http"
	"time"

	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
)

// maxPage is how many bytes of messages one answer holds, unless a single one
// is larger.
const maxPage = 4 << 20

// inbox shows the caller's own inbox. AMTP §5.
func (s *Server) inbox(c *call) {
	p := c.params()
	status := p.oneOf("status", "unread", "read")
	filter := gateway.InboxFilter{
		After:    p.cursor(ofInbox),
		Since:    p.since(),
		Unread:   status == "unread",
		Read:     status == "read",
		Offset:   p.offset(),
		Limit:    p.limit(),
		MaxBytes: maxPage,
	}
	wait := p.wait()
	if p.err != nil {
		c.fail(p.err)
		return
	}
	if wait > 0 {
		c.patient(wait)
	}
	box, err := s.Agents.Mailbox(c.r.Context(), c.principal, c.r.PathValue("recipient"))
	if err != nil {
		c.fail(err)
		return
	}
	page, err := s.Agents.Inbox(c.r.Context(), box, filter, wait)
	if err == nil && wait > 0 {
		// The key may have been revoked while its holder waited.
		_, err = s.Authenticator.Caller(c.r, s.Now(), access.Strict)
	}
	if err != nil {
		c.fail(err)
		return
	}
	body, err := inboxView(box.Address, &page)
	if err != nil {
		c.fail(err)
		return
	}
	c.write(http.StatusOK, body)
}

// patient extends the deadlines of the connection beyond those of an ordinary request.
// Otherwise the server's limit on reading would end the wait.
func (c *call) patient(wait time.Duration) {
	until := time.Now().Add(wait + 30*time.Second)
	control := http.NewResponseController(c.w)
	// If the deadlines cannot be moved, the wait ends early, which is allowed.
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
}

// acknowledge takes a message out of an inbox of the caller for good.
func (s *Server) acknowledge(c *call) {
	c.inBox(func(box agent.Mailbox) (any, error) { return s.Agents.Ack(c.r.Context(), box, c.r.PathValue("id")) })
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

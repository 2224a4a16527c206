package httpapi

import (
	"net/http"
	"slices"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/agent"
)

// labelMessage changes the labels of a message in a mailbox of the caller.
func (s *Server) labelMessage(c *call) {
	box, err := s.mailbox(c)
	if err != nil {
		c.fail(err)
		return
	}
	var change amtp.LabelChange
	if err := c.decode(&change, false); err != nil {
		c.fail(err)
		return
	}
	labels, err := s.Agents.Label(c.r.Context(), box, c.r.PathValue("id"), change)
	c.result(http.StatusOK, labels, err)
}

// mailbox returns the mailbox that the call is about: the caller's own or, with the
// parameter mailbox, a shared one of which it is a member.
func (s *Server) mailbox(c *call) (agent.Mailbox, error) {
	if name := c.inMailbox(); name != "" {
		return s.Agents.Mailbox(c.r.Context(), c.principal, name)
	}
	return agent.Own(c.principal)
}

// inMailbox returns the parameter mailbox, "" for none.
func (c *call) inMailbox() string {
	if c.r.URL.RawQuery == "" {
		return ""
	}
	return c.r.URL.Query().Get("mailbox")
}

// ofMailboxes are the operations that have the parameter mailbox: those on the messages of
// the caller that name no inbox in the path.
var ofMailboxes = []string{
	"GET /v1/messages", "GET /v1/messages/{id}", "GET /v1/messages/{id}/status", "POST /v1/messages/{id}/labels",
	"GET /v1/threads", "GET /v1/threads/{id}", "GET /v1/search",
}

// checkMailbox refuses the parameter mailbox where it has no meaning: the caller would take
// its own messages for those of the mailbox.
func (r *route) checkMailbox(c *call) error {
	ofAgents := r.who == reader || r.who == self || r.who == client
	if !ofAgents || c.inMailbox() == "" || slices.Contains(ofMailboxes, r.method+" "+r.pattern) {
		return nil
	}
	return amtp.Errorf(amtp.CodeInvalidRequest,
		"This operation has no parameter mailbox. An inbox is named in the path, and a message by its sender.")
}

// appendLabels writes the labels of a message, and nothing when there are none.
func appendLabels(b []byte, labels []string) []byte {
	for i, name := range labels {
		if i == 0 {
			b = append(b, `,"labels":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendString(b, name)
	}
	if len(labels) > 0 {
		b = append(b, ']')
	}
	return b
}

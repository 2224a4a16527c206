package httpapi

import (
	"net/http"

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
	if name := c.r.URL.Query().Get("mailbox"); name != "" {
		return s.Agents.Mailbox(c.r.Context(), c.principal, name)
	}
	return agent.Own(c.principal)
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

package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// makeInvite makes an invitation for an agent.
func (s *Server) makeInvite(c *call) {
	var n admin.NewInvite
	if refused := c.decode(&n, false); refused != nil {
		c.fail(refused)
		return
	}
	made, refused := s.Invites.Make(c.r.Context(), n)
	c.note("agent", made.Address.String(), "existing", n.Existing)
	c.answer(http.StatusCreated, made, refused)
}

// maxJoin bounds what somebody without a key sends to join: what an agent may
// say of itself.
const maxJoin = 64 << 10

// join gives who shows an invitation the key of its agent. Who shows none that
// counts is slowed down like who shows a wrong key.
func (s *Server) join(c *call) {
	if !c.asks() {
		return
	}
	if c.r.ContentLength < 0 || c.r.ContentLength > maxJoin {
		e := c.tooLarge()
		e.Message, e.Details = "A request to join says how many bytes it has, and has at most 65536.",
			map[string]any{"max_size": maxJoin}
		c.fail(e)
		return
	}
	body, refused := c.body(amtp.CodeInvalidRequest, false)
	if refused != nil {
		c.fail(refused)
		return
	}
	var j amtp.Join
	if err := strictjson.Decode(body, &j); err != nil {
		c.fail(amtp.Errorf(amtp.CodeInvalidRequest, "The request is not valid: %v.", err).With("parse_error",
			err.Error()))
		return
	}
	joined, unknown, refused := s.Invites.Take(c.r.Context(), j)
	if unknown {
		refused = s.Authenticator.Wrong(c.r, s.Now(), refused)
	}
	c.note("agent", joined.Address.String())
	c.answer(http.StatusCreated, joined, refused)
}

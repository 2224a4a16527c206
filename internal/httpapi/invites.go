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
	if err := c.decode(&n, false); err != nil {
		c.fail(err)
		return
	}
	made, err := s.Invites.Make(c.r.Context(), n)
	c.note("agent", made.Address.String(), "existing", n.Existing)
	c.result(http.StatusCreated, made, err)
}

// maxJoin bounds the body of a request to join, which a caller without a key sends. It
// has room for everything that an agent may say about itself.
const maxJoin = 64 << 10

// join gives a caller who shows an invitation the key of its agent. A caller with an
// invalid invitation is slowed down in the same way as one with a wrong key.
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
	body, err := c.body(amtp.CodeInvalidRequest, false)
	if err != nil {
		c.fail(err)
		return
	}
	var j amtp.Join
	if err := strictjson.Decode(body, &j); err != nil {
		c.fail(amtp.Errorf(amtp.CodeInvalidRequest, "The request is not valid: %v.", err).With("parse_error",
			err.Error()))
		return
	}
	joined, unknown, err := s.Invites.Take(c.r.Context(), j)
	if unknown {
		err = s.Authenticator.Wrong(c.r, s.Now(), err)
	}
	c.note("agent", joined.Address.String())
	c.result(http.StatusCreated, joined, err)
}

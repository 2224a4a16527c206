package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// resume ends the pause of a gateway that was restored from a backup. Only its
// operator knows whether the gateway that the backup was made of is really gone.
func (s *Server) resume(c *call) {
	if refused := needAdmin(c.principal); refused != nil {
		c.fail(refused)
		return
	}
	was := !s.Store.Paused().IsZero()
	if err := s.Store.Resume(c.r.Context()); err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	c.unchanged = !was
	c.reply(http.StatusOK, amtp.Resumed{WasPaused: was})
}

func needAdmin(p gateway.Principal) *amtp.Error {
	switch {
	case p.Admin:
		return nil
	case p.Agent != nil:
		return amtp.Errorf(amtp.CodeAdminAccessDenied, "This needs the admin key; the key of %s does not do.",
			p.Agent.Address)
	}
	return amtp.Errorf(amtp.CodeAdminAuthRequired,
		"This needs the admin key: X-Admin-Key. It is in the file admin.key in the gateway's data directory.").
		With("required_header", "X-Admin-Key")
}

package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
)

// resume ends the pause of a gateway that was restored from a backup. Only its
// operator knows whether the gateway that the backup was made of is really gone.
func (s *Server) resume(c *call) {
	was := !s.Store.Paused().IsZero()
	if err := s.Store.Resume(c.r.Context()); err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	c.unchanged = !was
	c.reply(http.StatusOK, admin.Resumed{WasPaused: was})
}

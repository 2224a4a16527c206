package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp/admin"
)

// resume ends the pause of a gateway that was restored from a backup.
func (s *Server) resume(c *call) {
	was, err := s.Operator.Resume(c.r.Context())
	c.unchanged = !was
	c.result(http.StatusOK, admin.Resumed{WasPaused: was}, err)
}

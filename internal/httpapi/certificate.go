package httpapi

import (
	"net/http"
	"time"

	"github.com/amtp-go/amtp/internal/operator"
)

// showCertificate shows the certificates in use.
func (s *Server) showCertificate(c *call) {
	list, err := s.Operator.ListCertificates()
	c.result(http.StatusOK, list, err)
}

// renewCertificate gets the certificates that are due, or all, now.
func (s *Server) renewCertificate(c *call) {
	var body struct {
		Force bool `json:"force"`
	}
	if !c.reads(&body, s.Operator.HasCertificates()) {
		return
	}
	// If the deadline cannot be moved, the caller does not get the result.
	_ = http.NewResponseController(c.w).SetWriteDeadline(s.Now().Add(operator.RenewTime + headerGrace))
	done, err := s.Operator.RenewCertificates(c.r.Context(), body.Force)
	c.note("changed", done.Renewed, "force", body.Force)
	c.result(http.StatusOK, done, err)
}

// headerGrace is the time for the answer itself.
const headerGrace = 10 * time.Second

package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/certificate"
)

// certificates returns where the listener's certificates come from, for the
// operator.
func (c *call) certificates() (certificate.Source, *amtp.Error) {
	if c.s.Certificates == nil {
		return nil, amtp.Errorf(amtp.CodeConflict,
			"This gateway speaks no TLS itself and has no certificate; a proxy in front of it may have one. Give it one with tls.cert_file, or acme.enabled, and start it again.")
	}
	return c.s.Certificates, nil
}

// showCertificate tells of the certificates in use.
func (s *Server) showCertificate(c *call) {
	source, refused := c.certificates()
	if refused != nil {
		c.fail(refused)
		return
	}
	c.reply(http.StatusOK, source.List())
}

// renewTime is how long a caller waits for an authority, which has to look at
// the gateway first.
const renewTime = 2 * time.Minute

// renewCertificate gets the certificates that are due, or all, now.
func (s *Server) renewCertificate(c *call) {
	var body struct {
		Force bool `json:"force"`
	}
	source, refused := c.certificates()
	if refused == nil {
		refused = c.decode(&body, true)
	}
	if refused != nil {
		c.fail(refused)
		return
	}
	// Where it cannot be moved, the caller does not hear how it ended.
	_ = http.NewResponseController(c.w).SetWriteDeadline(s.Now().Add(renewTime + headerGrace))
	ctx, cancel := context.WithTimeout(c.r.Context(), renewTime)
	defer cancel()
	changed, err := source.Renew(ctx, body.Force)
	if err != nil {
		e := amtp.Errorf(amtp.CodeCertificateFailed,
			"Another certificate could not be had; the one in use goes on. %s", err)
		e.Cause = err
		c.fail(e)
		return
	}
	c.note("changed", changed, "force", body.Force)
	c.reply(http.StatusOK, admin.CertificateRenewal{Renewed: changed, CertificateList: source.List()})
}

// headerGrace is what the answer itself may take.
const headerGrace = 10 * time.Second

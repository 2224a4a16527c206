package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// domain reads the domain that the path names. The name localhost means the gateway's
// own domain.
func (s *Server) domain(c *call) (amtp.Domain, error) {
	name := c.r.PathValue("domain")
	d, err := amtp.ParseDomain(name)
	if err != nil {
		return "", amtp.Errorf(amtp.CodeDomainNotFound, "%q is no domain: %v.", gateway.Short(name),
			err).With("requested_domain", gateway.Short(name))
	}
	if d == "localhost" {
		return s.Domain, nil
	}
	return d, nil
}

// discoverDomain lists the agents of this domain, or those that the gateway of another
// domain shows. AMTP §3.
func (s *Server) discoverDomain(c *call) {
	d, err := s.domain(c)
	if err != nil {
		c.fail(err)
		return
	}
	if d == s.Domain {
		s.discover(c)
		return
	}
	q, p := c.agentQuery()
	// The cursor is the other gateway's, so it is passed on unread.
	q.Limit, q.Cursor = p.number("limit", 0, 1, maxLimit, amtp.CodeInvalidLimit), p.text(p.cursorName())
	if p.err != nil {
		c.fail(p.err)
		return
	}
	list, err := s.Domains.Agents(c.r.Context(), c.principal, d, q)
	c.result(http.StatusOK, list, err)
}

// capabilities shows the data that a domain publishes about its gateway. For its own
// domain the gateway shows the same data that others find. AMTP §2.
func (s *Server) capabilities(c *call) {
	d, err := s.domain(c)
	if err != nil {
		c.fail(err)
		return
	}
	found, err := s.Domains.Capabilities(c.r.Context(), c.principal, d)
	c.result(http.StatusOK, found, err)
}

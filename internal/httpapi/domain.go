package httpapi

import (
	"errors"
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
)

// prepareDomain makes the first signing key for the gateway's future domain. The key's
// record can then be published before the next start.
func (s *Server) prepareDomain(c *call) {
	var body struct {
		Domain string `json:"domain"`
	}
	if err := c.decode(&body, false); err != nil {
		c.fail(err)
		return
	}
	plan, err := s.planDomain(c, body.Domain)
	c.result(http.StatusOK, plan, err)
}

func (s *Server) planDomain(c *call, name string) (plan admin.DomainPlan, err error) {
	d, err := amtp.ParseDomain(name)
	switch {
	case err != nil || d == gateway.Localhost:
		return plan, amtp.Errorf(amtp.CodeInvalidRequest, "%q is no domain that others could find.",
			gateway.Short(name)).With("field", "domain")
	case s.Domain != d && s.Domain != gateway.Localhost:
		return plan, amtp.Errorf(amtp.CodeConflict,
			"This gateway serves %s. Others know it by that, so it does not become %s; a second domain takes a second gateway.",
			s.Domain, d)
	}
	if plan, err = agent.Plan(s.Store.Agents(c.r.Context()), d); err != nil {
		return plan, err
	}
	plan.Serves = s.Domain
	ring := &keyring.Keyring{Store: s.Store, Seal: s.Seal, Domain: d, Now: s.Now, Brought: s.Brought}
	err = ring.Load(c.r.Context())
	switch {
	case errors.Is(err, gateway.ErrSealed):
		return plan, amtp.Errorf(amtp.CodeConflict,
			"There are signing keys from before, which the file seal.key of this gateway does not open. Put back the one that belongs to them, or stop the gateway and make a new key: amtp keys reset")
	case errors.Is(err, keyring.ErrOtherKey):
		return plan, amtp.Errorf(amtp.CodeConflict, "The key of AMTP_SIGNATURE_PRIVATE_KEY_FILE is not used: %v.",
			keyring.ErrOtherKey)
	case err != nil:
		return plan, err
	}
	if plan.Keys, err = ring.Keys(c.r.Context()); err != nil {
		return plan, err
	}
	c.note("domain", string(d))
	return plan, nil
}

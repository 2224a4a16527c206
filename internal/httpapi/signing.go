package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp/admin"
)

// listSigningKeys shows the keys with which the gateway signs.
func (s *Server) listSigningKeys(c *call) {
	list, err := s.Operator.SigningKeys(c.r.Context())
	c.result(http.StatusOK, list, err)
}

// makeSigningKey makes the next key, makes the key that the request describes, or takes
// the key that the request brings. The key waits until it is taken into use.
func (s *Server) makeSigningKey(c *call) {
	var n admin.NewSigningKey
	if c.reads(&n, s.Operator.HasKeys()) {
		next, err := s.Operator.MakeSigningKey(c.r.Context(), n)
		c.changedKey(http.StatusCreated, next, err)
	}
}

// useSigningKey takes the waiting key into use: it signs from now on.
func (s *Server) useSigningKey(c *call) {
	var body struct {
		AtOnce bool `json:"at_once"`
	}
	if c.reads(&body, s.Operator.HasKeys()) {
		used, err := s.Operator.UseSigningKey(c.r.Context(), c.r.PathValue("selector"), body.AtOnce)
		c.changedKey(http.StatusOK, used, err)
	}
}

// retireSigningKey retires a key that waits.
func (s *Server) retireSigningKey(c *call) {
	ended, err := s.Operator.RetireSigningKey(c.r.Context(), c.r.PathValue("selector"))
	c.changedKey(http.StatusOK, ended, err)
}

// changedKey answers a call that changed a key.
func (c *call) changedKey(status int, key admin.SigningKey, err error) {
	c.note("selector", key.Selector, "state", string(key.State))
	c.result(status, admin.SigningKeyChange{Key: key}, err)
}

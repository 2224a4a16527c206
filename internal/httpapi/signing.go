package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// keyring returns the keys with which the gateway signs, for its operator.
func (c *call) keyring() (*access.Keyring, *amtp.Error) {
	if refused := needAdmin(c.principal); refused != nil {
		return nil, refused
	}
	if c.s.Keys == nil {
		return nil, amtp.Errorf(amtp.CodeConflict,
			"This gateway has no domain of its own, so it writes to no other and signs nothing. Give it one with server.domain and start it again.")
	}
	return c.s.Keys, nil
}

// listSigningKeys shows the keys with which the gateway signs.
func (s *Server) listSigningKeys(c *call) {
	ring, refused := c.keyring()
	if refused != nil {
		c.fail(refused)
		return
	}
	keys, err := ring.Keys(c.r.Context())
	if err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	c.reply(http.StatusOK, amtp.SigningKeyList{Domain: s.Domain, Keys: keys})
}

// rotateSigningKey makes the next key, which waits until it is used.
func (s *Server) rotateSigningKey(c *call) {
	ring, refused := c.keyring()
	if refused != nil {
		c.fail(refused)
		return
	}
	next, err := ring.Rotate(c.r.Context())
	if err != nil {
		c.fail(gateway.Refusal(err))
		return
	}
	c.changedKey(http.StatusCreated, next, nil)
}

// useSigningKey has the waiting key sign from now on.
func (s *Server) useSigningKey(c *call) {
	var body struct {
		AtOnce bool `json:"at_once"`
	}
	ring, refused := c.keyring()
	if refused == nil {
		refused = c.decode(&body, true)
	}
	if refused != nil {
		c.fail(refused)
		return
	}
	used, refused := ring.Use(c.r.Context(), c.r.PathValue("selector"), body.AtOnce)
	c.changedKey(http.StatusOK, used, refused)
}

// retireSigningKey ends a key that waits.
func (s *Server) retireSigningKey(c *call) {
	ring, refused := c.keyring()
	if refused != nil {
		c.fail(refused)
		return
	}
	ended, refused := ring.Retire(c.r.Context(), c.r.PathValue("selector"))
	c.changedKey(http.StatusOK, ended, refused)
}

// changedKey answers a call that changed a key.
func (c *call) changedKey(status int, key amtp.SigningKey, refused *amtp.Error) {
	c.note("selector", key.Selector, "state", string(key.State))
	c.answer(status, amtp.SigningKeyChange{Key: key}, refused)
}

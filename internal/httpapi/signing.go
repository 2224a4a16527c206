package httpapi

import (
	"net/http"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// keyring returns the keys with which the gateway signs, for its operator.
func (c *call) keyring() (*access.Keyring, *amtp.Error) {
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
	c.reply(http.StatusOK, admin.SigningKeyList{Domain: s.Domain, Keys: keys})
}

// makeSigningKey makes the next key, or the one that is asked for, or takes the
// one that is brought along. It waits until it is used.
func (s *Server) makeSigningKey(c *call) {
	var n admin.NewSigningKey
	ring, refused := c.keyring()
	if refused == nil {
		refused = c.decode(&n, true)
	}
	if refused != nil {
		c.fail(refused)
		return
	}
	var next admin.SigningKey
	switch {
	case n == admin.NewSigningKey{}:
		var err error
		if next, err = ring.Rotate(c.r.Context()); err != nil {
			refused = gateway.Refusal(err)
		}
	case n.PrivateKey != "":
		next, refused = importKey(c, ring, n)
	default:
		next, refused = ring.Generate(c.r.Context(), n)
	}
	c.changedKey(http.StatusCreated, next, refused)
}

// importKey takes a key that is brought along. What is said of it beside must be so.
func importKey(c *call, ring *access.Keyring, n admin.NewSigningKey) (admin.SigningKey, *amtp.Error) {
	invalid := func(field, format string, args ...any) (admin.SigningKey, *amtp.Error) {
		return admin.SigningKey{}, amtp.Errorf(amtp.CodeInvalidRequest, format, args...).With("field", field)
	}
	private, err := amtp.ParseSigningKey([]byte(n.PrivateKey))
	if err != nil {
		return invalid("private_key", "The private key cannot be used: %v", err)
	}
	if n.Bits != 0 {
		return invalid("bits", "An imported key has a fixed size; leave out bits.")
	}
	if n.Algorithm != "" {
		signer, err := amtp.NewSigner("x", private)
		if err != nil {
			return invalid("private_key", "The private key cannot be used: %v", err)
		}
		if is := signer.KeyRecord().Algorithm; is != n.Algorithm {
			return invalid("algorithm", "The private key is one for %s, not for %.40q; leave the algorithm out.",
				is, n.Algorithm)
		}
	}
	return ring.Import(c.r.Context(), n.Selector, private)
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
func (c *call) changedKey(status int, key admin.SigningKey, refused *amtp.Error) {
	c.note("selector", key.Selector, "state", string(key.State))
	c.answer(status, admin.SigningKeyChange{Key: key}, refused)
}

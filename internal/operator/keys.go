package operator

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// keyring returns the keys with which the gateway signs.
func (o *Operator) keyring() (Keyring, error) {
	if o.Keys == nil {
		return nil, amtp.Errorf(amtp.CodeConflict,
			"This gateway has no domain of its own, so it writes to no other and signs nothing. Give it one with server.domain and start it again.")
	}
	return o.Keys, nil
}

// HasKeys returns an error if the gateway signs nothing.
func (o *Operator) HasKeys() error {
	_, err := o.keyring()
	return err
}

// SigningKeys lists the keys with which the gateway signs.
func (o *Operator) SigningKeys(ctx context.Context) (list admin.SigningKeyList, err error) {
	ring, err := o.keyring()
	if err != nil {
		return list, err
	}
	list.Domain = o.Domain
	list.Keys, err = ring.Keys(ctx)
	return list, err
}

// MakeSigningKey makes the next key, or a key of the requested kind, or imports an
// existing private key. The key waits until it is used.
func (o *Operator) MakeSigningKey(ctx context.Context, n admin.NewSigningKey) (admin.SigningKey, error) {
	ring, err := o.keyring()
	switch {
	case err != nil:
		return admin.SigningKey{}, err
	case n == admin.NewSigningKey{}:
		return ring.Rotate(ctx)
	case n.PrivateKey != "":
		return importKey(ctx, ring, n)
	}
	return ring.Generate(ctx, n)
}

// importKey imports an existing private key. The other members of the request must
// agree with it.
func importKey(ctx context.Context, ring Keyring, n admin.NewSigningKey) (admin.SigningKey, error) {
	invalid := func(field, format string, args ...any) (admin.SigningKey, error) {
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
	return ring.Import(ctx, n.Selector, private)
}

// UseSigningKey makes the waiting key sign from now on.
func (o *Operator) UseSigningKey(ctx context.Context, selector string, atOnce bool) (admin.SigningKey, error) {
	ring, err := o.keyring()
	if err != nil {
		return admin.SigningKey{}, err
	}
	return ring.Use(ctx, selector, atOnce)
}

// RetireSigningKey ends a key that waits.
func (o *Operator) RetireSigningKey(ctx context.Context, selector string) (admin.SigningKey, error) {
	ring, err := o.keyring()
	if err != nil {
		return admin.SigningKey{}, err
	}
	return ring.Retire(ctx, selector)
}

package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// KeyState is the state of one of a domain's signing keys.
type KeyState string

// The states, in their order.
const (
	KeyWaiting KeyState = "waiting" // its record is to be published; not used yet
	KeyActive  KeyState = "active"  // signs the messages that are sent
	KeyRetired KeyState = "retired" // no longer signs; its record is needed until Until
)

// SigningKey is a key with which a gateway signs for its domain, as its operator sees
// it. It contains no secret. Zero times are left out.
type SigningKey struct {
	Selector  string    `json:"selector"`
	State     KeyState  `json:"state"`
	Algorithm string    `json:"algorithm"` // ES256 or RS256
	Name      string    `json:"name"`      // of its TXT record: see KeyRecordName
	Record    string    `json:"record"`    // the text of the TXT record: see KeyRecord.String
	Created   amtp.Time `json:"created_at"`
	Seen      amtp.Time `json:"seen_at,omitzero"`    // when its record was first found in DNS
	Active    amtp.Time `json:"active_at,omitzero"`  // when it began to sign
	Retired   amtp.Time `json:"retired_at,omitzero"` // when it ceased to sign
	Until     amtp.Time `json:"keep_until,omitzero"` // until when its record is needed
}

// NewSigningKey is the body of POST /v1/admin/keys: a key that is to be made, or an
// existing private key. All members are optional; without any, the next key has the
// algorithm of the one that signs now.
type NewSigningKey struct {
	// its name, see KeyRecordName; by default the day. An existing key needs one
	Selector   string `json:"selector,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`   // ES256 or RS256; by default ES256, or that of PrivateKey
	Bits       int    `json:"bits,omitempty"`        // of an RSA key that is made: 2048 (the default), 3072 or 4096
	PrivateKey string `json:"private_key,omitempty"` // the existing key, in PEM form: see ParseSigningKey
}

// SigningKeyList answers GET /v1/admin/keys.
type SigningKeyList struct {
	Domain amtp.Domain  `json:"domain"`
	Keys   []SigningKey `json:"keys"` // oldest first
}

// SigningKeyChange answers the calls that change a signing key.
type SigningKeyChange struct {
	Key SigningKey `json:"key"`
}

// SigningKeys lists the keys with which the gateway signs for its domain, oldest first.
// The error is CONFLICT on a gateway without a domain of its own.
func (c *Client) SigningKeys(ctx context.Context) (SigningKeyList, error) {
	var out SigningKeyList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "keys"}, Repeat: true}, &out)
	return out, err
}

// RotateSigningKey makes the next signing key, or returns the one that already waits.
// [Client.UseSigningKey] makes it the key that signs.
func (c *Client) RotateSigningKey(ctx context.Context) (SigningKey, error) {
	var out SigningKeyChange
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "keys"}, Repeat: true}, &out)
	return out.Key, err
}

// GenerateSigningKey makes a signing key of the requested kind, which waits until
// [Client.UseSigningKey] makes it sign. The error is CONFLICT if the selector was used
// before, or if too many keys wait.
func (c *Client) GenerateSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	n.PrivateKey = ""
	if n == (NewSigningKey{}) {
		n.Algorithm = amtp.ES256
	}
	return c.newSigningKey(ctx, n)
}

// ImportSigningKey gives the gateway a private key in PEM form, see
// [amtp.ParseSigningKey], under the selector by which its domain publishes it. The key
// waits until [Client.UseSigningKey] makes it sign. A second call changes nothing. The
// error is CONFLICT if another key had the selector. Like every call with a key it goes
// over HTTPS, or in plain HTTP only to this machine.
func (c *Client) ImportSigningKey(ctx context.Context, selector string, file []byte) (SigningKey, error) {
	return c.newSigningKey(ctx, NewSigningKey{Selector: selector, PrivateKey: string(file)})
}

func (c *Client) newSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	var out SigningKeyChange
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "keys"}, Body: n,
		Secret: n.PrivateKey != "", Repeat: n.PrivateKey != ""}, &out)
	return out.Key, err
}

// UseSigningKey makes the waiting key sign from now on and retires the one in use. The
// error is CONFLICT until its record has been in DNS for an hour, unless atOnce is set.
func (c *Client) UseSigningKey(ctx context.Context, selector string, atOnce bool) (SigningKey, error) {
	var out SigningKeyChange
	body := map[string]bool{"at_once": atOnce}
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "keys", selector, "use"}, Body: body}, &out)
	return out.Key, err
}

// RetireSigningKey ends a key that waits.
func (c *Client) RetireSigningKey(ctx context.Context, selector string) (SigningKey, error) {
	var out SigningKeyChange
	err := c.call(ctx, amtp.Request{Method: "DELETE", Path: []string{"admin", "keys", selector}, Repeat: true}, &out)
	return out.Key, err
}

package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// KeyState is where one of a domain's signing keys stands.
type KeyState string

// The states, in their order.
const (
	KeyWaiting KeyState = "waiting" // to be published, and not used yet
	KeyActive  KeyState = "active"  // signs what is sent
	KeyRetired KeyState = "retired" // signed; its record is still needed until Until
)

// SigningKey is one of the keys with which a gateway signs for its domain, as
// its operator sees it: nothing of it is secret. Zero times are left out.
type SigningKey struct {
	Selector  string    `json:"selector"`
	State     KeyState  `json:"state"`
	Algorithm string    `json:"algorithm"` // ES256 or RS256
	Name      string    `json:"name"`      // of its TXT record: see KeyRecordName
	Record    string    `json:"record"`    // what the TXT record says: see KeyRecord.String
	Created   amtp.Time `json:"created_at"`
	Seen      amtp.Time `json:"seen_at,omitzero"`    // when its record was first found in DNS
	Active    amtp.Time `json:"active_at,omitzero"`  // when it began to sign
	Retired   amtp.Time `json:"retired_at,omitzero"` // when it ended
	Until     amtp.Time `json:"keep_until,omitzero"` // until when its record is needed
}

// NewSigningKey is the body of POST /v1/admin/keys: a key that is to be made, or
// one that is brought along. All of it is optional; nothing at all is the next key
// of the kind that signs now.
type NewSigningKey struct {
	// its name, see KeyRecordName; by default the day. A key that is brought needs one
	Selector   string `json:"selector,omitempty"`
	Algorithm  string `json:"algorithm,omitempty"`   // ES256 or RS256; by default ES256, or that of PrivateKey
	Bits       int    `json:"bits,omitempty"`        // of an RSA key that is made: 2048 (the default), 3072 or 4096
	PrivateKey string `json:"private_key,omitempty"` // the key that is brought, in PEM form: see ParseSigningKey
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

// SigningKeys lists the keys with which the gateway signs for its domain, oldest
// first. It is CONFLICT on a gateway without a domain of its own.
func (c *Client) SigningKeys(ctx context.Context) (SigningKeyList, error) {
	var out SigningKeyList
	err := c.call(ctx, amtp.Request{Method: "GET", Path: []string{"admin", "keys"}, Repeat: true}, &out)
	return out, err
}

// RotateSigningKey makes the next signing key, or returns the one that waits
// already. It is used when [Client.UseSigningKey] says so.
func (c *Client) RotateSigningKey(ctx context.Context) (SigningKey, error) {
	var out SigningKeyChange
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "keys"}, Repeat: true}, &out)
	return out.Key, err
}

// GenerateSigningKey makes a signing key of the kind that is asked for, which
// waits until [Client.UseSigningKey] says that it signs. CONFLICT when the selector
// was used before, or too many keys wait.
func (c *Client) GenerateSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	n.PrivateKey = ""
	if n == (NewSigningKey{}) {
		n.Algorithm = amtp.ES256
	}
	return c.newSigningKey(ctx, n)
}

// ImportSigningKey gives the gateway a private key in PEM form, see
// [amtp.ParseSigningKey], under the selector that its domain publishes it with. It
// waits until [Client.UseSigningKey] says that it signs; done again it changes
// nothing. CONFLICT when another key had the selector. Like every call with a key
// it goes over HTTPS, or in plain HTTP to this machine only.
func (c *Client) ImportSigningKey(ctx context.Context, selector string, file []byte) (SigningKey, error) {
	return c.newSigningKey(ctx, NewSigningKey{Selector: selector, PrivateKey: string(file)})
}

func (c *Client) newSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	var out SigningKeyChange
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "keys"}, Body: n,
		Secret: n.PrivateKey != "", Repeat: n.PrivateKey != ""}, &out)
	return out.Key, err
}

// UseSigningKey has the waiting key sign from now on and retires the one in use.
// CONFLICT while its record has not been in DNS for an hour, unless atOnce is
// set.
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

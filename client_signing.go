package amtp

import "context"

// SigningKeys lists the keys with which the gateway signs for its domain, oldest
// first. It needs AdminKey; CONFLICT on a gateway without a domain of its own.
func (c *Client) SigningKeys(ctx context.Context) (SigningKeyList, error) {
	var out SigningKeyList
	_, err := c.do(ctx, call{method: "GET", path: path("admin", "keys"), admin: true, repeat: true}, &out)
	return out, err
}

// RotateSigningKey makes the next signing key, or returns the one that waits
// already. It is used when [Client.UseSigningKey] says so.
func (c *Client) RotateSigningKey(ctx context.Context) (SigningKey, error) {
	var out SigningKeyChange
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "keys"), admin: true, repeat: true}, &out)
	return out.Key, err
}

// GenerateSigningKey makes a signing key of the kind that is asked for, which
// waits until [Client.UseSigningKey] says that it signs. CONFLICT when the selector
// was used before, or too many keys wait.
func (c *Client) GenerateSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	n.PrivateKey = ""
	if n == (NewSigningKey{}) {
		n.Algorithm = ES256
	}
	return c.newSigningKey(ctx, n)
}

// ImportSigningKey gives the gateway a private key in PEM form, see
// [ParseSigningKey], under the selector that its domain publishes it with. It
// waits until [Client.UseSigningKey] says that it signs; done again it changes
// nothing. CONFLICT when another key had the selector. Like every call with a key
// it goes over HTTPS, or in plain HTTP to this machine only.
func (c *Client) ImportSigningKey(ctx context.Context, selector string, file []byte) (SigningKey, error) {
	return c.newSigningKey(ctx, NewSigningKey{Selector: selector, PrivateKey: string(file)})
}

func (c *Client) newSigningKey(ctx context.Context, n NewSigningKey) (SigningKey, error) {
	var out SigningKeyChange
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "keys"), body: n, admin: true,
		secret: n.PrivateKey != "", repeat: n.PrivateKey != ""}, &out)
	return out.Key, err
}

// UseSigningKey has the waiting key sign from now on and retires the one in use.
// CONFLICT while its record has not been in DNS for an hour, unless atOnce is
// set.
func (c *Client) UseSigningKey(ctx context.Context, selector string, atOnce bool) (SigningKey, error) {
	var out SigningKeyChange
	body := map[string]bool{"at_once": atOnce}
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "keys", selector, "use"), body: body,
		admin: true}, &out)
	return out.Key, err
}

// RetireSigningKey ends a key that waits.
func (c *Client) RetireSigningKey(ctx context.Context, selector string) (SigningKey, error) {
	var out SigningKeyChange
	_, err := c.do(ctx, call{method: "DELETE", path: path("admin", "keys", selector), admin: true, repeat: true}, &out)
	return out.Key, err
}

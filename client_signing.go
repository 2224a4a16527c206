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

// UseSigningKey has the waiting key sign from now on and retires the one in use.
// CONFLICT while its record has not been in DNS for an hour, unless atOnce is
// set.
func (c *Client) UseSigningKey(ctx context.Context, selector string, atOnce bool) (SigningKey, error) {
	var out SigningKeyChange
	body := map[string]bool{"at_once": atOnce}
	_, err := c.do(ctx, call{method: "POST", path: path("admin", "keys", selector, "use"), body: body, admin: true}, &out)
	return out.Key, err
}

// RetireSigningKey ends a key that waits.
func (c *Client) RetireSigningKey(ctx context.Context, selector string) (SigningKey, error) {
	var out SigningKeyChange
	_, err := c.do(ctx, call{method: "DELETE", path: path("admin", "keys", selector), admin: true, repeat: true}, &out)
	return out.Key, err
}

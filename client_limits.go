package amtp

import "context"

// Limits tells what may be used of the gateway in a time, and what is. It needs
// AdminKey. Several gateways on one database answer each for itself.
func (c *Client) Limits(ctx context.Context) (LimitReport, error) {
	var out LimitReport
	_, err := c.do(ctx, call{method: "GET", path: path("admin", "limits"), admin: true, repeat: true}, &out)
	return out, err
}

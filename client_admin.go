package amtp

import "context"

// Resume ends the pause of a gateway that was restored from a backup and
// reports whether there was one. It needs AdminKey.
func (c *Client) Resume(ctx context.Context) (was bool, err error) {
	var out Resumed
	_, err = c.do(ctx, call{method: "POST", path: path("admin", "resume"), admin: true}, &out)
	return out.WasPaused, err
}

// Resumed answers the call that ends a pause.
type Resumed struct {
	WasPaused bool `json:"was_paused"`
}

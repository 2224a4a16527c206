package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// NewInvite asks for an invitation.
type NewInvite struct {
	Name string `json:"name"` // of the agent
	// Existing is for an agent that exists already: the invited person gets a further
	// key of it.
	Existing bool `json:"existing,omitempty"`
}

// Invite answers POST /v1/admin/invites. The secret is shown only once.
type Invite struct {
	Address amtp.Address `json:"address"`
	Secret  string       `json:"secret"`
	Expires amtp.Time    `json:"expires_at"`
	Gateway string       `json:"gateway,omitempty"` // the URL at which others reach the gateway, as far as it knows
	Pin     string       `json:"pin,omitempty"`     // of its certificate, if no authority issued it
}

// Invite makes an invitation. The first caller who shows its secret within ten minutes
// gets a key of the agent. It is not repeated.
func (c *Client) Invite(ctx context.Context, n NewInvite) (Invite, error) {
	var out Invite
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "invites"}, Body: n}, &out)
	return out, err
}

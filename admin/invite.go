package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// NewInvite asks for an invitation.
type NewInvite struct {
	Name string `json:"name"` // of the agent
	// Existing is for an agent that there is already: who joins gets one more key
	// of it.
	Existing bool `json:"existing,omitempty"`
}

// Invite answers POST /v1/admin/invites. The secret is shown this once.
type Invite struct {
	Address amtp.Address `json:"address"`
	Secret  string       `json:"secret"`
	Expires amtp.Time    `json:"expires_at"`
	Gateway string       `json:"gateway,omitempty"` // where others reach the gateway, as far as it knows
	Pin     string       `json:"pin,omitempty"`     // of its certificate, where no authority has issued it
}

// Invite makes an invitation: whoever shows it within ten minutes, the first of
// all, gets the key of the agent. It is not repeated.
func (c *Client) Invite(ctx context.Context, n NewInvite) (Invite, error) {
	var out Invite
	err := c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "invites"}, Body: n}, &out)
	return out, err
}

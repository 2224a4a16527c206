// Package admin is the client of a gateway's operator: for the queue and its dead
// letters, the keys that sign for the domain, certificates, limits, peers, invitations,
// and all agents. A [Client] is an [amtp.Client] with the admin key. It adds these
// calls to those of an agent:
//
//	c := &admin.Client{Client: amtp.Client{URL: "https://amtp.example.com", AdminKey: key}}
//	jobs, err := c.Jobs(ctx, admin.JobQuery{})
//
// The gateway has written its admin key into the file admin.key of its data directory.
// Without that key every call is refused with ADMIN_AUTHENTICATION_REQUIRED. With a key
// that is not the operator's it is refused with ADMIN_ACCESS_DENIED.
//
// Errors, repetitions and redirects are as described at [amtp.Client]. Calls that are
// not repeated say so.
package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// Client calls one gateway as its operator. Every call of this package needs AdminKey
// of the [amtp.Client]. Use it like that one, as a value.
type Client struct{ amtp.Client }

// call makes a call with the admin key.
func (c *Client) call(ctx context.Context, r amtp.Request, out any) error {
	r.Admin = true
	return c.Do(ctx, r, out)
}

// Resume ends the pause of a gateway that was restored from a backup, and reports
// whether there was one.
func (c *Client) Resume(ctx context.Context) (was bool, err error) {
	var out Resumed
	err = c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "resume"}}, &out)
	return out.WasPaused, err
}

// Resumed answers the call that ends a pause.
type Resumed struct {
	WasPaused bool `json:"was_paused"`
}

// Package admin is the client of a gateway's operator: the queue and its dead letters,
// the keys that sign for the domain, certificates, limits, peers, invitations, and all
// agents. A [Client] is an [amtp.Client] with the admin key and with these calls beside
// those of an agent:
//
//	c := &admin.Client{Client: amtp.Client{URL: "https://amtp.example.com", AdminKey: key}}
//	jobs, err := c.Jobs(ctx, admin.JobQuery{})
//
// The gateway has written its admin key into the file admin.key of its data directory.
// Every call is refused without that key, with ADMIN_AUTHENTICATION_REQUIRED, or
// ADMIN_ACCESS_DENIED for a key that is not the operator's.
//
// Errors, repetitions and redirects are as of an [amtp.Client]. A call that is not
// repeated says so.
package admin

import (
	"context"

	"github.com/amtp-go/amtp"
)

// Client speaks to one gateway as its operator. AdminKey of the [amtp.Client] is needed
// for every call of this package. It is used as a value, as that one.
type Client struct{ amtp.Client }

// call makes a call with the admin key.
func (c *Client) call(ctx context.Context, r amtp.Request, out any) error {
	r.Admin = true
	return c.Do(ctx, r, out)
}

// Resume ends the pause of a gateway that was restored from a backup and
// reports whether there was one.
func (c *Client) Resume(ctx context.Context) (was bool, err error) {
	var out Resumed
	err = c.call(ctx, amtp.Request{Method: "POST", Path: []string{"admin", "resume"}}, &out)
	return out.WasPaused, err
}

// Resumed answers the call that ends a pause.
type Resumed struct {
	WasPaused bool `json:"was_paused"`
}

package gateway

import (
	"context"
	"time"
)

// Leases is the part of a Store that chooses one among the gateways on it, for
// what only one should do at a time. A lease keeps nothing safe: who is stopped
// for longer than it lasts goes on and does not know, so what is done under one
// must do no harm when two do it.
type Leases interface {
	// Hold takes the lease of that name for the owner until then, when it is
	// free, ended or the owner's already, and reports whether the owner holds
	// it. Of those who ask at once, one does. A store that several machines
	// write goes by its own clock: of now and until it uses what lies between.
	Hold(ctx context.Context, name, owner string, now, until time.Time) (held bool, err error)

	// Release ends the owner's lease of that name, so that another need not
	// wait for its end. It is no error when the owner does not hold it.
	Release(ctx context.Context, name, owner string) error
}

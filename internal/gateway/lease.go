package gateway

import (
	"context"
	"time"
)

// Leases is the part of a Store that chooses one gateway among those on it, for work
// that only one should do at a time. A lease does not guarantee that: a process that is
// stopped for longer than its lease continues without knowing. So work under a lease
// must do no harm when two do it.
type Leases interface {
	// Hold takes the lease of that name for the owner until then, and reports whether
	// the owner holds it. It takes a lease that is free, ended or the owner's already.
	// Of several owners who ask at once, one gets it. A store that several machines
	// write uses its own clock: of now and until it uses only the difference.
	Hold(ctx context.Context, name, owner string, now, until time.Time) (held bool, err error)

	// Release ends the owner's lease of that name, so that another owner need not wait
	// for its end. It is no error when the owner does not hold it.
	Release(ctx context.Context, name, owner string) error
}

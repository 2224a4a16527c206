// Package courier carries messages: to the gateways of other domains (Remote)
// and to the endpoints of agents here (Push). Router sends each parcel with the
// courier for its destination.
//
// A courier keeps nothing. It may be asked to carry the same parcel again after
// a crash at any line, and whoever receives it recognises it by its id.
package courier

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Router chooses the courier for a parcel.
type Router map[gateway.Kind]gateway.Courier

// Carry has the parcel carried by the courier for its destination.
func (r Router) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	if c := r[p.Destination.Kind()]; c != nil {
		return c.Carry(ctx, p)
	}
	// Perhaps it did before, and does again after the next start.
	c := p.All(later("this gateway does not carry messages there now"))
	c.Down = true
	return c
}

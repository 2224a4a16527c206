// Package courier carries messages: to the gateways of other domains (Remote)
// and to the endpoints of agents here (Push). Router sends each parcel with the
// courier for its destination.
//
// A courier keeps no state. After a crash at any line it may have to carry the same
// parcel again; the receiver recognises the message by its id.
package courier

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Router chooses the courier for a parcel.
type Router map[gateway.Kind]gateway.Courier

// Carry passes the parcel to the courier for its destination. A recipient whose row
// cannot be read has no destination: it is refused, so that its sender gets a report and
// the operator finds a dead letter.
func (r Router) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	lost := takeUnreadable(&p)
	if len(p.Recipients) == 0 && len(lost) > 0 {
		return gateway.Carriage{Outcomes: lost}
	}
	c := r.carry(ctx, p)
	c.Outcomes = append(c.Outcomes, lost...)
	return c
}

func (r Router) carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	if c := r[p.Destination.Kind()]; c != nil {
		return c.Carry(ctx, p)
	}
	// Perhaps it did before, and will again after the next start.
	c := p.All(later("this gateway does not carry messages there now"))
	c.Down = true
	return c
}

// takeUnreadable removes from a parcel the recipients whose rows cannot be read, and
// returns their outcomes. Those of a job that decides nothing stay: a report tells of them.
func takeUnreadable(p *gateway.Parcel) (lost []gateway.Outcome) {
	if !p.Destination.Kind().Decides() {
		return nil
	}
	var sound []gateway.Delivery
	for _, d := range p.Recipients {
		if d.Damage == "" {
			sound = append(sound, d)
			continue
		}
		lost = append(lost, gateway.Outcome{Delivery: d.ID, Event: gateway.Refuse, Code: amtp.CodeInternal,
			Reason: d.Damage})
	}
	if len(lost) > 0 {
		p.Recipients = sound
	}
	return lost
}

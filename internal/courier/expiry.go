package courier

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Ender ends messages. gateway.Store is one.
type Ender interface {
	EndMessage(ctx context.Context, id amtp.MessageID, now time.Time) (open bool, err error)
}

// Expiry ends messages that are of no use any more. It is the courier of the jobs for
// gateway.Expiries.
type Expiry struct {
	Store Ender
	Now   func() time.Time
}

// leasedAgain is how long the end of a message waits for a delivery that is under way or
// being worked on.
const leasedAgain = 30 * time.Second

// Carry ends the message of a job, or waits until its time is up.
func (e *Expiry) Carry(ctx context.Context, p gateway.Parcel) gateway.Carriage {
	at, now := p.At, e.Now()
	wait := func(d time.Duration, why string) gateway.Carriage {
		return p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeTemporaryFailure, Reason: why,
			RetryAfter: d})
	}
	if at.After(now) {
		return wait(at.Sub(now), "the time is not up")
	}
	open, err := e.Store.EndMessage(ctx, p.Envelope.ID, now)
	switch {
	case errors.Is(err, gateway.ErrNotFound):
	case err != nil:
		c := wait(time.Second, "the store cannot end the message now")
		c.Down = true
		return c
	case open:
		return wait(leasedAgain, "a recipient works on the message")
	}
	return p.All(gateway.Outcome{Event: gateway.Success})
}

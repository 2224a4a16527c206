package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Expiry gives up jobs that are too old to be tried again, even those whose destination
// is closed and gets no attempts. If the process is killed, the next one gives up the
// rest.
type Expiry struct {
	Store interface {
		Expire(ctx context.Context, begun, now time.Time, limit int, report func(gateway.Job) bool) (int, error)
		Clock() gateway.ClockState
	}
	Now func() time.Time
	Log *slog.Logger
}

// Run checks every minute until ctx ends.
func (e *Expiry) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			e.round(ctx)
		}
	}
}

// round gives up every job that is too old, a batch at a time, so that other writers do
// not wait. It gives up none while the clock is in doubt.
func (e *Expiry) round(ctx context.Context) {
	const batch = 256
	for n := batch; n == batch && ctx.Err() == nil; {
		if clock := e.Store.Clock(); !clock.Believed() {
			return
		}
		now := e.Now()
		var err error
		n, err = e.Store.Expire(ctx, now.Add(-gateway.MaxAge), now, batch,
			func(j gateway.Job) bool { return j.Reported() })
		if err != nil {
			warn(ctx, e.Log, "old jobs cannot be given up", err)
			return
		}
	}
}

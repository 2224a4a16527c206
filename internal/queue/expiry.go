package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Expiry gives up jobs that are too old to be tried again, also those whose
// destination is closed and gets no attempts. A process that is killed leaves
// the rest to the next one.
type Expiry struct {
	Store interface {
		Expire(ctx context.Context, begun, now time.Time, limit int, report func(gateway.Job) bool) (int, error)
		Clock() gateway.ClockState
	}
	Now func() time.Time
	Log *slog.Logger
}

// Run looks every minute, until ctx ends.
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

// round gives up everything that is too old, a batch at a time, so that others
// who write do not wait. By a clock that is doubted nothing is.
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

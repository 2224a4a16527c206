package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// finished is what an attempt tells the lane.
type finished struct {
	destination gateway.Destination
	began       time.Time
	tried       bool // the courier was asked
	down        bool
	pause       time.Duration
	due         time.Time // when the job is tried again, zero when it is done
}

// copies is how often a message is in memory while it is carried: as it is
// stored, as it goes out, and while it is signed.
const copies = 3

// attempt makes one attempt at a leased job and settles it. The message takes
// memory of its destination's share and of the whole: who does not answer holds
// no more than the share.
func (q *Queue) attempt(ctx context.Context, job gateway.Job, share *semaphore.Weighted) finished {
	f := finished{destination: job.Destination, began: q.now()}
	limited, cancel := context.WithTimeout(ctx, q.attemptTime())
	defer cancel()
	size := min(copies*int64(job.Size)+1, maxShare)
	if share.Acquire(limited, size) != nil {
		return q.lapse(f, job)
	}
	defer share.Release(size)
	if q.memory.Acquire(limited, size) != nil {
		return q.lapse(f, job)
	}
	defer q.memory.Release(size)
	parcel, err := q.store.Parcel(limited, job.ID, job.Fence)
	if errors.Is(err, gateway.ErrStale) || errors.Is(err, gateway.ErrNotFound) {
		return f
	}
	if err != nil {
		q.complain(ctx, "a message cannot be read from the store", err)
		return q.lapse(f, job)
	}
	carriage := q.carry(limited, parcel)
	settlement := parcel.Settle(carriage, q.now())
	f.tried, f.down, f.pause, f.due = true, carriage.Down, carriage.Pause, settlement.Due
	if err := q.settle(ctx, &parcel, settlement); err != nil {
		q.complain(ctx, "what came of an attempt cannot be stored; it will be made again", err)
		return q.lapse(f, job)
	}
	return f
}

// lapse leaves a job to the end of its lease.
func (q *Queue) lapse(f finished, job gateway.Job) finished {
	f.due = q.now().Add(q.lease)
	return f
}

// carry asks the courier. A defect that one message meets must not stop all
// others: it is logged and the message tried again.
func (q *Queue) carry(ctx context.Context, p gateway.Parcel) (c gateway.Carriage) {
	defer func() {
		if r := recover(); r != nil {
			q.log.Error("an attempt met a defect", "job", int64(p.ID), "destination", string(p.Destination), "cause", fmt.Sprint(r), "stack", string(debug.Stack()))
			c = p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeInternal, Reason: "the gateway failed; its log has the cause"})
		}
	}()
	return q.courier.Carry(ctx, p)
}

// settle stores what came of an attempt, trying for as long as nobody else can
// have begun another.
func (q *Queue) settle(ctx context.Context, p *gateway.Parcel, s gateway.Settlement) error {
	q.tell(p, s)
	const longest = 2 * time.Second
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := q.storeIt(ctx, s)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, gateway.ErrStale):
			q.log.Warn("an attempt ended after its lease; what came of it is not stored", "job", int64(p.ID), "destination", string(p.Destination))
			return nil
		case errors.Is(err, gateway.ErrClosed), !p.Lease.IsZero() && q.now().Add(wait).After(p.Lease):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// storeIt settles also when the queue was asked to stop: the answer is known.
func (q *Queue) storeIt(ctx context.Context, s gateway.Settlement) error {
	const longest = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer cancel()
	return q.store.Settle(ctx, s)
}

// tell logs an attempt that failed: who it was for and what comes next.
func (q *Queue) tell(p *gateway.Parcel, s gateway.Settlement) {
	for _, r := range s.Results {
		if r.Event != gateway.Success {
			q.log.Warn("a message could not be delivered", "message", string(p.Envelope.ID), "destination", string(p.Destination),
				"attempts", p.Attempts, "code", string(r.Code), "reason", r.Reason)
		}
	}
	if !s.Due.IsZero() {
		q.log.Debug("a message is tried again", "message", string(p.Envelope.ID), "destination", string(p.Destination),
			"attempts", p.Attempts, "code", string(s.Code), "reason", s.Reason, "due", s.Due)
	}
}

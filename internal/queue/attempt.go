package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// flight is a job that was leased, with what its attempt takes.
type flight struct {
	gateway.Job
	part   gateway.Part
	class  class
	host   string // that its gateway was at the last time
	well   bool   // the gateway was in good health
	weight int64  // bytes of memory that it has
}

// finished is what an attempt tells the destination.
type finished struct {
	flight
	began    time.Time
	tried    bool // the gateway was asked
	down     bool
	answered bool
	found    string // the host that it went to, "" when nobody knows
	pause    time.Duration
	due      time.Time // when the job is tried again, zero when it is done
	unmade   bool      // there was no attempt
}

// limit returns how long an attempt may take: all of its time with a gateway in
// good health, and else what is enough for one that answers; a large message more.
func (q *Queue) limit(f *flight) time.Duration {
	more := gateway.Carrying(int64(f.Size))
	if f.class == steady {
		return q.attemptTime() + more
	}
	return min(q.attemptTime(), trialTime) + more
}

// attempt makes one attempt at a leased job and settles it. The message has its
// memory already, so that nothing keeps the attempt from being made once it
// counts; where something does all the same, it is given back.
func (q *Queue) attempt(ctx context.Context, job flight) finished {
	f := finished{flight: job, began: q.now()}
	limited, cancel := context.WithTimeout(ctx, min(q.limit(&job), job.Lease.Sub(f.began)-q.lease/8))
	defer cancel()
	parcel, err := q.store.Parcel(limited, job.ID, job.Fence)
	if errors.Is(err, gateway.ErrStale) || errors.Is(err, gateway.ErrNotFound) {
		return f
	}
	if err != nil {
		q.warn(ctx, "a message cannot be read from the store", err)
		return q.giveBack(ctx, f)
	}
	carriage := q.carry(limited, parcel.Now(f.began))
	settlement := parcel.SettleBy(carriage, q.clock())
	f.tried, f.down, f.answered, f.found, f.pause = says(&carriage), carriage.Down, carriage.Answered, carriage.Host,
		carriage.Pause
	f.due = settlement.Due
	if err := q.settle(ctx, &parcel, settlement); err != nil {
		q.warn(ctx, "what came of an attempt cannot be stored; it will be made again", err)
		return q.lapse(f)
	}
	return f
}

// says reports whether a carriage says something of the gateway: a message that
// was refused before anybody was asked, or whose domain does not exist, does not.
func says(c *gateway.Carriage) bool {
	return c.Down || c.Answered || slices.ContainsFunc(c.Outcomes,
		func(o gateway.Outcome) bool { return o.Event == gateway.Success })
}

// giveBack leaves a job as if it had not been leased: no attempt is counted that
// was not made.
func (q *Queue) giveBack(ctx context.Context, f finished) finished {
	now := q.now()
	s := gateway.Settlement{Job: f.ID, Fence: f.Fence, Now: now, Due: now.Add(retryStore), Unmade: true}
	switch err := q.storeIt(ctx, s); {
	case errors.Is(err, gateway.ErrStale):
		return f
	case err != nil:
		q.warn(ctx, "an attempt that was not made cannot be taken back", err)
		return q.lapse(f)
	}
	f.due, f.unmade = s.Due, true
	return f
}

// contained is attempt, in which a defect is that of one job: it is left to the end
// of its lease.
func (q *Queue) contained(ctx context.Context, job flight) finished {
	f := q.lapse(finished{flight: job, began: q.now()})
	err := defect.Contain(func() error {
		f = q.attempt(ctx, job)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		q.log.Error("an attempt met a defect", "job", int64(job.ID), "destination", string(job.Destination), "cause",
			met.Error(), "stack", string(met.Stack))
	}
	return f
}

// lapse leaves a job to the end of its lease.
func (q *Queue) lapse(f finished) finished {
	f.due = q.now().Add(q.lease)
	return f
}

// carry asks the courier. A defect that one message meets must not stop all
// others: it is logged and the message tried again.
func (q *Queue) carry(ctx context.Context, p gateway.Parcel) (c gateway.Carriage) {
	err := defect.Contain(func() error {
		c = q.courier.Carry(ctx, p)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		q.log.Error("an attempt met a defect", "job", int64(p.ID), "destination", string(p.Destination), "cause",
			met.Error(), "stack", string(met.Stack))
		c = p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeInternal,
			Reason: "the gateway failed; its log has the cause"})
	}
	return c
}

// settle stores what came of an attempt, trying for as long as nobody else can
// have begun another.
func (q *Queue) settle(ctx context.Context, p *gateway.Parcel, s gateway.Settlement) error {
	q.logFailed(p, s)
	const longest = 2 * time.Second
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := q.storeIt(ctx, s)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, gateway.ErrStale):
			q.log.Warn("an attempt ended after its lease; what came of it is not stored", "job", int64(p.ID),
				"destination", string(p.Destination))
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

// logFailed logs an attempt that failed: who it was for and what comes next.
func (q *Queue) logFailed(p *gateway.Parcel, s gateway.Settlement) {
	for _, r := range s.Results {
		if r.Event != gateway.Success {
			q.log.Warn("a message could not be delivered", "message", string(p.Envelope.ID), "destination",
				string(p.Destination),
				"attempts", p.Attempts, "code", string(r.Code), "reason", r.Reason)
		}
	}
	if !s.Due.IsZero() {
		q.log.Debug("a message is tried again", "message", string(p.Envelope.ID), "destination", string(p.Destination),
			"attempts", p.Attempts, "code", string(s.Code), "reason", s.Reason, "due", s.Due)
	}
}

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

// leasedJob is a job under a lease, with the resources that its attempt takes.
type leasedJob struct {
	gateway.Job
	part    gateway.Part
	class   class
	host    string // at which its gateway was the last time
	healthy bool   // the gateway was in good health
	weight  int64  // bytes of memory that it has
}

// attemptResult is the end of an attempt, as its destination needs to know it.
type attemptResult struct {
	leasedJob
	began    time.Time
	tried    bool // the gateway was asked
	down     bool
	answered bool
	reached  string // the host that it went to, "" if that is not known
	pause    time.Duration
	due      time.Time // when the job is tried again, zero when it is done
	notMade  bool      // there was no attempt
}

// limit returns how long an attempt may take. A gateway in good health gets all of
// the time, another one as much as a gateway needs that answers at all. A large
// message gets more.
func (q *Queue) limit(f *leasedJob) time.Duration {
	more := gateway.Carrying(int64(f.Size))
	if f.class == steady {
		return q.attemptTime() + more
	}
	return min(q.attemptTime(), trialTime) + more
}

// attempt makes one attempt at a leased job and settles it. Memory for the message is
// reserved already, so nothing should prevent an attempt that is counted. If
// something does all the same, the job is given back.
func (q *Queue) attempt(ctx context.Context, job leasedJob) attemptResult {
	f := attemptResult{leasedJob: job, began: q.now()}
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
	f.tried, f.down, f.answered = concernsGateway(&carriage), carriage.Down, carriage.Answered
	f.reached, f.pause = carriage.Host, carriage.Pause
	f.due = settlement.Due
	if err := q.settle(ctx, &parcel, settlement); err != nil {
		q.warn(ctx, "the outcome of an attempt cannot be stored; the attempt will be repeated", err)
		return q.lapse(f)
	}
	return f
}

// concernsGateway reports whether a carriage says something about the gateway. One
// whose message was refused before any call, or whose domain does not exist, does not.
func concernsGateway(c *gateway.Carriage) bool {
	return c.Down || c.Answered || slices.ContainsFunc(c.Outcomes,
		func(o gateway.Outcome) bool { return o.Event == gateway.Success })
}

// giveBack leaves a job as if it had not been leased, because an attempt that was not
// made must not count.
func (q *Queue) giveBack(ctx context.Context, f attemptResult) attemptResult {
	now := q.now()
	s := gateway.Settlement{Job: f.ID, Fence: f.Fence, Now: now, Due: now.Add(retryStore), Unmade: true}
	switch err := q.storeSettlement(ctx, s); {
	case errors.Is(err, gateway.ErrStale):
		return f
	case err != nil:
		q.warn(ctx, "a job whose attempt was not made cannot be given back", err)
		return q.lapse(f)
	}
	f.due, f.notMade = s.Due, true
	return f
}

// attemptContained is attempt, in which a defect harms one job only: the job keeps its
// lease until the lease ends.
func (q *Queue) attemptContained(ctx context.Context, job leasedJob) attemptResult {
	f := q.lapse(attemptResult{leasedJob: job, began: q.now()})
	err := defect.Contain(func() error {
		f = q.attempt(ctx, job)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		q.logDefect(job.ID, job.Destination, met)
	}
	return f
}

func (q *Queue) logDefect(job gateway.JobID, d gateway.Destination, met *defect.Error) {
	q.log.Error("an attempt failed because of a defect in this program", "job", int64(job), "destination", string(d),
		"cause", met.Error(), "stack", string(met.Stack))
}

// lapse leaves a job to the end of its lease.
func (q *Queue) lapse(f attemptResult) attemptResult {
	f.due = q.now().Add(q.lease)
	return f
}

// carry calls the courier. A defect that one message triggers must not stop the
// others: it is logged, and the message is tried again.
func (q *Queue) carry(ctx context.Context, p gateway.Parcel) (c gateway.Carriage) {
	err := defect.Contain(func() error {
		c = q.courier.Carry(ctx, p)
		return nil
	})
	var met *defect.Error
	if errors.As(err, &met) {
		q.logDefect(p.ID, p.Destination, met)
		c = p.All(gateway.Outcome{Event: gateway.Postpone, Code: amtp.CodeInternal,
			Reason: "the gateway failed; its log has the cause"})
	}
	return c
}

// settle stores the outcome of an attempt. It keeps trying until the lease ends and
// another process may begin an attempt.
func (q *Queue) settle(ctx context.Context, p *gateway.Parcel, s gateway.Settlement) error {
	q.logFailed(p, s)
	const longest = 2 * time.Second
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, longest) {
		err := q.storeSettlement(ctx, s)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, gateway.ErrStale):
			q.log.Warn("an attempt ended after its lease; its outcome is not stored", "job", int64(p.ID),
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

// storeSettlement settles even after the queue was asked to stop, because the answer
// is known.
func (q *Queue) storeSettlement(ctx context.Context, s gateway.Settlement) error {
	const longest = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer cancel()
	return q.store.Settle(ctx, s)
}

// logFailed logs an attempt that failed: its recipients and the next step.
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

package queue

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// Bounds of one RetryNow. Jobs beyond them keep their own due time.
const (
	retryTime  = 10 * time.Second
	retryJobs  = 10_000
	retryPage  = 500
	retryWidth = 64 // requests at once, so that the store can commit them together
)

// RetryNow makes all jobs that wait for a destination due now, because something about
// the destination has changed. A job whose attempt is under way gets no other attempt.
func (q *Queue) RetryNow(ctx context.Context, d gateway.Destination) {
	q.Wake(d)
	q.makeDue(context.WithoutCancel(ctx), d, retryJobs)
}

// makeDue makes at most most jobs due now, of those that wait for their next attempt.
func (q *Queue) makeDue(ctx context.Context, d gateway.Destination, most int) {
	ctx, cancel := context.WithTimeout(ctx, retryTime)
	defer cancel()
	slots := semaphore.NewWeighted(retryWidth)
	for after, seen := gateway.JobID(0), 0; seen < most; {
		page, err := q.store.JobsPage(ctx, gateway.JobFilter{Destination: d, State: gateway.Retrying, After: after,
			Limit: min(retryPage, most)})
		if err != nil {
			q.warn(ctx, "the queue cannot be read", err)
			return
		}
		for i := range page.Jobs {
			if slots.Acquire(ctx, 1) != nil {
				return
			}
			go func(job gateway.JobID) {
				defer slots.Release(1)
				// An error does no harm: the job is done, under way, or due at its own time.
				_ = defect.Contain(func() error { return q.store.MakeDue(ctx, job, q.now()) })
			}(page.Jobs[i].ID)
		}
		if !page.HasMore {
			break
		}
		// A page may be empty, because the store examined many jobs and found none.
		after, seen = page.Next, seen+len(page.Jobs)
	}
	_ = slots.Acquire(ctx, retryWidth) // all have ended, or the time has
}

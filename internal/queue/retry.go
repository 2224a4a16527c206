package queue

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// Bounds of one RetryNow. What is beyond them comes at its own time.
const (
	retryTime  = 10 * time.Second
	retryJobs  = 10_000
	retryPage  = 500
	retryWidth = 64 // asked for at once, so that the store can commit them together
)

// RetryNow has everything that waits for a destination tried now, because something
// about it has changed. What is being tried at the moment is not tried again for
// that.
func (q *Queue) RetryNow(ctx context.Context, d gateway.Destination) {
	q.Wake(d)
	q.makeDue(context.WithoutCancel(ctx), d, retryJobs)
}

// makeDue makes up to so many jobs due now that wait for their next attempt.
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
				// One that is gone or under way is tried anyway.
				_ = defect.Contain(func() error { return q.store.MakeDue(ctx, job, q.now()) })
			}(page.Jobs[i].ID)
		}
		if !page.HasMore {
			break
		}
		// A page may have looked at many jobs and found none.
		after, seen = page.Next, seen+len(page.Jobs)
	}
	_ = slots.Acquire(ctx, retryWidth) // all have ended, or the time has
}

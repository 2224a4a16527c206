package queue

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// inboundProbe says when the next message from a domain is a reason to try the domain.
type inboundProbe struct {
	next     time.Time
	wait     time.Duration
	retryAll bool // all jobs that wait are tried once the domain answers
}

// firstProbePause is the time between the first such attempt and the next. Each failure
// doubles it, so that a domain that can send but not receive uses up few attempts of the
// jobs that wait for it.
const firstProbePause = 5 * time.Second

// mayProbe reports whether to try the destination because a message came from it.
func (l *destination) mayProbe(now time.Time) bool {
	if l.health != ill && !l.fresh.gate.tripped() && !l.tried.gate.tripped() || now.Before(l.inbound.next) {
		return false
	}
	l.inbound.wait = max(2*l.inbound.wait, firstProbePause)
	l.inbound.next, l.inbound.retryAll = now.Add(l.inbound.wait), true
	return true
}

// Heard makes the queue soon try a domain that did not answer the last time, because a
// message came from it. It does not wait.
func (q *Queue) Heard(d amtp.Domain) {
	select {
	case q.heard <- gateway.Destination(d):
	default: // many domains have just written; the next message of this one does as well
	}
}

// hear makes one job of a destination due. If its attempt succeeds, the rest follows.
func (q *Queue) hear(ctx context.Context, d gateway.Destination) {
	s := q.schedulers[d.Kind()]
	l := s.all[d]
	if now := q.now(); l == nil || !l.mayProbe(now) {
		return
	}
	s.reopen(d, q.now())
	q.inBackground(ctx, func(ctx context.Context) { q.makeDue(ctx, d, 1) })
}

// retryWaiting makes all waiting jobs of a destination due, if a message from it led to
// an attempt and it answers again.
func (q *Queue) retryWaiting(ctx context.Context, f *attemptResult) {
	l := q.schedulers[f.Destination.Kind()].all[f.Destination]
	if l == nil || !f.tried || f.down {
		return
	}
	hurry := l.inbound.retryAll
	if l.inbound = (inboundProbe{}); hurry {
		q.inBackground(ctx, func(ctx context.Context) { q.makeDue(ctx, f.Destination, retryJobs) })
	}
}

// inBackground runs the work outside of the loop. At most a few run at once; beyond that the
// work is dropped.
func (q *Queue) inBackground(ctx context.Context, work func(context.Context)) {
	select {
	case q.backgroundSlots <- struct{}{}:
	default:
		return // the next message from the domain does as well
	}
	q.running.Add(1)
	q.workers.do(func() {
		defer q.running.Done()
		defer func() { <-q.backgroundSlots }()
		work(ctx)
	})
}

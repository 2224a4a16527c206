package queue

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// hearing is when a message from a domain is next a reason to try it.
type hearing struct {
	next  time.Time
	wait  time.Duration
	hurry bool // what waits is tried once the domain answers
}

// firstHeard is how soon after one such attempt the next is made. Each that fails
// doubles it: a domain that can write and not be written to uses up few of the
// attempts of what waits for it.
const firstHeard = 5 * time.Second

// hears reports whether to try the destination, because it was heard from.
func (l *destination) hears(now time.Time) bool {
	if l.health != ill && !l.fresh.gate.shut() && !l.tried.gate.shut() || now.Before(l.heard.next) {
		return false
	}
	l.heard.wait = max(2*l.heard.wait, firstHeard)
	l.heard.next, l.heard.hurry = now.Add(l.heard.wait), true
	return true
}

// Heard has a domain tried soon that did not answer the last time, because a
// message came from it. It does not wait.
func (q *Queue) Heard(d amtp.Domain) {
	select {
	case q.heard <- gateway.Destination(d):
	default: // many were heard from; their next message is heard again
	}
}

// hear tries one message to a destination. When it arrives, the rest follows.
func (q *Queue) hear(ctx context.Context, d gateway.Destination) {
	s := q.schedulers[d.Kind()]
	l := s.all[d]
	if now := q.now(); l == nil || !l.hears(now) {
		return
	}
	s.reopen(d, q.now())
	q.beside(ctx, func(ctx context.Context) { q.makeDue(ctx, d, 1) })
}

// welcome has everything tried that waits for a destination which was heard from
// and answers again.
func (q *Queue) welcome(ctx context.Context, f *finished) {
	l := q.schedulers[f.Destination.Kind()].all[f.Destination]
	if l == nil || !f.tried || f.down {
		return
	}
	hurry := l.heard.hurry
	if l.heard = (hearing{}); hurry {
		q.beside(ctx, func(ctx context.Context) { q.makeDue(ctx, f.Destination, retryJobs) })
	}
}

// beside does something beside the loop, a few things at once.
func (q *Queue) beside(ctx context.Context, work func(context.Context)) {
	select {
	case q.hands <- struct{}{}:
	default:
		return // the next message is heard as well
	}
	q.flying.Add(1)
	q.crew.do(func() {
		defer q.flying.Done()
		defer func() { <-q.hands }()
		work(ctx)
	})
}

package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// clock returns the state of the store's clock, with the queue's own present time.
func (q *Queue) clock() gateway.ClockState {
	c := q.store.Clock()
	c.Now = q.now()
	return c
}

// checkClock makes every destination claim again after the clock has jumped, or has
// gone back at all. The times that destinations remember are those of the earlier
// clock.
func (q *Queue) checkClock() {
	c := q.clock()
	same := c.Jumps == q.clockJumps && !c.Now.Before(q.lastTime)
	if q.lastTime = c.Now; same {
		return
	}
	q.clockJumps = c.Jumps
	for _, s := range q.schedulers {
		s.jump(c.Now)
	}
	q.pagesLeft = -1
}

// jump makes every destination claim at once, or as soon as it opens.
func (s *scheduler) jump(now time.Time) {
	soon := now.Add(longestPause)
	for _, l := range s.all {
		l.lastEvent = now
		for _, e := range []*entry{&l.fresh, &l.tried} {
			e.gate.lastFailure, e.lastClaim = time.Time{}, time.Time{}
			e.gate.closedUntil = earlier(e.gate.closedUntil, soon)
			if !e.at.IsZero() {
				e.at = now
			}
		}
		s.placeAll(l)
	}
}

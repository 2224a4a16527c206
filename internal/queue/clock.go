package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// clock returns how far the store's clock is believed, with the time by which the
// queue goes.
func (q *Queue) clock() gateway.ClockState {
	c := q.store.Clock()
	c.Now = q.now()
	return c
}

// follow has every destination ask anew after the clock has jumped, or gone back by however
// little: what they remember of times is by the clock before.
func (q *Queue) follow() {
	c := q.clock()
	same := c.Jumps == q.jumps && !c.Now.Before(q.looked)
	if q.looked = c.Now; same {
		return
	}
	q.jumps = c.Jumps
	for _, s := range q.schedulers {
		s.jump(c.Now)
	}
	q.pages = -1
}

// jump has every destination ask at once, or when it opens, which is soon.
func (s *scheduler) jump(now time.Time) {
	soon := now.Add(longestPause)
	for _, l := range s.all {
		l.seen = now
		for _, e := range []*entry{&l.fresh, &l.tried} {
			e.gate.counted, e.gate.closed, e.asked = time.Time{}, earlier(e.gate.closed, soon), time.Time{}
			if !e.at.IsZero() {
				e.at = now
			}
		}
		s.placeAll(l)
	}
}

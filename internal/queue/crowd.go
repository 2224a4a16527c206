package queue

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// evict reports whether there is room for one more destination that has work of the
// part. If need be it drops another one. It looks at a few destinations only: first at
// those whose mail was tried and waits, or is due while there is new mail; then at
// those with nothing to do; at last at all that wait.
func (s *scheduler) evict(part gateway.Part, now time.Time) bool {
	if len(s.all) < maxDestinations || s.evictLast(again, now, part == gateway.Fresh) {
		return true
	}
	for range min(maxLooked, len(s.idle)) {
		l := s.idle[0]
		s.idle = s.idle[1:]
		l.inIdle = false
		if l.idle() && s.all[l.destination] == l {
			delete(s.all, l.destination)
			return true
		}
	}
	return s.evictLast(trial, now, false) || s.evictLast(steady, now, false)
}

// evictLater drops a destination whose turn comes later than that of mail that arrives
// now, and reports whether there was one. Such a destination has new mail that waits
// for slots of its flow, or that has waited for some time.
func (s *scheduler) evictLater(now time.Time) bool {
	for why, list := range s.parked {
		for i, last := len(list)-1, max(len(list)-maxLooked, 0); i >= last; i-- {
			e := list[i]
			waits := e.parkedFor == why && s.all[e.of.destination] == e.of
			if waits && e.of.underWay() > 0 {
				continue // it stays in the list, in which release finds it
			}
			if e.listedFor == why {
				e.listedFor = reason{}
			}
			list = slices.Delete(list, i, i+1)
			s.parked[why] = list
			if waits {
				s.drop(e.of)
				return true
			}
		}
	}
	return s.evictLast(trial, now.Add(-recentTime), true)
}

// evictLast drops one of the last destinations in the order of a class: one that waits
// at now, or with due one that was due then. It reports whether there was one.
func (s *scheduler) evictLast(c class, now time.Time, due bool) bool {
	order := s.order[c]
	for i := len(order) - 1; i >= max(len(order)-maxLooked, 0); i-- {
		l := order[i].of
		at, _ := order[i].ready()
		if waits := at.After(now); l.underWay() == 0 && (waits != due || waits && c == again) {
			s.drop(l)
			return true
		}
	}
	return false
}

// drop forgets a destination. The poll finds what it has to do.
func (s *scheduler) drop(l *destination) {
	for _, e := range []*entry{&l.fresh, &l.tried} {
		e.at, e.parkedFor = time.Time{}, reason{}
		s.place(e)
	}
	delete(s.all, l.destination)
}

package queue

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// makeRoom reports whether there is room for one destination more, which has something
// of the part to do. It looks at a few destinations only: first at those whose mail was
// tried and waits, or is due while there is new mail, then at those with nothing
// to do, and at last at all that wait.
func (s *scheduler) makeRoom(part gateway.Part, now time.Time) bool {
	if len(s.all) < maxDestinations || s.dropLate(again, now, part == gateway.Fresh) {
		return true
	}
	for range min(looks, len(s.spare)) {
		l := s.spare[0]
		s.spare = s.spare[1:]
		l.spare = false
		if l.idle() && s.all[l.destination] == l {
			delete(s.all, l.destination)
			return true
		}
	}
	return s.dropLate(trial, now, false) || s.dropLate(steady, now, false)
}

// makeWay reports whether there is a destination that has its turn later than one with
// mail that comes now: new mail that waits for slots of its flow, or that has
// waited for some time.
func (s *scheduler) makeWay(now time.Time) bool {
	for why, list := range s.aside {
		for i, last := len(list)-1, max(len(list)-looks, 0); i >= last; i-- {
			e := list[i]
			waits := e.aside == why && s.all[e.of.destination] == e.of
			if waits && e.of.flying() > 0 {
				continue // it stays in the list, in which release finds it
			}
			if e.listed == why {
				e.listed = reason{}
			}
			list = slices.Delete(list, i, i+1)
			s.aside[why] = list
			if waits {
				s.drop(e.of)
				return true
			}
		}
	}
	return s.dropLate(trial, now.Add(-recentTime), true)
}

// dropLate drops one of the last destinations of a class that waits, or that was due
// then.
func (s *scheduler) dropLate(c class, now time.Time, due bool) bool {
	order := s.order[c]
	for i := len(order) - 1; i >= max(len(order)-looks, 0); i-- {
		l := order[i].of
		at, _ := order[i].ready()
		if waits := at.After(now); l.flying() == 0 && (waits != due || waits && c == again) {
			s.drop(l)
			return true
		}
	}
	return false
}

// drop forgets a destination. The poll finds what it has to do.
func (s *scheduler) drop(l *destination) {
	for _, e := range []*entry{&l.fresh, &l.tried} {
		e.at, e.aside = time.Time{}, reason{}
		s.place(e)
	}
	delete(s.all, l.destination)
}

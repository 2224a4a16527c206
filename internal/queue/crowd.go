package queue

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// makeRoom reports whether there is room for one lane more, which has something
// of the part to do. It looks at a few lanes only: first at those whose mail was
// tried and waits, or is due while there is new mail, then at those with nothing
// to do, and at last at all that wait.
func (ls *lanes) makeRoom(part gateway.Part, now time.Time) bool {
	if len(ls.all) < maxLanes || ls.dropLate(again, now, part == gateway.Fresh) {
		return true
	}
	for range min(looks, len(ls.spare)) {
		l := ls.spare[0]
		ls.spare = ls.spare[1:]
		l.spare = false
		if l.idle() && ls.all[l.destination] == l {
			delete(ls.all, l.destination)
			return true
		}
	}
	return ls.dropLate(trial, now, false) || ls.dropLate(steady, now, false)
}

// makeWay reports whether there is a lane that has its turn later than one with
// mail that comes now: new mail that waits for slots of its flow, or that has
// waited for some time.
func (ls *lanes) makeWay(now time.Time) bool {
	for why, list := range ls.aside {
		for i, last := len(list)-1, max(len(list)-looks, 0); i >= last; i-- {
			e := list[i]
			waits := e.aside == why && ls.all[e.lane.destination] == e.lane
			if waits && e.lane.flying() > 0 {
				continue // it stays in the list, in which release finds it
			}
			if e.listed == why {
				e.listed = reason{}
			}
			list = slices.Delete(list, i, i+1)
			ls.aside[why] = list
			if waits {
				ls.drop(e.lane)
				return true
			}
		}
	}
	return ls.dropLate(trial, now.Add(-recentTime), true)
}

// dropLate drops one of the last lanes of a class that waits, or that was due
// then.
func (ls *lanes) dropLate(c class, now time.Time, due bool) bool {
	order := ls.order[c]
	for i := len(order) - 1; i >= max(len(order)-looks, 0); i-- {
		l := order[i].lane
		at, _ := order[i].ready()
		if waits := at.After(now); l.flying() == 0 && (waits != due || waits && c == again) {
			ls.drop(l)
			return true
		}
	}
	return false
}

// drop forgets a lane. The poll finds what it has to do.
func (ls *lanes) drop(l *lane) {
	for _, e := range []*entry{&l.fresh, &l.tried} {
		e.at, e.aside = time.Time{}, reason{}
		ls.place(e)
	}
	delete(ls.all, l.destination)
}

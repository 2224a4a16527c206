package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// lanes are all destinations that are worked on, those that want to claim in the
// order of time.
type lanes struct {
	all   map[gateway.Destination]*lane
	order byTime
	aside []*lane // that have their part; the end of an attempt puts them back
}

// maxLanes bounds the memory for destinations. Beyond it one that waits makes
// room for one that is due; the poll finds it again.
const maxLanes = 1 << 14

// perClaim is for how many destinations one claim asks.
const perClaim = 64

// reserve is how many attempts are kept for destinations that have few under way:
// a handful that take many and then do not answer leave room for all others.
const reserve = maxLeased / 4

func newLanes() lanes { return lanes{all: make(map[gateway.Destination]*lane)} }

func (ls *lanes) full() bool { return len(ls.all) >= maxLanes }

// at returns the lane of a destination, a new one if need be.
func (ls *lanes) at(d gateway.Destination, now time.Time) *lane {
	l := ls.all[d]
	if l == nil {
		l = &lane{destination: d, window: firstWindow, seen: now, index: -1, share: semaphore.NewWeighted(maxShare)}
		ls.all[d] = l
	}
	return l
}

// due notes that a destination has something to do at that time.
func (ls *lanes) due(d gateway.Destination, at, now time.Time) {
	if ls.all[d] == nil && ls.full() && (at.After(now) || !ls.makeRoom(now)) {
		return
	}
	l := ls.at(d, now)
	l.due(at)
	ls.place(l)
}

// makeRoom drops a lane that has nothing to do now, and reports whether there
// was one.
func (ls *lanes) makeRoom(now time.Time) bool {
	for d, l := range ls.all {
		if at, wants := l.ready(); l.flying > 0 || wants && !at.After(now) {
			continue
		}
		if l.index >= 0 {
			heap.Remove(&ls.order, l.index)
		}
		delete(ls.all, d)
		return true
	}
	return false
}

// reopen has a destination tried at once.
func (ls *lanes) reopen(d gateway.Destination, now time.Time) {
	l := ls.at(d, now)
	l.reopen(now)
	ls.place(l)
}

// place puts a lane where it belongs in the order.
func (ls *lanes) place(l *lane) {
	_, wants := l.ready()
	switch {
	case l.aside:
	case wants && l.index < 0:
		heap.Push(&ls.order, l)
	case wants:
		heap.Fix(&ls.order, l.index)
	case l.index >= 0:
		heap.Remove(&ls.order, l.index)
	}
}

// wanted returns what should be claimed now, at most room jobs, and takes those
// lanes out of the order until claimed puts them back.
func (ls *lanes) wanted(now time.Time, room int) []gateway.Claiming {
	var list []gateway.Claiming
	for len(ls.order) > 0 && len(list) < perClaim && room > 0 {
		l := ls.order[0]
		if at, _ := l.ready(); at.After(now) {
			break
		}
		heap.Pop(&ls.order)
		n := min(l.room(), room, max(nearWindow-l.flying, room-reserve))
		if n <= 0 {
			l.aside = true
			ls.aside = append(ls.aside, l)
			continue
		}
		room -= n
		list = append(list, gateway.Claiming{Destination: l.destination, Limit: n, Most: l.window})
	}
	return list
}

// claimed notes what was leased. A destination of which nothing was said has
// nothing to do.
func (ls *lanes) claimed(wanted []gateway.Claiming, got []gateway.Claimed, now time.Time) {
	for _, w := range wanted {
		ls.all[w.Destination].next = time.Time{}
	}
	for _, c := range got {
		l := ls.at(c.Destination, now)
		l.flying += len(c.Jobs)
		l.next, l.seen = c.Next, now
	}
	for _, w := range wanted {
		ls.place(ls.all[w.Destination])
	}
}

// refused notes that the store leased nothing: all are asked for again then.
func (ls *lanes) refused(wanted []gateway.Claiming, then time.Time) {
	for _, w := range wanted {
		l := ls.all[w.Destination]
		l.next = then
		ls.place(l)
	}
}

// finish notes how an attempt ended.
func (ls *lanes) finish(f finished, now time.Time) {
	l := ls.at(f.destination, now)
	l.finish(f, now)
	ls.place(l)
	for _, l := range ls.aside {
		l.aside = false
		ls.place(l)
	}
	ls.aside = ls.aside[:0]
}

// sleep returns how long nothing is to be claimed.
func (ls *lanes) sleep(now time.Time) time.Duration {
	if len(ls.order) == 0 {
		return pollTime
	}
	at, _ := ls.order[0].ready()
	return max(at.Sub(now), 0)
}

// Lane shows how one destination feels.
type Lane struct {
	Destination gateway.Destination
	Window      int       // attempts that may be made at once
	Flying      int       // attempts under way
	Failures    int       // in a row
	ClosedUntil time.Time // zero when it is open
}

func (ls *lanes) show() []Lane {
	list := make([]Lane, 0, len(ls.all))
	for _, l := range ls.all {
		list = append(list, Lane{Destination: l.destination, Window: l.window, Flying: l.flying, Failures: l.failures, ClosedUntil: l.closed})
	}
	slices.SortFunc(list, func(a, b Lane) int { return cmp.Compare(a.Destination, b.Destination) })
	return list
}

// forget drops the lanes of which nothing is to be remembered.
func (ls *lanes) forget(now time.Time) {
	for d, l := range ls.all {
		if l.idle(now) {
			delete(ls.all, d)
		}
	}
}

// byTime is a heap of lanes, the first to claim on top.
type byTime []*lane

func (h byTime) Len() int { return len(h) }

func (h byTime) Less(i, j int) bool {
	a, _ := h[i].ready()
	b, _ := h[j].ready()
	return a.Before(b)
}

func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byTime) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *byTime) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.index = -1
	return l
}

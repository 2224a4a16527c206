package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// scheduler holds all active destinations of one kind. Those that want to claim are in
// the order of time, for each class of attempt.
type scheduler struct {
	all    map[gateway.Destination]*destination
	order  [classes]byTime
	parked map[reason][]*entry
	recent []*arrival     // new mail that has just arrived
	idle   []*destination // destinations that had nothing to do when they were added
	slots  slots
	memory *memory
}

// reason says why an entry waits outside the order of time. The zero value means that it
// does not.
type reason struct {
	flow        gateway.Flow // the flow that has no slot left in the class
	class       class
	host        string // the host that has no slot left
	well        bool   // of that host's slots: those for gateways in good health, or the others
	share       bool   // the flow has used its share of the memory in the class
	bulk        bool   // the slots left are reserved for destinations with few attempts
	memory      bool   // too little memory is left in the class
	destination bool   // it waits for an attempt of its own to end, or for a new job
}

// arrival is new mail with the time of its arrival. It is passed over if only flows with
// many trials have mail there.
type arrival struct {
	*entry
	came       time.Time
	passedOver bool
}

const (
	// maxDestinations bounds the memory for destinations. Beyond it a destination that is
	// due replaces one that waits; the poll finds the latter again.
	maxDestinations = 1 << 14
	// perClaim is how many destinations one claim is for at most.
	perClaim = 64
	// recentTime is how long new mail counts as having just arrived.
	recentTime = time.Second
	// backTime is how far the clock may go back without a jump. New mail may be due that
	// much later.
	backTime = 5 * time.Minute
	// leftTime is the time after which an entry that waits for a share claims all the
	// same, because another flow's mail may need less. triedLeftTime is the same for
	// mail that was tried.
	leftTime      = time.Minute
	triedLeftTime = 10 * time.Second
	// maxLooked is how many destinations are examined to find one to evict.
	maxLooked = 8
)

func newScheduler() *scheduler {
	return &scheduler{
		all:    make(map[gateway.Destination]*destination),
		parked: make(map[reason][]*entry),
		slots:  newSlots(),
		memory: newMemory(),
	}
}

// sharing makes the scheduler share the memory with others.
func (s *scheduler) sharing(m *memory) *scheduler {
	s.memory = m
	return s
}

// at returns the state of a destination, a new one if need be.
func (s *scheduler) at(d gateway.Destination, now time.Time) *destination {
	l := s.all[d]
	if l == nil {
		l = newDestination(d, now)
		s.all[d] = l
	}
	return l
}

// arrived notes that a new job for a destination arrived.
func (s *scheduler) arrived(d gateway.Destination, now time.Time) {
	l := s.all[d]
	if l == nil {
		if !s.evict(gateway.Fresh, now) && !s.evictLater(now) {
			return // the poll finds it
		}
		l = s.at(d, now)
	}
	l.fresh.due(now)
	l.fresh.newWork, l.fresh.parkedFor = true, reason{}
	s.placeAll(l)
	if l.fresh.class == trial {
		s.recent = append(s.recent, &arrival{entry: &l.fresh, came: now})
	}
}

// due notes the store's answer about a destination. It reports false if there is no room
// for another destination that is due.
func (s *scheduler) due(w gateway.Waiting, now time.Time) bool {
	part := gateway.Tried
	if w.Fresh {
		part = gateway.Fresh
	}
	if ahead := w.Due.Sub(now); w.Fresh && ahead > 0 && ahead <= backTime {
		w.Due = now // another flow's may be due
	}
	l := s.all[w.Destination]
	if l == nil {
		if since := now.Sub(w.Due); w.Fresh && since >= 0 && since <= recentTime {
			s.arrived(w.Destination, now) // so many arrived that the bell did not name it
			return s.all[w.Destination] != nil
		}
		if w.Due.After(now) && len(s.all) >= maxDestinations {
			return true // a later poll finds it when it is due
		}
		if !s.evict(part, now) {
			return false
		}
		l = s.at(w.Destination, now)
	}
	l.entry(part).due(w.Due)
	s.placeAll(l)
	return true
}

// reopen makes the queue try a destination at once.
func (s *scheduler) reopen(d gateway.Destination, now time.Time) {
	l := s.at(d, now)
	l.reopen(now)
	l.fresh.parkedFor, l.tried.parkedFor = reason{}, reason{}
	s.placeAll(l)
}

func (s *scheduler) placeAll(l *destination) {
	s.place(&l.fresh)
	s.place(&l.tried)
	if l.idle() && !l.inIdle && s.all[l.destination] == l {
		l.inIdle = true
		s.idle = append(s.idle, l)
	}
}

// classOf returns the class that an attempt would have now.
func classOf(e *entry) class {
	switch {
	case e.of.destination.Kind().Internal():
		return steady // no other gateway takes part in it
	case e.part == gateway.Tried:
		return again
	case e.of.health == well:
		return steady
	}
	return trial
}

// place moves an entry to its place in the order.
func (s *scheduler) place(e *entry) {
	_, wants := e.ready()
	wants = wants && e.parkedFor == reason{}
	c := classOf(e)
	if e.index >= 0 && (!wants || c != e.class) {
		heap.Remove(&s.order[e.class], e.index)
	}
	e.class = c
	switch {
	case !wants:
	case e.index < 0:
		heap.Push(&s.order[c], e)
	default:
		heap.Fix(&s.order[c], e.index)
	}
}

// park keeps an entry out of the order for a reason.
func (s *scheduler) park(e *entry, why reason) {
	e.parkedFor = why
	s.place(e)
	if !why.destination && e.listedFor != why {
		e.listedFor = why
		s.parked[why] = append(s.parked[why], e)
	}
}

// unpark puts entries back into the order whose reason has ended, at most as many as may
// begin.
func (s *scheduler) unpark(now time.Time) {
	for why, list := range s.parked {
		n, memory, shared := s.mayUnpark(why), *s.memory, int64(0)
		i := 0
		for ; i < len(list) && n > 0; i++ {
			e := list[i]
			waits := e.parkedFor == why && s.all[e.of.destination] == e.of
			if waits && why.memory {
				if !memory.holds(e.class, e.neededMemory()) {
					break
				}
				memory.take(e.class, e.neededMemory())
			}
			if waits && why.share {
				shared += e.leftBytes
				if shared > s.memory.left(why.class, why.flow) && now.Sub(e.lastClaim) < leftTime {
					break
				}
			}
			if e.listedFor == why {
				e.listedFor = reason{}
			}
			if waits {
				e.parkedFor = reason{}
				s.place(e)
				n--
			}
		}
		if list = list[i:]; len(list) == 0 {
			delete(s.parked, why)
		} else {
			s.parked[why] = list
		}
	}
}

func (s *scheduler) mayUnpark(why reason) int {
	switch {
	case why.memory, why.share:
		return maxLooked
	case why.host != "":
		return s.slots.hostRoom(why.host, why.well)
	case why.bulk:
		return s.slots.free(steady) - reserve
	case s.slots.full(why.class, why.flow):
		return 0
	}
	return s.slots.room(why.class)
}

// finish notes how an attempt ended.
func (s *scheduler) finish(f *attemptResult, now time.Time) {
	s.slots.release(f)
	l := s.at(f.Destination, now)
	s.countMemory(&f.leasedJob, l, -1)
	was := l.health == well
	l.finish(f, now)
	for _, e := range []*entry{&l.fresh, &l.tried} {
		// A healthy gateway waits for other slots than one that is not.
		if e.parkedFor.destination || was != (l.health == well) {
			e.parkedFor = reason{}
		}
	}
	s.placeAll(l)
}

// sleep returns how long there is nothing to claim.
func (s *scheduler) sleep(now time.Time) time.Duration {
	wait := pollTime
	for c := range classes {
		if len(s.order[c]) == 0 || s.slots.free(c) == 0 { // the end of an attempt wakes the queue
			continue
		}
		at, _ := s.order[c][0].ready()
		wait = min(wait, max(at.Sub(now), 0))
	}
	if len(s.recent) > 0 {
		wait = min(wait, trialEvery)
	}
	return wait
}

func (s *scheduler) health(list []gateway.DestinationHealth) []gateway.DestinationHealth {
	for _, l := range s.all {
		list = append(list, gateway.DestinationHealth{Destination: l.destination, Window: l.window,
			InFlight: l.underWay(), Failures: max(l.fresh.gate.failures, l.tried.gate.failures),
			ClosedUntil: later(l.fresh.gate.closedUntil, l.tried.gate.closedUntil)})
	}
	slices.SortFunc(list, func(a, b gateway.DestinationHealth) int {
		return cmp.Compare(a.Destination, b.Destination)
	})
	return list
}

// forget drops the destinations about which there is nothing to remember.
func (s *scheduler) forget(now time.Time) {
	hosts := make(map[string]bool)
	for d, l := range s.all {
		if l.forgettable(now) {
			delete(s.all, d)
		} else {
			hosts[l.host] = true
		}
	}
	for name, h := range s.slots.hosts {
		if h.well+h.others == 0 && !hosts[name] {
			delete(s.slots.hosts, name)
		}
	}
	s.idle = slices.DeleteFunc(s.idle, func(l *destination) bool {
		gone := s.all[l.destination] != l
		l.inIdle = l.inIdle && !gone
		return gone
	})
}

// byTime is a heap of entries, the first to claim on top.
type byTime []*entry

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
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byTime) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.index = -1
	return e
}

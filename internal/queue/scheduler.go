package queue

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// destinations are all destinations of one kind that are worked on, those that want to
// claim in the order of time for each class of attempt.
type scheduler struct {
	all    map[gateway.Destination]*destination
	order  [classes]byTime
	aside  map[reason][]*entry
	recent []*arrival     // new mail that came a moment ago
	spare  []*destination // that had nothing to do when they were put here
	slots  slots
	memory *memory
}

// reason says for what an entry waits beside the order of time. The zero value is
// for nothing.
type reason struct {
	flow        gateway.Flow // that has no slot left in the class
	class       class
	host        string // that has no slot left
	well        bool   // and for whom: gateways in good health, or others
	share       bool   // that has its share of the memory in the class
	bulk        bool   // for the slots that are kept for those with few attempts
	memory      bool   // of the class
	destination bool   // for an attempt of its own to end, or for something to come
}

// arrival is new mail with when it came. It was passed over when only flows with
// many trials had some.
type arrival struct {
	*entry
	came   time.Time
	passed bool
}

const (
	// maxDestinations bounds the memory for destinations. Beyond it one that waits makes
	// room for one that is due; the poll finds it again.
	maxDestinations = 1 << 14
	// perClaim is for how many destinations one claim asks.
	perClaim = 64
	// recentTime is for how long new mail counts as having just come.
	recentTime = time.Second
	// backTime is how far a clock may go back without a jump: for so long new mail may
	// not be due.
	backTime = 5 * time.Minute
	// leftTime is after how long who waits for a share asks all the same, for another
	// flow's mail may be there that waits for less; and triedLeftTime the same of mail
	// that was tried.
	leftTime      = time.Minute
	triedLeftTime = 10 * time.Second
	// looks is at how many destinations is looked for one that makes room.
	looks = 8
)

func newScheduler() *scheduler {
	return &scheduler{all: make(map[gateway.Destination]*destination), aside: make(map[reason][]*entry), slots: newSlots(),
		memory: newMemory()}
}

// sharing has the destinations share the memory with others.
func (s *scheduler) sharing(m *memory) *scheduler {
	s.memory = m
	return s
}

// at returns the destination of a destination, a new one if need be.
func (s *scheduler) at(d gateway.Destination, now time.Time) *destination {
	l := s.all[d]
	if l == nil {
		l = newDestination(d, now)
		s.all[d] = l
	}
	return l
}

// rang notes that something came for a destination.
func (s *scheduler) rang(d gateway.Destination, now time.Time) {
	l := s.all[d]
	if l == nil {
		if !s.makeRoom(gateway.Fresh, now) && !s.makeWay(now) {
			return // the poll finds it
		}
		l = s.at(d, now)
	}
	l.fresh.due(now)
	l.fresh.rang, l.fresh.aside = true, reason{}
	s.placeAll(l)
	if l.fresh.class == trial {
		s.recent = append(s.recent, &arrival{entry: &l.fresh, came: now})
	}
}

// due notes what the store says of a destination, and reports false when there
// is no room for more that is due.
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
			s.rang(w.Destination, now) // so many came that the bell did not tell of it
			return s.all[w.Destination] != nil
		}
		if w.Due.After(now) && len(s.all) >= maxDestinations {
			return true // it is asked for again when it is due
		}
		if !s.makeRoom(part, now) {
			return false
		}
		l = s.at(w.Destination, now)
	}
	l.entry(part).due(w.Due)
	s.placeAll(l)
	return true
}

// reopen has a destination tried at once.
func (s *scheduler) reopen(d gateway.Destination, now time.Time) {
	l := s.at(d, now)
	l.reopen(now)
	l.fresh.aside, l.tried.aside = reason{}, reason{}
	s.placeAll(l)
}

func (s *scheduler) placeAll(l *destination) {
	s.place(&l.fresh)
	s.place(&l.tried)
	if l.idle() && !l.spare && s.all[l.destination] == l {
		l.spare = true
		s.spare = append(s.spare, l)
	}
}

// classOf returns what an attempt would be now.
func classOf(e *entry) class {
	switch {
	case e.of.destination == gateway.Reports:
		return steady // nobody else has a part in it
	case e.part == gateway.Tried:
		return again
	case e.of.health == well:
		return steady
	}
	return trial
}

// place puts an entry where it belongs in the order.
func (s *scheduler) place(e *entry) {
	_, wants := e.ready()
	wants = wants && e.aside == reason{}
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

// putAside keeps an entry out of the order for a reason.
func (s *scheduler) putAside(e *entry, why reason) {
	e.aside = why
	s.place(e)
	if !why.destination && e.listed != why {
		e.listed = why
		s.aside[why] = append(s.aside[why], e)
	}
}

// release puts back what waits aside and need not any longer, so many as may be
// begun.
func (s *scheduler) release(now time.Time) {
	for why, list := range s.aside {
		n, memory, shared := s.mayRelease(why), *s.memory, int64(0)
		i := 0
		for ; i < len(list) && n > 0; i++ {
			e := list[i]
			waits := e.aside == why && s.all[e.of.destination] == e.of
			if waits && why.memory {
				if !memory.holds(e.class, e.needed()) {
					break
				}
				memory.take(e.class, e.needed())
			}
			if waits && why.share {
				if shared += e.left; shared > s.memory.left(why.class, why.flow) && now.Sub(e.asked) < leftTime {
					break
				}
			}
			if e.listed == why {
				e.listed = reason{}
			}
			if waits {
				e.aside = reason{}
				s.place(e)
				n--
			}
		}
		if list = list[i:]; len(list) == 0 {
			delete(s.aside, why)
		} else {
			s.aside[why] = list
		}
	}
}

func (s *scheduler) mayRelease(why reason) int {
	switch {
	case why.memory, why.share:
		return looks
	case why.host != "":
		return s.slots.hostRoom(why.host, why.well)
	case why.bulk:
		return s.slots.free(steady) - reserve
	case s.slots.full(why.class, why.flow):
		return 0
	}
	return s.slots.room(why.class)
}

// wanted returns what should be claimed now and takes those destinations out of the order
// until claimed puts them back.
func (s *scheduler) wanted(now time.Time) []asked {
	s.release(now)
	memory, portions := *s.memory, portions{memory: s.memory}
	list := s.justCame(now, &memory, &portions)
	kept := len(list)
	atHost := make(map[reason]int)
	for c := range classes {
		room := min(s.slots.room(c), s.slots.left(c)) // so that no flow gets more than it may have
		if c == trial {
			room -= kept
		}
		var full []gateway.Flow
		for len(s.order[c]) > 0 && len(list) < perClaim && room > 0 {
			e := s.order[c][0]
			if at, _ := e.ready(); at.After(now) {
				break
			}
			if isAsked(list, e.of) { // once in a claim
				break
			}
			n, why := s.allowed(e, room, atHost)
			if n <= 0 {
				s.putAside(e, why)
				continue
			}
			h, fits := e.hunger(n, &memory)
			if !fits && memory != *s.memory {
				break // the next claim has it, if this one leaves any
			}
			if !fits {
				s.putAside(e, s.lacks(e))
				continue
			}
			if !portions.grant(e, &h) {
				break
			}
			if full == nil {
				full = s.slots.allFull(c)
			}
			room -= n
			memory.take(c, h.bytes)
			atHost[e.of.atHost()] += n
			list = append(list, s.ask(e, n, full, h, now))
		}
	}
	return list
}

// asked is a claim with the entry that it is for.
type asked struct {
	gateway.Claiming
	*entry
	kept *arrival // it takes slots that are kept, nil when it does not
}

func isAsked(list []asked, l *destination) bool {
	return slices.ContainsFunc(list, func(a asked) bool { return a.of == l })
}

// ask takes an entry out of the order and returns what is claimed for it.
func (s *scheduler) ask(e *entry, n int, except []gateway.Flow, h hunger, now time.Time) asked {
	l := e.of
	if e.index >= 0 {
		heap.Remove(&s.order[e.class], e.index)
	}
	e.aside, e.asked, e.rang = reason{}, now, false
	for f, held := range e.held {
		if held >= l.most() && len(e.held) < nearWindow { // of many flows none holds too much
			except = append(slices.Clone(except), f)
		}
	}
	return asked{entry: e, Claiming: gateway.Claiming{
		Destination: l.destination, Part: e.part, Limit: n,
		Most: min(2*l.window, l.width()) + l.fresh.bulky + l.tried.bulky, After: l.after, Except: except, Bytes: h.most,
		Behind: h.behind, Share: h.share,
	}}
}

// allowed returns how many attempts may be begun for an entry beside those of the
// same claim, or why none.
func (s *scheduler) allowed(e *entry, room int, atHost map[reason]int) (int, reason) {
	l := e.of
	n := min(e.room(), l.fits(), room)
	if !e.rang {
		n = min(n, max(e.room()-l.keeps(), 1))
	}
	if e.class == steady {
		if n = min(n, max(nearWindow-l.flying(), s.slots.free(steady)-reserve)); n <= 0 {
			return 0, reason{bulk: true}
		}
	}
	if l.host != "" {
		why := l.atHost()
		if n = min(n, s.slots.hostRoom(why.host, why.well)-atHost[why]); n <= 0 {
			return 0, why
		}
	}
	return n, reason{}
}

// justCame asks for new mail that came a moment ago and finds no slot among those
// that all share: the newest first, and that of flows with few trials before that
// of others.
func (s *scheduler) justCame(now time.Time, memory *memory, portions *portions) (list []asked) {
	i := 0
	for i < len(s.recent) && now.Sub(s.recent[i].came) > recentTime {
		i++
	}
	s.recent = s.recent[i:]
	n := s.slots.keep(now)
	if n <= 0 || len(s.recent) == 0 || len(s.order[trial]) <= s.slots.room(trial) && len(s.aside) == 0 {
		return nil
	}
	heavy := s.slots.allHeavy()
	var second *arrival
	for i := len(s.recent) - 1; i >= 0 && len(list) < n; i-- {
		e := s.recent[i]
		if at, wants := e.ready(); !wants || at.After(now) || classOf(e.entry) != trial ||
			s.all[e.of.destination] != e.of || isAsked(list, e.of) {
			continue
		}
		if e.passed || e.aside != (reason{}) {
			// a kept slot is no use to those
			if second == nil && e.aside.host == "" && !e.aside.memory && !e.aside.share && !e.aside.destination {
				second = e
			}
			continue
		}
		if h, fits := e.hunger(1, memory); fits && portions.grant(e.entry, &h) {
			memory.take(trial, h.bytes)
			list = append(list, s.ask(e.entry, 1, heavy, h, now))
			list[len(list)-1].kept = e
		}
	}
	if len(list) > 0 || second == nil {
		return list
	}
	if h, fits := second.hunger(1, memory); fits && portions.grant(second.entry, &h) {
		memory.take(trial, h.bytes)
		list = append(list, s.ask(second.entry, 1, nil, h, now))
		list[0].kept = second
	}
	return list
}

// claimed notes what was leased, and returns it with what each attempt takes. A
// destination of which nothing was said has nothing to do.
func (s *scheduler) claimed(wanted []asked, got []gateway.Claimed, now time.Time) (flights []flight) {
	for i := range wanted {
		a := &wanted[i]
		var c gateway.Claimed
		if i < len(got) && got[i].Destination == a.Destination {
			c = got[i]
		}
		flights = append(flights, s.begun(a, &c, now)...)
	}
	return flights
}

// begun notes what was leased for one claim.
func (s *scheduler) begun(a *asked, c *gateway.Claimed, now time.Time) (flights []flight) {
	l, e := a.of, a.entry
	l.fresh.at, l.tried.at = time.Time{}, c.Tried
	if c.Fresh {
		l.fresh.at = now
	}
	if len(c.Jobs) > 0 {
		l.heaviest = 0
	}
	e.needs, e.left = int64(c.Needs), 0
	if c.Left.Size > 0 {
		e.left = weigh(int64(c.Left.Size))
	}
	for i := range c.Jobs {
		f := flight{Job: c.Jobs[i], part: a.Part, class: e.class, host: l.host, well: l.health == well,
			weight: weigh(int64(c.Jobs[i].Size))}
		s.slots.take(&f)
		e.hold(&f, 1)
		l.heaviest = max(l.heaviest, f.weight)
		s.carries(&f, l, 1)
		if a.kept != nil {
			s.slots.kept--
		}
		flights = append(flights, f)
	}
	if n := len(c.Jobs); n > 0 {
		l.seen, l.after = now, c.Jobs[n-1].Flow
	} else if !e.at.IsZero() && !e.at.After(now) {
		s.gotNothing(a, c, now)
	}
	if c.Passed != 0 {
		l.after = c.Passed
	}
	s.placeAll(l)
	return flights
}

// gotNothing notes why nothing was leased although something is due: it waits for
// memory, for slots of its flow, or for what others have leased.
func (s *scheduler) gotNothing(a *asked, c *gateway.Claimed, now time.Time) {
	switch e := a.entry; {
	case a.Behind == 0 && (c.Needs > 0 || c.Left.Size > 0): // it did not look for small ones behind the large one
		e.rang = true
	case c.Needs > 0:
		if maxShare-e.of.bytes < e.needed() || !s.memory.holds(e.class, e.needed()) {
			s.putAside(e, s.lacks(e))
		}
	case c.Left.Size > 0 && a.Part == gateway.Tried: // of which no bell tells
		e.at = now.Add(triedLeftTime)
	case c.Left.Size > 0:
		s.putAside(e, reason{flow: c.Left.Flow, class: e.class, share: true})
	case len(c.Held) > 0:
		s.heldBack(a, c.Held[0])
	case c.Passed != 0: // the next flows are looked at soon
		e.at = now.Add(peekTime)
	default:
		e.at = now.Add(retryStore)
	}
}

// heldBack notes that what is due is of a flow that has as much as it may.
func (s *scheduler) heldBack(a *asked, f gateway.Flow) {
	switch {
	case a.kept != nil && !a.kept.passed:
		a.kept.passed = true
	case s.slots.full(a.class, f):
		s.putAside(a.entry, reason{flow: f, class: a.class})
	default: // it holds as much of the destination as it may
		s.putAside(a.entry, reason{destination: true})
	}
}

// refused notes that the store leased nothing: all are asked for again then.
func (s *scheduler) refused(wanted []asked, then time.Time) {
	for i := range wanted {
		wanted[i].at = then
		s.placeAll(wanted[i].of)
	}
}

// finish notes how an attempt ended.
func (s *scheduler) finish(f *finished, now time.Time) {
	s.slots.give(f)
	l := s.at(f.Destination, now)
	s.carries(&f.flight, l, -1)
	was := l.health == well
	l.finish(f, now)
	for _, e := range []*entry{&l.fresh, &l.tried} {
		// Who is well waits for other slots than who is not.
		if e.aside.destination || was != (l.health == well) {
			e.aside = reason{}
		}
	}
	s.placeAll(l)
}

// sleep returns how long nothing is to be claimed.
func (s *scheduler) sleep(now time.Time) time.Duration {
	wait := pollTime
	for c := range classes {
		if len(s.order[c]) == 0 || s.slots.free(c) == 0 { // what ends an attempt wakes the queue
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

// DestinationHealth shows the health of one destination.
type DestinationHealth struct {
	Destination gateway.Destination
	Window      int       // attempts that may be made at once
	Flying      int       // attempts under way
	Failures    int       // in a row
	ClosedUntil time.Time // what was tried before waits until then; zero when it need not
}

func (s *scheduler) show(list []DestinationHealth) []DestinationHealth {
	for _, l := range s.all {
		list = append(list, DestinationHealth{Destination: l.destination, Window: l.window, Flying: l.flying(),
			Failures:    max(l.fresh.gate.failures, l.tried.gate.failures),
			ClosedUntil: later(l.fresh.gate.closed, l.tried.gate.closed)})
	}
	slices.SortFunc(list, func(a, b DestinationHealth) int { return cmp.Compare(a.Destination, b.Destination) })
	return list
}

// forget drops the destinations of which nothing is to be remembered.
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
	s.spare = slices.DeleteFunc(s.spare, func(l *destination) bool {
		gone := s.all[l.destination] != l
		l.spare = l.spare && !gone
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

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
	case e.of.destination == gateway.Reports:
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

// wanted returns the claims to make now. It takes their entries out of the order until
// noteClaims puts them back.
func (s *scheduler) wanted(now time.Time) []claim {
	s.unpark(now)
	memory, portions := *s.memory, shareBudget{memory: s.memory}
	list := s.claimRecent(now, &memory, &portions)
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
			if isClaimed(list, e.of) { // once in a claim
				break
			}
			n, why := s.allowed(e, room, atHost)
			if n <= 0 {
				s.park(e, why)
				continue
			}
			h, fits := e.allowance(n, &memory)
			if !fits && memory != *s.memory {
				break // the next claim has memory for it, if this one leaves any
			}
			if !fits {
				s.park(e, s.memoryReason(e))
				continue
			}
			if !portions.grant(e, &h) {
				break
			}
			if full == nil {
				full = s.slots.fullFlows(c)
			}
			room -= n
			memory.take(c, h.bytes)
			atHost[e.of.atHost()] += n
			list = append(list, s.claimFor(e, n, full, h, now))
		}
	}
	return list
}

// claim is a claim with its entry.
type claim struct {
	gateway.Claiming
	*entry
	reservedFor *arrival // the new mail for which it uses a reserved slot, nil if it uses none
}

func isClaimed(list []claim, l *destination) bool {
	return slices.ContainsFunc(list, func(a claim) bool { return a.of == l })
}

// claimFor takes an entry out of the order and returns its claim.
func (s *scheduler) claimFor(e *entry, n int, except []gateway.Flow, h allowance, now time.Time) claim {
	l := e.of
	if e.index >= 0 {
		heap.Remove(&s.order[e.class], e.index)
	}
	e.parkedFor, e.lastClaim, e.newWork = reason{}, now, false
	for f, held := range e.byFlow {
		if held >= l.flowLimit() && len(e.byFlow) < nearWindow { // of many flows none holds too much
			except = append(slices.Clone(except), f)
		}
	}
	return claim{entry: e, Claiming: gateway.Claiming{
		Destination: l.destination, Part: e.part, Limit: n,
		Most:  min(2*l.window, l.width()) + l.fresh.large + l.tried.large,
		After: l.lastFlow, Except: except, Bytes: h.most, Behind: h.behind, Share: h.share,
	}}
}

// allowed returns how many attempts may begin for an entry, given those of the same
// claim. If none may, it returns the reason.
func (s *scheduler) allowed(e *entry, room int, atHost map[reason]int) (int, reason) {
	l := e.of
	n := min(e.room(), l.fits(), room)
	if !e.newWork {
		n = min(n, max(e.room()-l.reserved(), 1))
	}
	if e.class == steady {
		if n = min(n, max(nearWindow-l.underWay(), s.slots.free(steady)-reserve)); n <= 0 {
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

// claimRecent claims new mail that has just arrived and finds no slot among those that
// all share. The newest comes first, and flows with few trials come before others.
func (s *scheduler) claimRecent(now time.Time, memory *memory, portions *shareBudget) (list []claim) {
	i := 0
	for i < len(s.recent) && now.Sub(s.recent[i].came) > recentTime {
		i++
	}
	s.recent = s.recent[i:]
	n := s.slots.reservedNow(now)
	if n <= 0 || len(s.recent) == 0 || len(s.order[trial]) <= s.slots.room(trial) && len(s.parked) == 0 {
		return nil
	}
	heavy := s.slots.flowsWithManyTrials()
	var second *arrival
	for i := len(s.recent) - 1; i >= 0 && len(list) < n; i-- {
		e := s.recent[i]
		if at, wants := e.ready(); !wants || at.After(now) || classOf(e.entry) != trial ||
			s.all[e.of.destination] != e.of || isClaimed(list, e.of) {
			continue
		}
		if e.passedOver || e.parkedFor != (reason{}) {
			// these cannot use a reserved slot
			if second == nil && e.parkedFor.host == "" && !e.parkedFor.memory && !e.parkedFor.share &&
				!e.parkedFor.destination {
				second = e
			}
			continue
		}
		if h, fits := e.allowance(1, memory); fits && portions.grant(e.entry, &h) {
			memory.take(trial, h.bytes)
			list = append(list, s.claimFor(e.entry, 1, heavy, h, now))
			list[len(list)-1].reservedFor = e
		}
	}
	if len(list) > 0 || second == nil {
		return list
	}
	if h, fits := second.allowance(1, memory); fits && portions.grant(second.entry, &h) {
		memory.take(trial, h.bytes)
		list = append(list, s.claimFor(second.entry, 1, nil, h, now))
		list[0].reservedFor = second
	}
	return list
}

// noteClaims notes the jobs that were leased, and returns them with the resources of
// each attempt. A destination that the store did not mention has nothing to do.
func (s *scheduler) noteClaims(wanted []claim, got []gateway.Claimed, now time.Time) (flights []leasedJob) {
	for i := range wanted {
		a := &wanted[i]
		var c gateway.Claimed
		if i < len(got) && got[i].Destination == a.Destination {
			c = got[i]
		}
		flights = append(flights, s.noteLeases(a, &c, now)...)
	}
	return flights
}

// noteLeases notes the jobs that were leased for one claim.
func (s *scheduler) noteLeases(a *claim, c *gateway.Claimed, now time.Time) (flights []leasedJob) {
	l, e := a.of, a.entry
	l.fresh.at, l.tried.at = time.Time{}, c.Tried
	if c.Fresh {
		l.fresh.at = now
	}
	if len(c.Jobs) > 0 {
		l.heaviest = 0
	}
	e.neededBytes, e.leftBytes = int64(c.Needs), 0
	if c.Left.Size > 0 {
		e.leftBytes = memoryFor(int64(c.Left.Size))
	}
	for i := range c.Jobs {
		f := leasedJob{Job: c.Jobs[i], part: a.Part, class: e.class, host: l.host, healthy: l.health == well,
			weight: memoryFor(int64(c.Jobs[i].Size))}
		s.slots.take(&f)
		e.count(&f, 1)
		l.heaviest = max(l.heaviest, f.weight)
		s.countMemory(&f, l, 1)
		if a.reservedFor != nil {
			s.slots.reserved--
		}
		flights = append(flights, f)
	}
	if n := len(c.Jobs); n > 0 {
		l.lastEvent, l.lastFlow = now, c.Jobs[n-1].Flow
	} else if !e.at.IsZero() && !e.at.After(now) {
		s.noteEmptyClaim(a, c, now)
	}
	if c.Passed != 0 {
		l.lastFlow = c.Passed
	}
	s.placeAll(l)
	return flights
}

// noteEmptyClaim notes why no job was leased although one is due. The entry waits for
// memory, for slots of its flow, or for jobs that others have leased.
func (s *scheduler) noteEmptyClaim(a *claim, c *gateway.Claimed, now time.Time) {
	switch e := a.entry; {
	case a.Behind == 0 && (c.Needs > 0 || c.Left.Size > 0): // the claim did not examine small ones behind the large one
		e.newWork = true
	case c.Needs > 0:
		if maxShare-e.of.bytes < e.neededMemory() || !s.memory.holds(e.class, e.neededMemory()) {
			s.park(e, s.memoryReason(e))
		}
	case c.Left.Size > 0 && a.Part == gateway.Tried: // no bell announces such mail
		e.at = now.Add(triedLeftTime)
	case c.Left.Size > 0:
		s.park(e, reason{flow: c.Left.Flow, class: e.class, share: true})
	case len(c.Held) > 0:
		s.noteFlowFull(a, c.Held[0])
	case c.Passed != 0: // the next flows are examined soon
		e.at = now.Add(peekTime)
	default:
		e.at = now.Add(retryStore)
	}
}

// noteFlowFull notes that the due jobs are of a flow that holds as much as it may.
func (s *scheduler) noteFlowFull(a *claim, f gateway.Flow) {
	switch {
	case a.reservedFor != nil && !a.reservedFor.passedOver:
		a.reservedFor.passedOver = true
	case s.slots.full(a.class, f):
		s.park(a.entry, reason{flow: f, class: a.class})
	default: // it holds as much of the destination as it may
		s.park(a.entry, reason{destination: true})
	}
}

// claimFailed notes that the store leased no job because of an error. All claims are made
// again at then.
func (s *scheduler) claimFailed(wanted []claim, then time.Time) {
	for i := range wanted {
		wanted[i].at = then
		s.placeAll(wanted[i].of)
	}
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

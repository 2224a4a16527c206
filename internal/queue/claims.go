package queue

import (
	"container/heap"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

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

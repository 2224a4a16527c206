package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// destination is the state and health of one destination. It changes only by the events
// that it is told, and does no I/O.
type destination struct {
	destination gateway.Destination
	window      int // attempts that may be made at once, of each part
	fresh       entry
	tried       entry
	health      health
	refusals    int          // answers in a row that accepted no message
	host        string       // at which its gateway was the last time, "" if that is not known
	lastFlow    gateway.Flow // the flow that had the last turn
	bytes       int64        // memory of the messages under way
	largeBytes  int64        // of these, for large ones
	heaviest    int64        // of the last claim
	inbound     inboundProbe
	inIdle      bool      // it is in the scheduler's list of idle destinations
	lastEvent   time.Time // the time of the last event
}

// entry is a destination's work of one part: mail that was never tried, or mail that
// was.
type entry struct {
	of          *destination
	part        gateway.Part
	at          time.Time // when there may be work, zero if none is known
	newWork     bool      // a job arrived after the last claim
	lastClaim   time.Time // of the last claim
	neededBytes int64     // size of the message that did not fit the last time, 0 if all did
	leftBytes   int64     // memory for a message that was left because of its flow's share, 0 for none
	underWay    int
	large       int                  // attempts at large messages, which nothing else counts
	byFlow      map[gateway.Flow]int // attempts at small messages, by flow
	gate        gate
	class       class
	index       int    // in the heap of its class, -1 when it is not there
	parkedFor   reason // why it is out of the heap
	listedFor   reason // the scheduler's parked list in which it is
}

// health is what the last attempt says about a gateway.
type health int

const (
	unknown health = iota
	well           // it answered quickly
	ill            // it did not answer
)

// How a destination opens and closes. Its window begins with one attempt and doubles with
// every round of successes. After five failures in a row the destination closes; then one
// attempt is made at least every minute.
const (
	firstWindow  = 1
	maxWindow    = gateway.MaxWidth
	nearWindow   = 8 // a window that is small, as at an agent's endpoint
	maxFailures  = 5
	longestPause = time.Minute
	// shortPause is the time between attempts at new mail for a gateway that answers but
	// accepts no message: it may accept the next one.
	shortPause = 500 * time.Millisecond
	// slowTime is the longest answer time of a gateway in good health. A message may
	// take one second more for every slowRate bytes.
	slowTime = 5 * time.Second
	slowRate = 64 << 10
	// peekTime is how often the queue claims for a destination with hardly any room left,
	// to find mail that has just arrived.
	peekTime = 200 * time.Millisecond
)

// gate is the circuit breaker of one part: it stops attempts at a destination that fails.
type gate struct {
	failures    int       // in a row
	lastFailure time.Time // the last of them
	closedUntil time.Time // nothing is begun before it
}

// fail counts a failure. It reports false for an attempt that was under way together
// with one that failed earlier; the two count as one.
func (g *gate) fail(began, now time.Time) bool {
	if began.Before(g.lastFailure) {
		return false
	}
	g.failures++
	g.lastFailure = now
	if g.tripped() {
		g.close(now.Add(min(time.Second<<min(g.failures-maxFailures, 10), longestPause)))
	}
	return true
}

// tripped reports whether the destination has failed too often to be tried freely.
func (g *gate) tripped() bool { return g.failures >= maxFailures }

func (g *gate) close(until time.Time) {
	if until.After(g.closedUntil) {
		g.closedUntil = until
	}
}

func newDestination(d gateway.Destination, now time.Time) *destination {
	l := &destination{destination: d, window: firstWindow, lastEvent: now}
	l.fresh = entry{of: l, part: gateway.Fresh, index: -1}
	l.tried = entry{of: l, part: gateway.Tried, index: -1}
	return l
}

// entry returns the entry of a part.
func (l *destination) entry(p gateway.Part) *entry {
	if p == gateway.Tried {
		return &l.tried
	}
	return &l.fresh
}

// width returns how many attempts at once a destination may have at most.
func (l *destination) width() int { return l.destination.Kind().Width() }

// atHost is the reason of entries that wait for slots of the destination's host.
func (l *destination) atHost() reason { return reason{host: l.host, well: l.health == well} }

func (l *destination) underWay() int { return l.fresh.underWay + l.tried.underWay }

// light returns how many attempts at small messages are under way.
func (e *entry) light() int { return e.underWay - e.large }

// room returns how many more attempts at the part may begin. Mail that was tried always
// leaves some of them to new mail.
func (e *entry) room() int {
	l := e.of
	width := l.width()
	room := min(l.window-e.light(), width-l.fresh.light()-l.tried.light())
	if e.part == gateway.Tried {
		room = min(room, max(width*3/4, 1)-e.light())
	}
	return room
}

// fits returns how many more messages fit in the destination's share of the memory, if
// they are as large as the largest of the last claim. While any memory is left it is at
// least one, because a claim never returns a message that is too large.
func (l *destination) fits() int {
	room := maxShare - l.bytes
	if room < copies {
		return 0
	}
	return int(max(room/max(l.heaviest, 1), 1))
}

// ready returns when the destination wants to claim mail of the part, and false if it
// does not. A claim is worth a commit of the store when a quarter of the attempts are
// free. Mail that has just arrived is claimed sooner, once in a peekTime, because it
// may be another sender's.
func (e *entry) ready() (at time.Time, wants bool) {
	l := e.of
	room := e.room()
	if e.at.IsZero() || room <= 0 || l.fits() <= 0 {
		return time.Time{}, false
	}
	if e.part == gateway.Tried && l.fresh.gate.tripped() && !l.fresh.at.IsZero() {
		return time.Time{}, false // new mail is the probe
	}
	at = later(e.at, e.gate.closedUntil)
	if room-l.reserved() < max(l.window/4, 1) {
		if !e.newWork {
			return time.Time{}, false
		}
		at = later(at, e.lastClaim.Add(peekTime))
	}
	return at, true
}

// reserved returns how many attempts are reserved for mail that arrives while others
// are under way, so that another flow need not wait for an answer.
func (l *destination) reserved() int { return min(l.window/4, nearWindow) }

// flowLimit returns how many attempts at one part a flow may hold here.
func (l *destination) flowLimit() int { return l.window - l.reserved() }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// due notes that there is work at that time.
func (e *entry) due(at time.Time) {
	if e.at.IsZero() || at.Before(e.at) {
		e.at = at
	}
}

// count adds to the attempts under way, and to those at small messages of the flow.
func (e *entry) count(f *leasedJob, more int) {
	e.underWay += more
	if f.weight > largeMessage {
		e.large += more
		return
	}
	if e.byFlow == nil {
		e.byFlow = make(map[gateway.Flow]int)
	}
	if e.byFlow[f.Flow] += more; e.byFlow[f.Flow] <= 0 {
		delete(e.byFlow, f.Flow)
	}
}

// reopen forgets the failures of the destination, so that it is tried at once.
func (l *destination) reopen(now time.Time) {
	l.fresh.gate, l.tried.gate, l.refusals = gate{}, gate{}, 0
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.due(now)
	l.tried.due(now)
}

// finish notes how an attempt ended.
func (l *destination) finish(f *attemptResult, now time.Time) {
	l.entry(f.part).count(&f.leasedJob, -1)
	l.lastEvent = now
	switch {
	case f.due.IsZero():
	case f.notMade && f.Attempts == 1:
		l.fresh.due(f.due)
	default:
		l.tried.due(f.due)
	}
	if !f.tried {
		return
	}
	l.host = f.reached
	switch {
	case !f.down:
		l.succeeded()
	case f.answered:
		l.refused(f, now)
	default:
		l.failed(f, now)
	}
	if quick := now.Sub(f.began) <= slowTime+time.Duration(f.weight/copies/slowRate)*time.Second; quick &&
		l.health != ill {
		l.health = well
	}
}

// succeeded notes an answer about the message, whatever the answer is: the gateway
// works.
func (l *destination) succeeded() {
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.gate, l.tried.gate, l.refusals = gate{}, gate{}, 0
	l.window = min(l.window+1, l.width())
}

// refused notes an answer that may be about the gateway, about one sender, or about the
// one message. Mail that was refused waits as if the gateway were absent. New mail is
// still tried from time to time.
func (l *destination) refused(f *attemptResult, now time.Time) {
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.gate = gate{
		lastFailure: l.fresh.gate.lastFailure,
		closedUntil: earlier(l.fresh.gate.closedUntil, now.Add(shortPause)),
	}
	if !l.tried.gate.fail(f.began, now) {
		return
	}
	l.refusals++
	l.window = max(l.window/2, 1)
	if l.tried.gate.tripped() {
		l.tried.gate.close(now.Add(min(f.pause, longestPause)))
	}
	if l.refusals >= maxFailures {
		l.window = 1
		l.fresh.gate.close(now.Add(shortPause))
	}
}

// failed notes an attempt without an answer. An attempt at mail that had failed before
// says nothing about new mail, because the message itself may be the cause.
func (l *destination) failed(f *attemptResult, now time.Time) {
	l.health = ill
	counts := l.tried.gate.fail(f.began, now)
	if f.part == gateway.Fresh {
		counts = l.fresh.gate.fail(f.began, now)
	}
	if !counts {
		return
	}
	l.window = max(l.window/2, 1)
	if l.entry(f.part).gate.tripped() {
		l.window = 1
	}
}

// idle reports whether the destination has nothing to do.
func (l *destination) idle() bool {
	return l.underWay() == 0 && l.fresh.at.IsZero() && l.tried.at.IsZero()
}

// forgettable reports whether no knowledge would be lost with the destination.
func (l *destination) forgettable(now time.Time) bool {
	const rest = 10 * time.Minute
	return l.idle() && now.Sub(l.lastEvent) > rest && !l.fresh.gate.closedUntil.After(now) &&
		!l.tried.gate.closedUntil.After(now)
}

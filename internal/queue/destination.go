package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// destination is the health of one destination. It is a value that moves with what it is
// told; it does no I/O.
type destination struct {
	destination gateway.Destination
	window      int // attempts that may be made at once, of each part
	fresh       entry
	tried       entry
	health      health
	soft        int          // answers in a row with which it took nothing
	host        string       // that its gateway was at the last time, "" when nobody knows
	after       gateway.Flow // whose turn it was last
	bytes       int64        // of memory for messages under way
	bulk        int64        // of these, for large ones
	heaviest    int64        // of the last claim
	heard       hearing
	spare       bool      // among those that make room
	seen        time.Time // when something last happened
}

// entry is what a destination has to do of one part: mail that was never tried, or mail
// that was.
type entry struct {
	of     *destination
	part   gateway.Part
	at     time.Time // when there may be something to do, zero when nothing is known
	rang   bool      // something came since the last claim
	asked  time.Time // of the last claim
	needs  int64     // bytes of the message that did not fit the last time, 0 when all did
	left   int64     // bytes of memory for one that was left because of its flow's share, 0 for none
	flying int
	bulky  int                  // of these, large messages, of which nothing else knows
	held   map[gateway.Flow]int // the others, by flow
	gate   gate
	class  class
	index  int    // in the heap of its class, -1 when it is not there
	aside  reason // why it is kept out of the heap
	listed reason // among those that wait for which it was put last
}

// health is what the last attempt said of a gateway.
type health int

const (
	unknown health = iota
	well           // it answered in good time
	ill            // it did not answer
)

// How a destination opens and closes. It begins with one attempt and doubles with every
// round of successes; after five failures in a row it closes, and is tried with
// one attempt every minute at the latest.
const (
	firstWindow = 1
	// as many as one or two HTTP/2 connections carry, of which servers allow a hundred streams and more
	maxWindow    = 192
	nearWindow   = 8 // at an agent's endpoint, and for reports
	tolerated    = 5
	longestPause = time.Minute
	// shortPause is between attempts at new mail for a gateway that answers and takes
	// nothing: it may take the next.
	shortPause = 500 * time.Millisecond
	// slowTime is how long a gateway in good health takes to answer, and slowRate
	// the bytes of a message that take a second more.
	slowTime = 5 * time.Second
	slowRate = 64 << 10
	// peekTime is how often a destination that has hardly any room is asked for what came.
	peekTime = 200 * time.Millisecond
)

// gate keeps attempts at one part away from a destination while it fails.
type gate struct {
	failures int       // in a row
	counted  time.Time // the last of them
	closed   time.Time // nothing is begun before it
}

// fail notes a failure, and reports false when it counts with an earlier one,
// with which it was under way.
func (g *gate) fail(began, now time.Time) bool {
	if began.Before(g.counted) {
		return false
	}
	g.failures++
	g.counted = now
	if g.shut() {
		g.close(now.Add(min(time.Second<<min(g.failures-tolerated, 10), longestPause)))
	}
	return true
}

// shut reports whether the destination has failed too often to be tried freely.
func (g *gate) shut() bool { return g.failures >= tolerated }

func (g *gate) close(until time.Time) {
	if until.After(g.closed) {
		g.closed = until
	}
}

func newDestination(d gateway.Destination, now time.Time) *destination {
	l := &destination{destination: d, window: firstWindow, seen: now}
	l.fresh = entry{of: l, part: gateway.Fresh, index: -1}
	l.tried = entry{of: l, part: gateway.Tried, index: -1}
	return l
}

// entry returns that of a part.
func (l *destination) entry(p gateway.Part) *entry {
	if p == gateway.Tried {
		return &l.tried
	}
	return &l.fresh
}

// width returns how many attempts at once a destination is ever worth. An agent
// at one endpoint is not a gateway; reports are written here.
func (l *destination) width() int {
	if l.destination.Kind() == gateway.KindRemote {
		return maxWindow
	}
	return nearWindow
}

// atHost is the reason of who waits for slots of the destination's host.
func (l *destination) atHost() reason { return reason{host: l.host, well: l.health == well} }

func (l *destination) flying() int { return l.fresh.flying + l.tried.flying }

// light returns how many small messages are under way.
func (e *entry) light() int { return e.flying - e.bulky }

// room returns how many more attempts at a part may be begun. Mail that was tried
// leaves some to new mail whatever it does.
func (e *entry) room() int {
	l := e.of
	width := l.width()
	room := min(l.window-e.light(), width-l.fresh.light()-l.tried.light())
	if e.part == gateway.Tried {
		room = min(room, max(width*3/4, 1)-e.light())
	}
	return room
}

// fits returns how many more messages the destination's share of the memory takes
// when they are as large as the largest of the last claim, and one while anything
// is left of it: what is too large is not claimed.
func (l *destination) fits() int {
	room := maxShare - l.bytes
	if room < copies {
		return 0
	}
	return int(max(room/max(l.heaviest, 1), 1))
}

// ready returns when the destination wants to claim of a part, false when it does not.
// With a quarter of its attempts free it is worth a commit of the store; what has
// just come is asked for sooner, now and then, for it may be another sender's.
func (e *entry) ready() (at time.Time, wants bool) {
	l := e.of
	room := e.room()
	if e.at.IsZero() || room <= 0 || l.fits() <= 0 {
		return time.Time{}, false
	}
	if e.part == gateway.Tried && l.fresh.gate.shut() && !l.fresh.at.IsZero() {
		return time.Time{}, false // new mail is the probe
	}
	at = later(e.at, e.gate.closed)
	if room-l.keeps() < max(l.window/4, 1) {
		if !e.rang {
			return time.Time{}, false
		}
		at = later(at, e.asked.Add(peekTime))
	}
	return at, true
}

// keeps returns how many attempts are kept for what comes while others are under
// way: the next of another flow need not wait for an answer.
func (l *destination) keeps() int { return min(l.window/4, nearWindow) }

// most returns how many attempts at one part a flow may hold here.
func (l *destination) most() int { return l.window - l.keeps() }

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

// due notes that there is something to do at that time.
func (e *entry) due(at time.Time) {
	if e.at.IsZero() || at.Before(e.at) {
		e.at = at
	}
}

// hold counts the attempts under way, and those at small mail of a flow.
func (e *entry) hold(f *flight, more int) {
	e.flying += more
	if f.weight > bulky {
		e.bulky += more
		return
	}
	if e.held == nil {
		e.held = make(map[gateway.Flow]int)
	}
	if e.held[f.Flow] += more; e.held[f.Flow] <= 0 {
		delete(e.held, f.Flow)
	}
}

// reopen forgets how the destination felt.
func (l *destination) reopen(now time.Time) {
	l.fresh.gate, l.tried.gate, l.soft = gate{}, gate{}, 0
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.due(now)
	l.tried.due(now)
}

// finish notes how an attempt ended.
func (l *destination) finish(f *finished, now time.Time) {
	l.entry(f.part).hold(&f.flight, -1)
	l.seen = now
	switch {
	case f.due.IsZero():
	case f.unmade && f.Attempts == 1:
		l.fresh.due(f.due)
	default:
		l.tried.due(f.due)
	}
	if !f.tried {
		return
	}
	l.host = f.found
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

// succeeded notes an answer that speaks of the message, whatever it says.
func (l *destination) succeeded() {
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.gate, l.tried.gate, l.soft = gate{}, gate{}, 0
	l.window = min(l.window+1, l.width())
}

// refused notes an answer that may speak of the gateway, or of one sender, or of
// the one message. Mail that was refused waits as for a gateway that is not
// there; new mail has its try, now and then.
func (l *destination) refused(f *finished, now time.Time) {
	if l.health == ill {
		l.health = unknown
	}
	l.fresh.gate = gate{counted: l.fresh.gate.counted, closed: earlier(l.fresh.gate.closed, now.Add(shortPause))}
	if !l.tried.gate.fail(f.began, now) {
		return
	}
	l.soft++
	l.window = max(l.window/2, 1)
	if l.tried.gate.shut() {
		l.tried.gate.close(now.Add(min(f.pause, longestPause)))
	}
	if l.soft >= tolerated {
		l.window = 1
		l.fresh.gate.close(now.Add(shortPause))
	}
}

// failed notes an attempt without an answer. One at mail that had failed before
// says nothing of the next that comes: what fails again and again may be the
// message.
func (l *destination) failed(f *finished, now time.Time) {
	l.health = ill
	counts := l.tried.gate.fail(f.began, now)
	if f.part == gateway.Fresh {
		counts = l.fresh.gate.fail(f.began, now)
	}
	if !counts {
		return
	}
	l.window = max(l.window/2, 1)
	if l.entry(f.part).gate.shut() {
		l.window = 1
	}
}

// idle reports whether the destination has nothing to do.
func (l *destination) idle() bool {
	return l.flying() == 0 && l.fresh.at.IsZero() && l.tried.at.IsZero()
}

// forgettable reports whether nothing would be lost with the destination.
func (l *destination) forgettable(now time.Time) bool {
	const rest = 10 * time.Minute
	return l.idle() && now.Sub(l.seen) > rest && !l.fresh.gate.closed.After(now) && !l.tried.gate.closed.After(now)
}

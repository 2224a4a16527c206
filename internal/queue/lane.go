package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// lane is how one destination feels. It is a value that moves with what it is
// told; it does no I/O. The share alone is also used by the attempts.
type lane struct {
	destination gateway.Destination
	window      int // attempts that may be made at once
	flying      int
	failures    int                 // in a row, of the destination and not of a message
	counted     time.Time           // of the last failure
	closed      time.Time           // nothing is begun before it
	next        time.Time           // when there may be something to do, zero when nothing is known
	seen        time.Time           // when something last happened
	index       int                 // in the heap, -1 when it is not there
	aside       bool                // out of the heap until an attempt ends
	share       *semaphore.Weighted // of the memory, for its messages
}

// How a lane opens and closes. It begins with one attempt and doubles with every
// round of successes; after five failures in a row it closes, and is tried with
// one attempt every minute at the latest.
const (
	firstWindow  = 1
	maxWindow    = 192 // as many as one or two HTTP/2 connections carry, of which servers allow a hundred streams and more
	nearWindow   = 8   // at an agent's endpoint, and for reports
	tolerated    = 5
	longestPause = time.Minute
	longestAsked = 24 * time.Hour
)

// width returns how many attempts at once a destination is ever worth. An agent
// at one endpoint is not a gateway; reports are written here.
func (l *lane) width() int {
	if l.destination.Kind() == gateway.KindRemote {
		return maxWindow
	}
	return nearWindow
}

// ready returns when the lane wants to claim, false when it does not: with a
// quarter of its attempts free it is worth a commit of the store.
func (l *lane) ready() (at time.Time, wants bool) {
	if l.next.IsZero() || l.flying > l.window-max(l.window/4, 1) {
		return time.Time{}, false
	}
	if l.closed.After(l.next) {
		return l.closed, true
	}
	return l.next, true
}

// room returns how many more attempts may be begun.
func (l *lane) room() int { return l.window - l.flying }

// due notes that there is something to do at that time.
func (l *lane) due(at time.Time) {
	if l.next.IsZero() || at.Before(l.next) {
		l.next = at
	}
}

// reopen forgets how the destination felt.
func (l *lane) reopen(now time.Time) {
	l.failures, l.closed = 0, time.Time{}
	l.due(now)
}

// finish notes how an attempt ended.
func (l *lane) finish(f finished, now time.Time) {
	l.flying--
	l.seen = now
	if !f.due.IsZero() {
		l.due(f.due)
	}
	if f.pause > 0 {
		l.close(now.Add(min(f.pause, longestAsked)))
	}
	if !f.tried {
		return
	}
	if !f.down {
		l.failures = 0
		l.window = min(l.window+1, l.width())
		return
	}
	if f.began.Before(l.counted) {
		return // it failed together with one that was counted
	}
	l.failures++
	l.counted = now
	l.window = max(l.window/2, 1)
	if l.failures >= tolerated {
		l.window = 1
		l.close(now.Add(min(time.Second<<min(l.failures-tolerated, 10), longestPause)))
	}
}

// close keeps attempts away from the destination for a while.
func (l *lane) close(until time.Time) {
	if until.After(l.closed) {
		l.closed = until
	}
}

// idle reports whether nothing would be lost with the lane.
func (l *lane) idle(now time.Time) bool {
	const rest = 10 * time.Minute
	return l.flying == 0 && l.next.IsZero() && now.Sub(l.seen) > rest && !l.closed.After(now)
}

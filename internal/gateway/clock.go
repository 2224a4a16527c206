package gateway

import (
	"context"
	"time"
)

// ClockState says what a store's clock shows, and how far it is believed. A clock is
// doubted after it jumped against the time that passed. It is also doubted at a start
// if it shows an earlier time than before, or a time that is days later.
type ClockState struct {
	Now time.Time
	// Doubt is how long the clock still has to agree with the time that passes before
	// it is believed again. It is zero when the clock is believed.
	Doubt time.Duration
	// Since is the time, by this clock, since when it has run without a jump.
	Since time.Time
	// Jumps counts the jumps of the store's clock. Jumped is the size of the last jump:
	// negative when the clock went back, zero when there was none.
	Jumps  int64
	Jumped time.Duration
	// Started says that the last jump was found at a start, so that the gateway may
	// have been off for that long.
	Started bool
}

// Believed reports whether data that is old by the clock may be removed, and jobs that
// are old by it given up.
func (s *ClockState) Believed() bool { return s.Doubt <= 0 }

// Sleeps reports whether the last jump looks like a machine that slept.
func (s *ClockState) Sleeps() bool { return s.Jumped > 0 && s.Jumped <= LongestSleep && !s.Started }

// Age returns the least time that can have passed since from. While the clock is
// doubted, a time before its last jump is as old as the jump.
func (s *ClockState) Age(from time.Time) time.Duration {
	if !s.Believed() {
		from = latest(from, s.Since)
	}
	return s.Now.Sub(from)
}

// Clocks is the part of a Store that checks its clock. Times are stored as the clock
// shows them, also while it is wrong. When it has jumped, the store corrects the times
// that were written before. A jump is a difference of more than five minutes between
// what the clock shows and the time that passed.
//
//   - After a jump of more than three days, times that were written between the jump
//     before and this one count as if the present clock had written them. A smaller
//     jump is a machine that slept.
//   - A time that lies ahead of the clock counts as now. A job whose next attempt was
//     computed then waits for as long as it was to wait. No lease is longer than
//     MaxLease.
//
// A start continues from the clock's state in the store. Callers that remove data or
// give up jobs ask how far the clock is believed; the store itself does not refuse
// them.
type Clocks interface {
	// Now returns the time that leases and schedules use. All processes on one store
	// have one clock, whatever their machines show. The times given to the other
	// methods are taken from it. It does no I/O.
	Now() time.Time

	// Clock compares the clock with the time that passed, and says how far it is
	// believed. It does no I/O.
	Clock() ClockState

	// NoteClock does what Clock does. It stores the state of the clock now and then,
	// and a jump at once, and corrects the times that were written before the jump. It
	// is to be called every few seconds.
	NoteClock(context.Context) (ClockState, error)
}

// LongestSleep is the longest time for which a machine sleeps: over a long weekend. A
// longer jump means that the clock was set.
const LongestSleep = 3 * day

// Bounds of times that are stored ahead of the clock. A time beyond them was written by
// a clock that was wrong.
const (
	MaxLease = 2 * time.Hour // of a job, with the time for a large message included, and of a part of the gateway
	MaxWait  = maxRetryAfter // until the next attempt
)

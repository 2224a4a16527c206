package gateway

import (
	"context"
	"time"
)

// ClockState says what a store's clock shows, and how far it is believed. A clock
// is doubted after it jumped against the time that passed, and at a start where it
// shows an earlier time than it did before, or one that is days later.
type ClockState struct {
	Now time.Time
	// Doubt is for how long the clock has yet to agree with the time that passes
	// before it is believed again, zero when it is.
	Doubt time.Duration
	// Since is from when on the clock has gone on without a jump, by its own
	// account.
	Since time.Time
	// Jumps counts the jumps of the store's clock. Jumped is by how much it was
	// the last time, negative when the clock went back; zero when there was none.
	Jumps  int64
	Jumped time.Duration
	// Started says that the last jump was found at a start: the gateway may have
	// been off for that long.
	Started bool
}

// Believed reports whether what is old by the clock may be removed and given up.
func (s *ClockState) Believed() bool { return s.Doubt <= 0 }

// Sleeps reports whether the last jump looks like a machine that slept.
func (s *ClockState) Sleeps() bool { return s.Jumped > 0 && s.Jumped <= LongestSleep && !s.Started }

// Age returns how long ago a time was, at the least: while the clock is doubted, what
// was before its last jump is as old as the jump.
func (s *ClockState) Age(from time.Time) time.Duration {
	if !s.Believed() {
		from = latest(from, s.Since)
	}
	return s.Now.Sub(from)
}

// Clocks is the part of a Store that doubts its clock. Times are stored as the
// clock shows them, also while it is wrong; when it has jumped, the store puts
// right what was written before. A jump is a difference of more than five minutes
// between what the clock shows and the time that passed.
//
//   - After a jump of more than three days, what was written since the jump before
//     it counts as if it had been written by the clock as it is now. Less is a
//     machine that slept.
//   - A time that lies ahead of the clock counts as now. A job whose next attempt
//     was computed then waits for as long as it was to wait, and no lease is longer
//     than MaxLease.
//
// A start continues what the store remembers of the clock. How far the clock is
// believed is for those to ask who remove and give up: the store does as it is
// told.
type Clocks interface {
	// Now returns the time by which leases and schedules go. All processes on one
	// store have one clock, whatever their machines show; the times given to the
	// other methods are taken from it. It does no I/O.
	Now() time.Time

	// Clock compares the clock with the time that passed, and says how far it is
	// believed. It does no I/O.
	Clock() ClockState

	// NoteClock does as Clock, stores now and then what is known of the clock, and
	// a jump at once, and puts right what was written before that. It is to be
	// called every few seconds.
	NoteClock(context.Context) (ClockState, error)
}

// LongestSleep is how long a machine sleeps: over a long weekend. What jumps
// further was set.
const LongestSleep = 3 * day

// Bounds of times that are stored ahead of the clock: what is beyond them was
// written by a clock that was wrong.
const (
	MaxLease = 2 * time.Hour // of a job, the time for a large message included, and of a part of the gateway
	MaxWait  = maxRetryAfter // until the next attempt
)

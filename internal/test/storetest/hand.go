package storetest

import (
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/wallclock"
)

// Hand is a clock that a test sets. The time that it shows and the time for which the
// process has run are separate.
type Hand struct {
	mu    sync.Mutex
	shows time.Time
	ran   time.Duration
	moved func() // called after the clock was set; nil for nothing
}

// NewHand returns a clock that shows the given time.
func NewHand(shows time.Time) *Hand { return &Hand{shows: shows} }

// Clock returns the clock in the form that a store reads.
func (h *Hand) Clock() wallclock.Clock { return wallclock.Clock{Now: h.Now, Ran: h.Ran} }

// Now returns the time that the clock shows.
func (h *Hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shows
}

// Ran returns how long the process has run.
func (h *Hand) Ran() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ran
}

// Pass lets time pass, and the clock shows it.
func (h *Hand) Pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shows, h.ran = h.shows.Add(d), h.ran+d
}

// Stop lets time pass, but the clock does not show it.
func (h *Hand) Stop(d time.Duration) {
	h.move(0, d)
}

// Set moves the clock while no time passes.
func (h *Hand) Set(by time.Duration) { h.move(by, 0) }

func (h *Hand) move(shows, ran time.Duration) {
	h.mu.Lock()
	h.shows, h.ran = h.shows.Add(shows), h.ran+ran
	moved := h.moved
	h.mu.Unlock()
	if moved != nil {
		moved()
	}
}

// Tell has fn called whenever the clock is set.
func (h *Hand) Tell(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moved = fn
}

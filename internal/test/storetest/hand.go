package storetest

import (
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/wallclock"
)

// Hand is a clock that a test sets. What it shows and how long the process has run
// are two things.
type Hand struct {
	mu    sync.Mutex
	shows time.Time
	ran   time.Duration
	moved func() // told after the clock was set, nil for nobody
}

// NewHand returns a clock that shows the time.
func NewHand(shows time.Time) *Hand { return &Hand{shows: shows} }

// Clock returns the clock as a store reads it.
func (h *Hand) Clock() wallclock.Clock { return wallclock.Clock{Now: h.Now, Ran: h.Ran} }

// Now returns what the clock shows.
func (h *Hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shows
}

// Ran returns for how long the process has run.
func (h *Hand) Ran() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ran
}

// Pass lets time pass, which the clock shows.
func (h *Hand) Pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shows, h.ran = h.shows.Add(d), h.ran+d
}

// Stop lets time pass, which the clock does not show.
func (h *Hand) Stop(d time.Duration) {
	h.move(0, d)
}

// Set moves the clock, and no time passes.
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

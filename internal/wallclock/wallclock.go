// Package wallclock tells the time, and beside it how long the process has run. The
// first can be set, and be wrong; the second cannot.
package wallclock

import "time"

// Clock is where a program reads the time. The zero value reads the system's.
type Clock struct {
	// Now returns the time that the machine shows; nil is time.Now.
	Now func() time.Time
	// Ran returns for how long the process has run, or how much later than
	// another call it was made: by a clock that nobody sets. Time that a machine
	// sleeps may be missing. nil is the monotonic clock of the system.
	Ran func() time.Duration
	// Obeyed says that every time that is told is true, and none is compared with
	// Ran. For tests that let a year pass between two calls.
	Obeyed bool
}

// Complete returns the clock with the system's readings where it has none.
func (c Clock) Complete() Clock {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ran == nil {
		began := time.Now()
		c.Ran = func() time.Duration { return time.Since(began) }
	}
	return c
}

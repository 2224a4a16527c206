// Package wallclock tells the time, and how long the process has run. The time can be set
// and be wrong; the run time cannot.
package wallclock

import "time"

// Clock is the source of the time for a program. The zero value reads the system's clocks.
type Clock struct {
	// Now returns the time that the machine shows; nil is time.Now.
	Now func() time.Time
	// Ran returns for how long the process has run, by a clock that nobody sets. Only
	// differences between two calls matter. The time that a machine sleeps may be
	// missing. nil is the monotonic clock of the system.
	Ran func() time.Duration
	// Obeyed says that every time is true and is not compared with Ran. It is for tests
	// that let a year pass between two calls.
	Obeyed bool
}

// Complete returns the clock with the system's clocks in place of nil members.
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

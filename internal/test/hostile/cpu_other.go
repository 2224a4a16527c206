//go:build !linux

package hostile

import "time"

func ownThread() (release func()) { return func() {} }

var began = time.Now()

// spent returns the time since the beginning, where no thread has a clock of its own
// that every system knows: the least of several measurements counts.
func spent() time.Duration { return time.Since(began) }

//go:build !linux

package hostile

import "time"

func ownThread() (release func()) { return func() {} }

var began = time.Now()

// spent returns the time since the beginning, because other systems have no common clock
// of one thread. The lowest of several measurements counts.
func spent() time.Duration { return time.Since(began) }

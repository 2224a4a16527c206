//go:build race

package queue_test

import "runtime"

// underRace reports whether the race detector is on, which makes everything ten times
// as slow.
const underRace = true

// All timers of a synctest bubble have one context of the race detector. When channels
// of two of them are received from on two threads at once, the detector crashes (Go 1.26).
func init() { runtime.GOMAXPROCS(1) }

//go:build race

package sim

import "runtime"

// defaultSeeds are few: the race detector makes a simulation many times as slow.
// The rest are run without it.
const (
	defaultSeeds = 100
	replays      = 10
)

// All timers of a synctest bubble have one context of the race detector. When channels
// of two of them are received from on two threads at once, the detector crashes (Go 1.26).
func init() { runtime.GOMAXPROCS(1) }

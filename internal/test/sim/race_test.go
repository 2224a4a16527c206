//go:build race

package sim

import "runtime"

// defaultSeeds is small, because the race detector makes a simulation many times
// slower. The other seeds run without it.
const (
	defaultSeeds = 100
	replays      = 10
)

// All timers of a synctest bubble share one context of the race detector. The detector
// crashes (Go 1.26) when two threads receive at the same time from channels of two
// timers.
func init() { runtime.GOMAXPROCS(1) }

//go:build race

package sim

// defaultSeeds are few: the race detector makes a simulation many times as slow.
// The rest are run without it.
const (
	defaultSeeds = 100
	replays      = 10
)

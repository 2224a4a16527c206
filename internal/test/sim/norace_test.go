//go:build !race

package sim

const (
	defaultSeeds = 10_000
	replays      = 100 // seeds that are run twice
)

//go:build race

package hostile

// scale divides sizes under the race detector, which makes reading ten times as slow.
const scale = 8

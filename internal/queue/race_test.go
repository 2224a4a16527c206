//go:build race

package queue_test

// slow says that the race detector makes everything ten times as slow.
const slow = true

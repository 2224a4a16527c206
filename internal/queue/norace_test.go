//go:build !race

package queue_test

const slow = false

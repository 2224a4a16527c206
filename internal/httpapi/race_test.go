//go:build race

package httpapi_test

// slower is a generous factor by which the race detector slows the gateway down.
const slower = 5

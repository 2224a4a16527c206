//go:build race

package httpapi_test

// slower is how much the race detector slows the gateway down, generously.
const slower = 5

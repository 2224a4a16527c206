//go:build !race

package hostile

const scale = 1

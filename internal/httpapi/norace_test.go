//go:build !race

package httpapi_test

const slower = 1

// Package slow marks the tests that take long, so that the inner loop can do without.
package slow

import "testing"

// Test skips the test under -short, as make quick and make test run it, and says why it
// takes long. make check runs it.
func Test(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left to make check: " + why)
	}
}

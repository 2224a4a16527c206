// Package slow marks the tests that take long, so that quick runs can leave them out.
package slow

import "testing"

// Attr is the attribute of a test that takes long: the reason. The report of make check
// prints it.
const Attr = "slow"

// Test skips the test under -short, as make quick and make test run it, and says why it
// takes long. make check runs it.
func Test(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		t.Skip("left to make check: " + why)
	}
	t.Attr(Attr, why)
}

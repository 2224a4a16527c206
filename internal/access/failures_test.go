package access_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/access"
)

func TestFailures(t *testing.T) {
	f := access.NewFailures()
	now := time.Unix(1_700_000_000, 0)
	for i := range 10 {
		if wait := f.Count("192.0.2.1", now); wait != 0 {
			t.Fatalf("failure %d: got a wait of %v, want none", i+1, wait)
		}
	}
	if wait := f.Count("192.0.2.1", now.Add(20*time.Second)); wait != 40*time.Second {
		t.Errorf("failure 11 after 20 s: got a wait of %v, want 40s", wait)
	}
	if wait := f.Count("192.0.2.2", now); wait != 0 {
		t.Errorf("another address: got a wait of %v, want none", wait)
	}
	if wait := f.Count("192.0.2.1", now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later: got a wait of %v, want none", wait)
	}
}

// TestFailuresOfAClockThatWentBack: no address waits until a time from before the clock
// went back.
func TestFailuresOfAClockThatWentBack(t *testing.T) {
	f := access.NewFailures()
	now := time.Unix(1_700_000_000, 0)
	for range 11 {
		f.Count("192.0.2.1", now.AddDate(1, 0, 0))
	}
	if wait := f.Count("192.0.2.1", now); wait != 0 {
		t.Errorf("after the clock went back by a year: got a wait of %v, want none", wait)
	}
}

// TestFailuresOfANetwork: an IPv6 /64 counts as one address, and IPv4 written as IPv6
// is IPv4.
func TestFailuresOfANetwork(t *testing.T) {
	f := access.NewFailures()
	now := time.Unix(1_700_000_000, 0)
	var v6, v4 time.Duration
	for i := range 11 {
		v6 = f.Count(fmt.Sprintf("2001:db8::%x", i+1), now)
		v4 = f.Count([]string{"192.0.2.9", "::ffff:192.0.2.9"}[i%2], now)
	}
	if v6 == 0 || v4 == 0 {
		t.Errorf("eleven failures of one network: got waits %v and %v, want some", v6, v4)
	}
}

// TestFailuresAreBounded: a million addresses do not fill the memory, and an address
// that keeps guessing is still delayed.
func TestFailuresAreBounded(t *testing.T) {
	f := access.NewFailures()
	now := time.Unix(1_700_000_000, 0)
	for i := range 100_000 {
		f.Count(fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), now)
	}
	for range 10 {
		f.Count("192.0.2.1", now)
	}
	if f.Count("192.0.2.1", now) == 0 {
		t.Error("an address that keeps guessing is not delayed")
	}
}

package sim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// clock is the clock of a machine. The wall clock may be wrong. The monotonic clock, by
// which a process measures durations, runs as on a real machine.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration // of the true time, negative when the clock is behind
	stands time.Time     // the time at which the clock stands still, zero while it runs
}

// Now returns the time that the machine shows.
func (c *clock) Now() time.Time {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stands.IsZero() {
		return shift(now, c.stands.Sub(now.Round(0)))
	}
	return shift(now, c.ahead)
}

// jump sets the clock to that much ahead of the true time.
func (c *clock) jump(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.stands = ahead, time.Time{}
}

// stop makes the clock stand still.
func (c *clock) stop() {
	shown := c.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stands = shown
}

// wrong reports whether the clock shows a time other than the true one.
func (c *clock) wrong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead != 0 || !c.stands.IsZero()
}

// reading is how package time stores a time with two readings. These are 33 bits of
// seconds since 1885 and 30 bits of nanoseconds, after a bit that says so, and the
// monotonic clock. TestShift fails if that changes.
type reading struct {
	wall uint64
	mono int64
	loc  *time.Location
}

const twoReadings = 1 << 63

func (r reading) time() time.Time { return *(*time.Time)(unsafe.Pointer(&r)) }

// shift returns the current time of a machine with a wall clock that is ahead by the
// given duration, with the monotonic reading. Package time has no function for that,
// and in simulated time it has no monotonic reading at all.
func shift(now time.Time, ahead time.Duration) time.Time {
	wall := now.Round(0).Add(ahead)
	since := wall.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return reading{
		wall: twoReadings | uint64(since)<<30 | uint64(wall.Nanosecond()),
		mono: int64(time.Since(reading{wall: twoReadings}.time())),
		loc:  time.UTC,
	}.time()
}

// TestShift: the wall reading moves, and the difference between two readings does not.
func TestShift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, by := range []time.Duration{-100 * 24 * time.Hour, -1500 * time.Millisecond, time.Nanosecond,
			5 * time.Minute, 20 * 365 * 24 * time.Hour} {
			before := time.Now()
			after := shift(before, by)
			if got := after.UnixNano() - before.UnixNano(); got != int64(by) {
				t.Errorf("the wall clock moved by %v, want %v", time.Duration(got), by)
			}
			if got := after.Sub(shift(before, 0)); got != 0 {
				t.Errorf("two readings of one moment differ by %v, want 0", got)
			}
			time.Sleep(time.Second)
			if got := shift(time.Now(), 0).Sub(after); got != time.Second {
				t.Errorf("two moments differ by %v, want one second", got)
			}
			if got := time.Since(shift(before, 0)); got != time.Second {
				t.Errorf("%v passed, want one second", got)
			}
		}
	})
}

// TestClock: a clock that jumped runs on, a stopped clock does not, and both can be set
// right.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		show := func(want time.Duration) {
			t.Helper()
			if got := c.Now().Round(0).Sub(time.Now().Round(0)); got != want {
				t.Errorf("the clock is %v ahead, want %v", got, want)
			}
		}
		show(0)
		c.jump(time.Hour)
		time.Sleep(time.Minute)
		show(time.Hour)
		c.stop()
		time.Sleep(time.Minute)
		show(59 * time.Minute)
		c.jump(0)
		show(0)
		if c.wrong() {
			t.Error("a clock that was set right is wrong")
		}
	})
}

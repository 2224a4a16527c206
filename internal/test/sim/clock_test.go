package sim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// clock is what a machine shows. The wall clock may be wrong; the monotonic one
// beside it, by which a process measures how long something takes, goes on as it
// does on a real machine.
type clock struct {
	mu     sync.Mutex
	ahead  time.Duration // of the true time, negative when it is behind
	stands time.Time     // what a clock shows that stands, zero for one that goes
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

// jump sets the clock: so much ahead of the true time.
func (c *clock) jump(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.stands = ahead, time.Time{}
}

// stop has the clock stand at what it shows.
func (c *clock) stop() {
	shown := c.Now().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stands = shown
}

// wrong reports whether the clock shows another time than the true one.
func (c *clock) wrong() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead != 0 || !c.stands.IsZero()
}

// reading is how package time keeps a time that has two readings: 33 bits of seconds
// since 1885 and 30 of nanoseconds, behind a bit that says so, and the monotonic
// clock. TestShift notices when that changes.
type reading struct {
	wall uint64
	mono int64
	loc  *time.Location
}

const twoReadings = 1 << 63

func (r reading) time() time.Time { return *(*time.Time)(unsafe.Pointer(&r)) }

// shift returns the time now as a machine has it whose wall clock is so much ahead,
// with the monotonic reading beside it. Package time has no function for that, and
// in simulated time no monotonic reading at all.
func shift(now time.Time, ahead time.Duration) time.Time {
	wall := now.Round(0).Add(ahead)
	since := wall.Unix() - time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	return reading{
		wall: twoReadings | uint64(since)<<30 | uint64(wall.Nanosecond()),
		mono: int64(time.Since(reading{wall: twoReadings}.time())),
		loc:  time.UTC,
	}.time()
}

// TestShift: the wall reading moves, and what lies between two readings does not.
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
				t.Errorf("%v lie between two readings of one moment, want none", got)
			}
			time.Sleep(time.Second)
			if got := shift(time.Now(), 0).Sub(after); got != time.Second {
				t.Errorf("%v lie between two moments, want one second", got)
			}
			if got := time.Since(shift(before, 0)); got != time.Second {
				t.Errorf("%v went by, want one second", got)
			}
		}
	})
}

// TestClock: a clock that jumped goes on, one that stands does not, and both can
// be set right.
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

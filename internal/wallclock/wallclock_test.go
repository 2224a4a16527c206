package wallclock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/wallclock"
)

// TestComplete: what is missing is read from the system, and what is there stays.
func TestComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		c := wallclock.Clock{Now: func() time.Time { return set }}.Complete()
		before := c.Ran()
		time.Sleep(time.Hour)
		if got := c.Ran() - before; got != time.Hour {
			t.Errorf("Ran went on by %v in an hour, whatever Now shows", got)
		}
		if got := c.Now(); !got.Equal(set) {
			t.Errorf("Now = %v, want %v", got, set)
		}
		if got := (wallclock.Clock{}).Complete().Now(); !got.Equal(time.Now()) {
			t.Errorf("Now of the zero Clock = %v, want the system's %v", got, time.Now())
		}
	})
}

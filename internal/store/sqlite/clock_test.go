package sqlite

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/test/faultfs"
)

// TestLeasesEndWithTheirProcess: no other process has the database open at a start. So
// no role of the gateway waits for a process that was killed, whatever its clock
// showed.
func TestLeasesEndWithTheirProcess(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 300 * 24 * time.Hour} {
		dir := scratch(t)
		s := mustOpenOn(t, faultfs.New(t), fresh(t, dir), small)
		then := dawn.Add(ahead)
		if held, err := s.Hold(t.Context(), "purge", "the process that is killed", then,
			then.Add(30*time.Second)); !held || err != nil {
			t.Fatal(held, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpenOn(t, faultfs.New(t), dir, small)
		if held, err := s.Hold(t.Context(), "purge", "the only process there is", dawn,
			dawn.Add(30*time.Second)); !held || err != nil {
			t.Errorf("after a clock that was %v ahead Hold = %v, %v, want that it holds the lease", ahead, held, err)
		}
	}
}

// TestLeaseAheadOfTheClock: a lease that ends later than any lease can last has ended,
// even while the gateway runs.
func TestLeaseAheadOfTheClock(t *testing.T) {
	t.Parallel()
	s := mustOpenOn(t, faultfs.New(t), fresh(t, scratch(t)), small)
	ahead := dawn.Add(300 * 24 * time.Hour)
	if held, err := s.Hold(t.Context(), "purge", "one", ahead, ahead.Add(30*time.Second)); !held || err != nil {
		t.Fatal(held, err)
	}
	if held, err := s.Hold(t.Context(), "purge", "two", dawn, dawn.Add(30*time.Second)); !held || err != nil {
		t.Errorf("Hold = %v, %v, want that it holds the lease", held, err)
	}
}

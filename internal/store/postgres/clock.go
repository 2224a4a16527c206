package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// maxSkew is how far the clock of a machine may be from the database's. Leases
// and schedules go by the database's, whatever the distance; signatures and the
// times that people see go by the machine's.
const maxSkew = 30 * time.Second

// clock is the database's clock as this process knows it.
type clock struct{ ahead atomic.Int64 } // of ours, ns

func (c *clock) offset() time.Duration { return time.Duration(c.ahead.Load()) }

// Now returns the time by the clock of the database, which all replicas share:
// what they claim, settle and accept by it is in one order.
func (s *Store) Now() time.Time { return time.Now().Add(s.clock.offset()) }

// measureClock compares the clocks. The answer was made somewhere between the
// question and its arrival; a slow one says too little to be believed.
func (s *Store) measureClock(ctx context.Context) error {
	before := time.Now()
	var there int64
	if err := s.pool.QueryRow(ctx, `SELECT `+serverTime).Scan(&there); err != nil {
		return err
	}
	took := time.Since(before)
	off := time.UnixMicro(there).Sub(before.Round(0).Add(took / 2))
	if took < 100*time.Millisecond || off.Abs() > maxSkew {
		s.clock.ahead.Store(int64(off))
	}
	return nil
}

// tooFar refuses clocks that are further apart than is safe.
func tooFar(off time.Duration) error {
	if off.Abs() <= maxSkew {
		return nil
	}
	return fmt.Errorf("the database's clock is %v away from this machine's, and %v is the most that is safe: set the clocks", off.Round(time.Second), maxSkew)
}

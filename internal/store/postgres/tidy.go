package postgres

import (
	"context"
	"time"
)

// The queue writes every row several times and then deletes it. The server's own
// vacuum comes once a minute unless it is told otherwise, and in a minute at full
// speed the table would grow to a hundred times of what waits in it.
const (
	tidyTime = 2 * time.Second
	tidyRows = 1000 // dead ones
)

// tidy has the queue's table vacuumed whenever enough of it is dead, until the
// store is closed. One replica at a time does it; the others pass.
func (s *Store) tidy() {
	for s.pausedFor(tidyTime) {
		ctx, cancel := context.WithTimeout(s.life, time.Minute)
		err := s.borrow(ctx, func(c conn) error {
			dead, err := c.number(ctx, `SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'job'::regclass`)
			if err == nil && dead >= tidyRows {
				_, err = c.change(ctx, `VACUUM (SKIP_LOCKED) job`)
			}
			return err
		})
		if err != nil && s.life.Err() == nil {
			s.log.Debug("the queue's table was not vacuumed", "cause", err)
		}
		cancel()
	}
}

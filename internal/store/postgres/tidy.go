package postgres

import (
	"context"
	"time"
)

// The queue writes every row several times and then deletes it. The server's own
// vacuum comes once a minute unless it is told otherwise, and in a minute at full
// speed the table would grow to a hundred times of what waits in it.
const (
	tidyTime = 250 * time.Millisecond
	tidyRows = 4000 // that are dead by this replica's doing
	// Where very many wait, one dead row in so many of them does not matter, and
	// a vacuum that has to read all their indexes does.
	tidyShare = 20
)

// tidy has the queue's table vacuumed whenever enough of it is dead, until the
// store is closed. It is not made shorter: that would lock out the queue, and the
// server's own vacuum does it.
func (s *Store) tidy() {
	waiting := int64(0)
	for s.pausedFor(tidyTime) {
		dead := s.deadJobs.Load()
		if dead < tidyRows+waiting/tidyShare {
			continue
		}
		s.deadJobs.Add(-dead)
		ctx, cancel := context.WithTimeout(s.life, time.Minute)
		err := s.borrow(ctx, func(c conn) (err error) {
			if _, err = c.change(ctx, `VACUUM (SKIP_LOCKED, TRUNCATE off) job`); err == nil {
				waiting, err = c.number(ctx,
					`SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'job'::regclass`)
			}
			return err
		})
		if err != nil && s.life.Err() == nil {
			s.log.Debug("the queue's table was not vacuumed", "cause", err)
		}
		cancel()
	}
}

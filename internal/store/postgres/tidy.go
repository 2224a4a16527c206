package postgres

import (
	"context"
	"time"
)

// The queue writes every row several times and then deletes it. By default the server's
// own vacuum runs once a minute. In a minute at full speed the table would grow to a
// hundred times its waiting rows.
const (
	tidyTime = 250 * time.Millisecond
	tidyRows = 4000 // dead rows that this replica has left
	// When very many jobs wait, relatively few dead rows do no harm, but a vacuum has
	// to read all of the indexes.
	tidyShare = 20
)

// tidy vacuums the queue's table whenever enough of its rows are dead, until the store
// is closed. It does not truncate the table, which would lock out the queue; the
// server's own vacuum does that.
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

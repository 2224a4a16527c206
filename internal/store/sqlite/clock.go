package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Now returns the time by the clock of this machine, which is the only one that writes.
func (s *Store) Now() time.Time { return s.clock.Now() }

// Clock returns how far the clock is trusted.
func (s *Store) Clock() gateway.ClockState { return s.watch.State(s.Now()) }

// openClock continues the stored record of the clock. No other process has the database
// open, so every lease on a role in the gateway has ended.
func (s *Store) openClock() error {
	if s.clock.Obeyed {
		_, err := s.writer.exec(`DELETE FROM lease`)
		return err
	}
	stored, err := s.writer.storedClock()
	if err != nil {
		return err
	}
	var newest int64
	err = s.writer.query(`SELECT received FROM message WHERE id = (SELECT max(id) FROM message)`,
		func(st *sqlite3.Stmt) error {
			newest = st.ColumnInt64(0)
			return nil
		})
	if err != nil {
		return err
	}
	if err := s.watch.Open(stored, newest, s.Now()); err != nil {
		return err
	}
	value := ""
	err = s.writer.transaction(func() error {
		if _, err = s.writer.exec(`DELETE FROM lease`); err == nil {
			value, err = s.writer.saveClock(s.watch)
		}
		return err
	})
	if err == nil {
		s.watch.IsStored(value)
		s.writer.note = s.noteJump
	}
	return err
}

// noteJump stores the record of the clock after a jump.
func (s *Store) noteJump(w *writer) error {
	if !s.watch.Jumped(s.Now()) {
		return nil
	}
	value, err := w.saveClock(s.watch)
	w.changes = append(w.changes, func(*store.Directory) { s.watch.IsStored(value) })
	return err
}

// storedClock returns the stored record of the clock, "" for none.
func (c *statements) storedClock() (stored string, err error) {
	err = c.query(`SELECT value FROM setting WHERE name = ?`, func(st *sqlite3.Stmt) error {
		stored = st.ColumnText(0)
		return nil
	}, store.ClockSetting)
	return stored, err
}

// saveClock stores the record of the clock, and returns the stored value.
func (w *writer) saveClock(watch *store.Watch) (value string, err error) {
	stored, err := w.storedClock()
	if err != nil {
		return "", err
	}
	if value, err = watch.Merge(stored, w.next.message-1); err != nil {
		return "", err
	}
	_,
		err = w.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		store.ClockSetting, value)
	return value, err
}

// NoteClock stores the record of the clock, and corrects times that are ahead of it.
func (s *Store) NoteClock(ctx context.Context) (gateway.ClockState, error) {
	state := s.Clock()
	if err := s.correctTimes(ctx, state.Now); err != nil {
		return state, err
	}
	return state, s.noteClock(ctx)
}

// noteClock stores the record of the clock, if that is due.
func (s *Store) noteClock(ctx context.Context) error {
	if !s.watch.IsDue() {
		return nil
	}
	return s.write(ctx, 256, func(w *writer) error {
		w.keepsPrefetch = true
		value, err := w.saveClock(s.watch)
		w.changes = append(w.changes, func(*store.Directory) { s.watch.IsStored(value) })
		return err
	})
}

// correctionRows is how many jobs one read looks at, and one write changes.
const correctionRows = 500

// correctTimes corrects the times that are ahead of the clock, a few rows at a time.
func (s *Store) correctTimes(ctx context.Context, now time.Time) error {
	return s.watch.CorrectTimes(now, func(times *store.Times, after int64) (last int64, more bool, err error) {
		var list []jobCorrection
		err = s.read(ctx, func(r *reader) (err error) {
			list, last, more, err = r.jobsAhead(times, after)
			return err
		})
		if err == nil && len(list) > 0 {
			err = s.write(ctx, 64*len(list), func(w *writer) error { return w.correctJobs(list) })
		}
		return last, more, err
	}, func(times *store.Times) error {
		return s.write(ctx, 0, func(w *writer) error { return w.correctRest(times) })
	})
}

// jobCorrection is a job with its corrected times.
type jobCorrection struct {
	store.JobTimes
	id, fence   int64
	was         int64 // Changed before
	destination gateway.Destination
}

// jobsAhead looks at the next jobs, and returns those with times ahead of the clock.
func (r *reader) jobsAhead(times *store.Times, after int64) (list []jobCorrection, last int64, more bool, err error) {
	rows := 0
	err = r.query(`SELECT id, fence, destination, changed, begun, first_try, last_try, due, lease, redriven, since, troubles FROM job
			WHERE id > ? ORDER BY id LIMIT ?`, func(st *sqlite3.Stmt) error {
		j := jobCorrection{id: st.ColumnInt64(0), fence: st.ColumnInt64(1),
			destination: gateway.Destination(st.ColumnText(2)), was: st.ColumnInt64(3)}
		j.JobTimes = store.JobTimes{Changed: j.was, Begun: st.ColumnInt64(4), FirstTry: st.ColumnInt64(5),
			LastTry: st.ColumnInt64(6),
			Due:     st.ColumnInt64(7), Lease: st.ColumnInt64(8), Redriven: st.ColumnInt64(9),
			Since: st.ColumnInt64(10), Troubles: st.ColumnText(11)}
		if rows, last = rows+1, j.id; times.CorrectJob(&j.JobTimes) {
			list = append(list, j)
		}
		return nil
	}, after, correctionRows)
	return list, last, rows == correctionRows, err
}

// correctJobs writes the times of jobs that were not changed in the meantime.
func (w *writer) correctJobs(list []jobCorrection) error {
	for i := range list {
		j := &list[i]
		_,
			err := w.exec(`UPDATE job SET changed = ?, begun = ?, first_try = ?, last_try = ?, due = ?, lease = ?, redriven = ?, since = ?, troubles = ?
				WHERE id = ? AND fence = ? AND changed = ?`,
			j.Changed, j.Begun, optional(j.FirstTry), optional(j.LastTry), j.Due, optional(j.Lease),
			optional(j.Redriven), optional(j.Since),
			optional(j.Troubles), j.id, j.fence, j.was)
		if err != nil {
			return err
		}
		w.work = append(w.work, j.destination)
	}
	return nil
}

// correctRest corrects times ahead of the clock outside of jobs and messages. These
// tables are small.
func (w *writer) correctRest(times *store.Times) error {
	for _, column := range []string{"first_seen", "last_seen", "first_signed", "last_signed"} {
		if _, err := w.exec(`UPDATE peer SET `+column+` = ?1 WHERE `+column+` > ?2`, times.Now(),
			times.Before()); err != nil {
			return err
		}
	}
	if _, err := w.exec(`UPDATE receipt SET due = ?1 WHERE due > ?2`, times.Now(), times.Before()); err != nil {
		return err
	}
	return w.correctLeases(times)
}

// correctLeases corrects leases and delays in inboxes that were written by a clock that
// was ahead. They last for as long from now. An entry that was marked read then may be
// taken now.
func (w *writer) correctLeases(times *store.Times) error {
	_, err := w.exec(`UPDATE delivery SET hidden = CASE WHEN hidden IS NULL THEN ?1 ELSE ?1 + min(max(hidden - taken, 0), ?3) END,
			taken = ?1 WHERE seq IN (SELECT d.seq FROM agent a CROSS JOIN delivery d INDEXED BY delivery_taken
				ON d.agent = a.id AND d.state = 5 AND d.pushed IS NULL AND d.read IS NOT NULL AND coalesce(d.hidden, d.read) > ?2
				WHERE d.hidden IS NULL OR d.taken > ?2)`,
		times.Now(), times.Before(), gateway.MaxVisibility.Microseconds())
	return err
}

// correctParcel corrects the times of a parcel that decide whether it is retried.
func (s *Store) correctParcel(p *gateway.Parcel) {
	times := s.watch.Times(s.Now())
	times.CorrectParcel(p)
}

package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// maxSkew is how far the clock of a machine may be from the database's. Leases and
// schedules always use the database's clock. Signatures, and the times that people see,
// use the machine's.
const maxSkew = 30 * time.Second

// clock is the database's clock as this process knows it: its time when it was
// measured, plus the time that the process has run since then. Setting the machine's
// own clock does not change it.
type clock struct {
	ahead atomic.Int64 // how far it is ahead of the machine's clock, ns
	began atomic.Int64 // its time when the process began, µs
}

func (c *clock) offset() time.Duration { return time.Duration(c.ahead.Load()) }

// Now returns the time by the database's clock, which all replicas share. So their
// claims, settlements and acceptances have times in one order.
func (s *Store) Now() time.Time {
	return time.UnixMicro(s.clock.began.Load() + s.machine.Ran().Microseconds()).UTC()
}

// Clock returns how far the database's clock is trusted.
func (s *Store) Clock() gateway.ClockState { return s.watch.State(s.Now()) }

// measureClock compares the clocks. The server read its clock at some moment between
// the query and its answer. A slow answer is too inexact to be used, unless the clocks
// differ by more than maxSkew.
func (s *Store) measureClock(ctx context.Context) error {
	before, ran := s.machine.Now(), s.machine.Ran()
	var there int64
	if err := s.pool.QueryRow(ctx, `SELECT `+serverTime).Scan(&there); err != nil {
		return err
	}
	if s.shows != nil {
		there = s.shows().UnixMicro()
	}
	took := s.machine.Ran() - ran
	off := time.UnixMicro(there).Sub(before.Round(0).Add(took / 2))
	began := there - (ran + took/2).Microseconds()
	moved := time.Duration(began-s.clock.began.Load()) * time.Microsecond
	if took < 100*time.Millisecond || off.Abs() > maxSkew || moved.Abs() > maxSkew {
		s.clock.ahead.Store(int64(off))
		s.clock.began.Store(began)
	}
	return nil
}

// tooFar refuses clocks that differ by more than maxSkew.
func tooFar(off time.Duration) error {
	if off.Abs() <= maxSkew {
		return nil
	}
	return fmt.Errorf("the database's clock differs from this machine's by %v, and at most %v is safe: set the clocks",
		off.Round(time.Second), maxSkew)
}

// openClock continues the stored record of the database's clock.
func (s *Store) openClock(ctx context.Context) error {
	if s.machine.Obeyed {
		return nil
	}
	var stored string
	var newest int64
	err := s.read(ctx, func(ctx context.Context, c conn) (err error) {
		if stored, err = c.storedClock(ctx, ""); err != nil {
			return err
		}
		newest, err = c.number(ctx, `SELECT received FROM message WHERE id = (SELECT max(id) FROM message)`)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.watch.Open(stored, newest, s.Now()); err != nil {
		return err
	}
	return s.noteClock(ctx)
}

// storedClock returns the stored record of the clock, "" for none.
func (c conn) storedClock(ctx context.Context, hold string) (stored string, err error) {
	err = c.query(ctx, `SELECT value FROM setting WHERE name = $1 `+hold, []any{store.ClockSetting}, []any{&stored},
		func() error { return nil })
	return stored, err
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
	value, err := write(ctx, s, func(ctx context.Context, t *tx) (string, error) { return t.saveClock(ctx, s.watch) })
	if err == nil {
		s.watch.IsStored(value)
	}
	return err
}

// noteJump stores the record of the clock after a jump, before anything is written that
// was decided after the jump. So no crash keeps such a write without the jump.
func (s *Store) noteJump(ctx context.Context) error {
	if !s.watch.Jumped(s.Now()) {
		return nil
	}
	value := ""
	err := s.commit(ctx, func(ctx context.Context, t *tx) (err error) {
		value, err = t.saveClock(ctx, s.watch)
		return err
	})
	if err == nil {
		s.watch.IsStored(value)
	}
	return err
}

// saveClock stores the record of the clock, and returns the stored value.
func (t *tx) saveClock(ctx context.Context, watch *store.Watch) (string, error) {
	stored, err := t.storedClock(ctx, `FOR UPDATE`)
	if err != nil {
		return "", err
	}
	newest, err := t.number(ctx, `SELECT coalesce(max(id), 0) FROM message`)
	if err != nil {
		return "", err
	}
	value, err := watch.Merge(stored, newest)
	if err != nil {
		return "", err
	}
	_,
		err = t.change(ctx,
		`INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		store.ClockSetting, value)
	return value, err
}

// correctionRows is how many jobs one transaction looks at.
const correctionRows = 1000

// correctTimes corrects the times that are ahead of the clock, a few rows at a time.
// Other replicas may do the same at the same time.
func (s *Store) correctTimes(ctx context.Context, now time.Time) error {
	return s.watch.CorrectTimes(now, func(times *store.Times, after int64) (last int64, more bool, err error) {
		type part struct {
			last int64
			more bool
		}
		p, err := write(ctx, s, func(ctx context.Context, t *tx) (p part, err error) {
			p.last, p.more, err = t.correctJobs(ctx, times, after)
			return p, err
		})
		return p.last, p.more, err
	}, func(times *store.Times) error {
		return s.do(ctx, func(ctx context.Context, t *tx) error { return t.correctRest(ctx, times) })
	})
}

// correctJobs corrects the times of the next jobs.
func (t *tx) correctJobs(ctx context.Context, times *store.Times, after int64) (last int64, more bool, err error) {
	var ids, changed, begun, first, tried, due, lease, redriven, since []int64
	var id int64
	var to string
	var troubles []string
	var j store.JobTimes
	rows := 0
	err = t.query(ctx,
		`SELECT id, destination, changed, begun, coalesce(first_try, 0), coalesce(last_try, 0), due, coalesce(lease, 0), coalesce(redriven, 0), coalesce(since, 0), coalesce(troubles, '')
			FROM job WHERE id > $1 ORDER BY id LIMIT $2 FOR UPDATE`, []any{after, correctionRows},
		[]any{&id, &to, &j.Changed, &j.Begun, &j.FirstTry, &j.LastTry, &j.Due, &j.Lease, &j.Redriven, &j.Since,
			&j.Troubles}, func() error {
			rows, last = rows+1, id
			n := j
			if !times.CorrectJob(&n) {
				return nil
			}
			t.work = append(t.work, gateway.Destination(to))
			ids, changed, begun, first = append(ids, id), append(changed, n.Changed), append(begun, n.Begun),
				append(first, n.FirstTry)
			tried, due, lease = append(tried, n.LastTry), append(due, n.Due), append(lease, n.Lease)
			redriven, since, troubles = append(redriven, n.Redriven), append(since, n.Since),
				append(troubles, n.Troubles)
			return nil
		})
	if err != nil || len(ids) == 0 {
		return last, rows == correctionRows, err
	}
	t.dead += len(ids)
	_,
		err = t.change(ctx,
		`UPDATE job j SET changed = u.changed, begun = u.begun, first_try = nullif(u.first, 0), last_try = nullif(u.tried, 0), due = u.due,
				lease = nullif(u.lease, 0), redriven = nullif(u.redriven, 0), since = nullif(u.since, 0), troubles = nullif(u.troubles, '')
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
				u (id, changed, begun, first, tried, due, lease, redriven, since, troubles) WHERE j.id = u.id`,
		ids, changed, begun, first, tried, due, lease, redriven, since, troubles)
	return last, rows == correctionRows, err
}

// correctRest corrects times ahead of the clock outside of jobs and messages. These
// tables are small.
func (t *tx) correctRest(ctx context.Context, times *store.Times) error {
	_, err := t.change(ctx, `UPDATE peer SET first_seen = least(first_seen, $1), last_seen = least(last_seen, $1),
			first_signed = least(first_signed, $1), last_signed = least(last_signed, $1)
			WHERE last_seen > $2 OR last_signed > $2`, times.Now(), times.Before())
	if err == nil {
		_, err = t.change(ctx, `UPDATE receipt SET due = $1 WHERE due > $2`, times.Now(), times.Before())
	}
	if err == nil {
		err = t.correctLeases(ctx, times)
	}
	return err
}

// correctLeases corrects leases and delays in inboxes that were written by a clock that
// was ahead. They last for as long from now. An entry that was marked read then may be
// taken now.
func (t *tx) correctLeases(ctx context.Context, times *store.Times) error {
	_, err := t.change(ctx, `UPDATE delivery d SET taken = $1, hidden = CASE WHEN d.hidden IS NULL THEN $1::bigint
				ELSE $1::bigint + least(greatest(d.hidden - d.taken, 0), $3::bigint) END
			FROM (SELECT n.seq FROM agent a CROSS JOIN LATERAL (SELECT seq, hidden, taken FROM delivery
					WHERE agent <= a.id AND (agent, coalesce(hidden, read)) > (a.id, $2::bigint) AND agent <> 0 AND NOT pushed AND state = 5
						AND read IS NOT NULL) n
				WHERE n.hidden IS NULL OR n.taken > $2::bigint) ahead
			WHERE d.seq = ahead.seq`, times.Now(), times.Before(), gateway.MaxVisibility.Microseconds())
	return err
}

// correctParcel corrects the times of a parcel that decide whether it is retried.
func (s *Store) correctParcel(p *gateway.Parcel) {
	times := s.watch.Times(s.Now())
	times.CorrectParcel(p)
}

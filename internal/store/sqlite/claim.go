package sqlite

import (
	"context"
	"math"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Waiting lists destinations that have jobs. It skips from one destination to the next,
// and to the first job of each, however many jobs wait.
func (s *Store) Waiting(ctx context.Context, after gateway.Destination, limit int) (list []gateway.Waiting, err error) {
	err = s.read(ctx, func(r *reader) error {
		list = nil // the read may run again
		return r.query(`WITH RECURSIVE next (name) AS (
				SELECT (SELECT destination FROM job INDEXED BY job_turn WHERE destination > ?1 ORDER BY destination LIMIT 1)
				UNION ALL
				SELECT (SELECT destination FROM job INDEXED BY job_turn WHERE destination > name ORDER BY destination LIMIT 1)
					FROM next WHERE name IS NOT NULL
				LIMIT ?2)
			SELECT name, (SELECT due FROM job INDEXED BY job_turn WHERE destination = name AND turn < ?3 ORDER BY turn, due LIMIT 1),
				(SELECT due FROM job INDEXED BY job_turn WHERE destination = name AND turn = ?3 ORDER BY due LIMIT 1)
			FROM next WHERE name IS NOT NULL`,
			func(st *sqlite3.Stmt) error {
				list = append(list, store.Waiting(st.ColumnText(0), st.ColumnInt64(1), st.ColumnInt64(2)))
				return nil
			}, string(after), limit, int64(gateway.TurnTried))
	})
	return list, err
}

// Claim leases jobs that are due.
func (s *Store) Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error) {
	if err := s.refusePaused(); err != nil {
		return nil, err
	}
	if err := s.correctTimes(ctx, now); err != nil {
		return nil, err
	}
	var out []gateway.Claimed
	size := 0
	for i := range wanted {
		size += 64 * wanted[i].Limit
	}
	err := s.write(ctx, size, func(w *writer) error {
		w.keepsPrefetch = true
		out = make([]gateway.Claimed, len(wanted))
		for i := range wanted {
			out[i].Destination = wanted[i].Destination
			if err := w.claim(&out[i], &wanted[i], now, lease); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err // the write may still change out
	}
	return out, nil
}

// claim leases jobs of one destination. A leased job is due after its lease, so that
// later claims do not read it.
func (w *writer) claim(c *gateway.Claimed, wanted *gateway.Claiming, now, lease time.Time) error {
	limit, err := w.room(wanted, now)
	if err != nil {
		return err
	}
	due, err := w.claimable(c, wanted, limit, store.Micros(now))
	if err != nil {
		return err
	}
	c.Jobs = make([]gateway.Job, len(due))
	for i := range due {
		if err := w.lease(&due[i].Job, now, lease); err != nil {
			return err
		}
		c.Jobs[i] = due[i].Job
		if err := w.prefetch(due[i]); err != nil {
			return err
		}
	}
	return w.rest(c, wanted, now)
}

// room returns how many jobs of a destination may still be leased.
func (w *writer) room(wanted *gateway.Claiming, now time.Time) (room int, err error) {
	room = wanted.Limit
	if wanted.Most > 0 {
		err = w.query(`SELECT count(*) FROM job INDEXED BY job_lease WHERE lease > ? AND destination = ?`,
			func(s *sqlite3.Stmt) error {
				room = min(room, wanted.Most-s.ColumnInt(0))
				return nil
			}, store.Micros(now), string(wanted.Destination))
	}
	return max(room, 0), err
}

// claimable returns the jobs to lease, and notes in c which flows are held.
func (w *writer) claimable(c *gateway.Claimed, wanted *gateway.Claiming, limit int,
	now int64) ([]store.QueuedJob, error) {
	if limit == 0 {
		return nil, nil
	}
	var list []store.QueuedJob
	if wanted.Part != gateway.Tried {
		flows, err := w.flows(c, wanted, limit, now)
		if err != nil {
			return nil, err
		}
		for _, flow := range flows {
			if list, err = w.due(list, wanted.Destination, gateway.TurnOf(flow, 0), now,
				store.Quota(wanted, limit, len(flows))); err != nil {
				return nil, err
			}
		}
	}
	of := func(j *store.QueuedJob) *gateway.Job { return &j.Job }
	return store.Choose(c, wanted, limit, of, list, func() ([]store.QueuedJob, error) {
		return w.due(nil, wanted.Destination, gateway.TurnTried, now, store.LookAhead(wanted, limit))
	})
}

// flows returns up to limit flows whose new mail for the destination is due, beginning
// with the one after After. It skips from one flow to the next.
func (w *writer) flows(c *gateway.Claimed, wanted *gateway.Claiming, limit int, now int64) ([]gateway.Flow, error) {
	look := store.NewFlowSearch(c, wanted, limit)
	leap := func(from, to int64) error {
		for more := look.More(); more; more = more && look.More() {
			var due int64
			more = false
			err := w.query(`SELECT turn, due FROM job INDEXED BY job_turn WHERE destination = ? AND turn > ? AND turn < ? ORDER BY turn, due LIMIT 1`,
				func(s *sqlite3.Stmt) error {
					from, due, more = s.ColumnInt64(0), s.ColumnInt64(1), true
					return nil
				}, string(wanted.Destination), from, to)
			if err != nil {
				return err
			}
			if more {
				look.At(gateway.Flow(from), due <= now)
			}
		}
		return nil
	}
	after := int64(wanted.After)
	if err := leap(after, int64(gateway.TurnTried)); err != nil {
		return nil, err
	}
	err := leap(math.MinInt64, min(after, math.MaxInt64-1)+1)
	return look.Flows, err
}

// due appends the first due jobs of a turn.
func (w *writer) due(list []store.QueuedJob, d gateway.Destination, turn gateway.Turn, now int64,
	limit int) ([]store.QueuedJob, error) {
	err := w.query(`SELECT `+jobColumns+` FROM job j INDEXED BY job_turn JOIN message m ON m.id = j.message
			WHERE j.destination = ? AND j.turn = ? AND j.due <= ? ORDER BY j.due, j.id LIMIT ?`, func(s *sqlite3.Stmt) error {
		list = append(list, scanJob(s))
		return nil
	}, string(d), int64(turn), now, limit)
	return list, err
}

// lease begins an attempt. Everything about it is written before it is made.
func (w *writer) lease(j *gateway.Job, now, lease time.Time) error {
	store.Lease(j, store.Micros(now), store.Micros(lease))
	_,
		err := w.exec(`UPDATE job SET state = ?, changed = ?, fence = ?, attempts = ?, due = ?, lease = ?, first_try = ?, last_try = ?, turn = ?
			WHERE id = ?`,
		int64(j.State), store.Micros(now), j.Fence, j.Attempts, store.Micros(j.Due), store.Micros(j.Lease),
		store.Micros(j.FirstTry),
		store.Micros(j.LastTry), int64(gateway.TurnOf(j.Flow, j.Attempts)), int64(j.ID))
	return err
}

// rest notes in c which jobs of a destination are left.
func (w *writer) rest(c *gateway.Claimed, wanted *gateway.Claiming, now time.Time) error {
	return w.query(`SELECT (SELECT due FROM job INDEXED BY job_turn WHERE destination = ?1 AND turn < ?2 ORDER BY turn, due LIMIT 1),
			(SELECT due FROM job INDEXED BY job_turn WHERE destination = ?1 AND turn = ?2 AND (lease IS NULL OR lease <= ?3) ORDER BY due LIMIT 1)`,
		func(s *sqlite3.Stmt) error {
			store.Rest(c, wanted, store.FromMicros(s.ColumnInt64(0)), store.FromMicros(s.ColumnInt64(1)), now)
			return nil
		}, string(c.Destination), int64(gateway.TurnTried), store.Micros(now))
}

package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Settle ends an attempt.
func (s *Store) Settle(ctx context.Context, e gateway.Settlement) error {
	for _, r := range e.Results {
		if _, err := store.Decided(r.Event); err != nil {
			return err
		}
	}
	return s.writeCalmly(ctx, 128*(1+len(e.Results)), func(w *writer) error {
		j, err := w.job(e.Job)
		if err != nil {
			return err
		}
		if j.ID == 0 || j.Fence != e.Fence || j.State != gateway.Delivering {
			return gateway.ErrStale
		}
		w.beside = true // but for the parcel of this one
		w.packed.drop(j.ID)
		if e.Unmade {
			return w.giveBack(&j, &e)
		}
		return w.settle(j, &e)
	})
}

// giveBack leaves a job as if it had not been leased.
func (w *writer) giveBack(j *queued, e *gateway.Settlement) error {
	if err := store.Return(&j.Job); err != nil {
		return err
	}
	due := w.dueAgain(j, e)
	_,
		err := w.exec(`UPDATE job SET state = ?, changed = ?, attempts = ?, due = ?, lease = NULL, first_try = ?, last_try = ?, turn = ? WHERE id = ?`,
		int64(j.State), store.Micros(e.Now), j.Attempts, due, optional(store.Micros(j.FirstTry)),
		optional(store.Micros(j.LastTry)),
		int64(gateway.TurnOf(j.Flow, j.Attempts)), int64(j.ID))
	return err
}

// dueAgain returns when a job is due after its attempt, and rings where that is at
// once.
func (w *writer) dueAgain(j *queued, e *gateway.Settlement) int64 {
	if e.Due.After(e.Now) {
		return store.Micros(e.Due)
	}
	w.work = append(w.work, j.Destination)
	return store.Micros(e.Now)
}

// undecided is a delivery that waits for its job. Of a report it is one that
// failed and is not reported yet.
type undecided struct {
	seq   int64
	agent gateway.AgentID
}

func (w *writer) undecided(j *queued) (list []undecided, err error) {
	err = w.query(`SELECT seq, agent FROM delivery INDEXED BY delivery_message WHERE message = ? AND job = ?`,
		func(s *sqlite3.Stmt) error {
			list = append(list, undecided{s.ColumnInt64(0), gateway.AgentID(s.ColumnInt64(1))})
			return nil
		}, j.row, int64(j.ID))
	return list, err
}

// settle applies a settlement to its job.
func (w *writer) settle(j queued, e *gateway.Settlement) error {
	results := make(map[int64]*gateway.Result, len(e.Results))
	for i := range e.Results {
		results[int64(e.Results[i].Delivery)] = &e.Results[i]
	}
	waiting, err := w.undecided(&j)
	if err != nil {
		return err
	}
	end := ending{job: j, now: e.Now, report: e.Report && j.Destination != gateway.Reports && w.lives(j.SenderAgent)}
	left := len(waiting)
	for _, d := range waiting {
		if r := results[d.seq]; r != nil {
			left--
			if err := w.decide(&end, d, r); err != nil {
				return err
			}
		}
	}
	if left == 0 {
		_, err := w.exec(`DELETE FROM job WHERE id = ?`, int64(j.ID))
		return err
	}
	return w.postpone(&j, e)
}

// postpone leaves a job to its next attempt.
func (w *writer) postpone(j *queued, e *gateway.Settlement) error {
	state, err := gateway.Next(j.State, gateway.Postpone)
	if err != nil {
		return err
	}
	_,
		err = w.exec(`UPDATE job SET state = ?, changed = ?, due = ?, lease = NULL, rekeys = rekeys + ?, code = ?, reason = ?, since = ?, same = ?,
			troubles = ? WHERE id = ?`,
		int64(state), store.Micros(e.Now), w.dueAgain(j, e), store.Bit(e.Rekey), optional(string(e.Code)),
		optional(e.Reason),
		optional(store.Micros(e.Since)), e.Same, optional(e.Troubles), int64(j.ID))
	return err
}

// ending is how deliveries of one job end at one moment.
type ending struct {
	job    queued
	now    time.Time
	report bool          // failures are reported
	by     gateway.JobID // the job that reports them, 0 while there is none
}

// decide ends one delivery.
func (w *writer) decide(e *ending, d undecided, r *gateway.Result) error {
	if e.job.Destination == gateway.Reports {
		_, err := w.exec(`UPDATE delivery SET job = NULL WHERE seq = ?`, d.seq)
		return err
	}
	state, err := store.Decided(r.Event)
	if err != nil {
		return err
	}
	switch {
	case state == gateway.Delivered && r.Inbox && d.agent != 0:
		return w.enter(e, d)
	case state == gateway.Delivered:
		_, err := w.exec(`UPDATE delivery SET state = ?, changed = ?, job = NULL, attempts = ? WHERE seq = ?`,
			int64(state), store.Micros(e.now), e.job.Attempts, d.seq)
		return err
	}
	return w.bury(e, d, state, r)
}

// enter puts what was to be pushed into the agent's inbox, behind what readers
// have seen of it.
func (w *writer) enter(e *ending, d undecided) error {
	_,
		err := w.exec(`UPDATE delivery SET seq = ?1, place = coalesce(place, seq), pushed = NULL, state = ?2, changed = ?3, job = NULL, attempts = ?4
			WHERE seq = ?5`,
		w.next.delivery, int64(gateway.Delivered), store.Micros(e.now), e.job.Attempts, d.seq)
	w.rings = append(w.rings, store.Entry{Agent: d.agent, Seq: w.next.delivery})
	w.next.delivery++
	return err
}

// bury makes a delivery that failed a dead letter, and has it reported.
func (w *writer) bury(e *ending, d undecided, state gateway.State, r *gateway.Result) (err error) {
	if e.report && e.by == 0 {
		if e.by, err = w.insertJob(e.job.row, gateway.Reports, e.job.Flow, e.now, e.job.Size); err != nil {
			return err
		}
	}
	_,
		err = w.exec(`UPDATE delivery SET state = ?1, changed = ?2, job = ?3, attempts = ?4, code = ?5, reason = ?6, first_try = ?7, last_try = ?8,
			dead = ?2 WHERE seq = ?9`,
		int64(state), store.Micros(e.now), optional(int64(e.by)), e.job.Attempts, optional(string(r.Code)),
		optional(r.Reason),
		optional(store.Micros(e.job.FirstTry)), optional(store.Micros(e.job.LastTry)), d.seq)
	return err
}

// Expire gives up jobs that were begun before then.
func (s *Store) Expire(ctx context.Context, begun, now time.Time, limit int,
	report func(gateway.Job) bool) (int, error) {
	if err := s.refusePaused(); err != nil {
		return 0, err
	}
	if err := s.putRight(ctx, now); err != nil {
		return 0, err
	}
	times := s.watch.Times(now)
	return s.expiry.Step(limit, func(after store.Place) (gone int, last store.Place, err error) {
		var did int
		var at store.Place
		err = s.write(ctx, 256*limit, func(w *writer) error {
			old, last, err := w.expired(&times, begun, after, limit)
			if err != nil {
				return err
			}
			for i := range old {
				if err := w.giveUp(old[i], now, report); err != nil {
					return err
				}
			}
			did, at = len(old), last
			return nil
		})
		if err != nil {
			return 0, last, err // did is not ours while the write goes on
		}
		return did, at, nil
	})
}

// expired returns the next jobs that were begun before then and are not leased, and the
// last that it looked at, the zero Place when it came to the end.
func (w *writer) expired(times *store.Times, begun time.Time, after store.Place, limit int) (old []queued,
	last store.Place, err error) {
	most, looked := store.LookedAt*limit, 0
	err = w.query(`SELECT `+jobColumns+` FROM job j INDEXED BY job_begun JOIN message m ON m.id = j.message
			WHERE (j.begun, j.id) > (?, ?) AND j.begun < ? ORDER BY j.begun, j.id LIMIT ?`, func(s *sqlite3.Stmt) error {
		j := scanJob(s)
		looked, last = looked+1, store.Place{Time: store.Micros(j.Begun), ID: int64(j.ID)}
		if store.Micros(j.Lease) <= times.Now() && times.At(last.Time, j.row).Before(begun) {
			old = append(old, j)
		}
		if len(old) == limit {
			return errEnough
		}
		return nil
	}, after.Time, after.ID, store.Micros(begun), most)
	switch {
	case errors.Is(err, errEnough):
		return old, last, nil
	case looked < most:
		last = store.Place{}
	}
	return old, last, err
}

// giveUp ends a job as an attempt does that was the last.
func (w *writer) giveUp(j queued, now time.Time, report func(gateway.Job) bool) error {
	waiting, err := w.undecided(&j)
	if err != nil {
		return err
	}
	e := gateway.Settlement{Job: j.ID, Now: now, Report: report(j.Job)}
	code := j.Code
	if code == "" {
		code = amtp.CodeRecipientUnavailable
	}
	for _, d := range waiting {
		e.Results = append(e.Results, gateway.Result{Delivery: gateway.DeliveryID(d.seq), Event: gateway.GiveUp,
			Code: code, Reason: j.Reason})
	}
	return w.settle(j, &e)
}

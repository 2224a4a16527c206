package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Settle ends an attempt.
func (s *Store) Settle(ctx context.Context, e gateway.Settlement) error {
	if err := store.CheckResults(&e); err != nil {
		return err
	}
	return s.writeBackground(ctx, 128*(1+len(e.Results)), func(w *writer) error {
		j, err := w.job(e.Job)
		if err != nil {
			return err
		}
		if !j.LeasedUnder(e.Fence) {
			return gateway.ErrStale
		}
		w.keepsPrefetch = true // only the parcel of this job changes
		w.prefetched.drop(j.ID)
		end := store.Ending{Settlement: e, Job: j}
		if e.Unmade {
			return w.settle(&end, nil)
		}
		waiting, err := w.waiting(&j)
		if err != nil {
			return err
		}
		return w.settle(&end, waiting)
	})
}

// waiting returns the deliveries that wait for a job.
func (w *writer) waiting(j *store.QueuedJob) (list []store.WaitingDelivery, err error) {
	if !j.Destination.Kind().Decides() {
		return nil, nil
	}
	err = w.query(`SELECT seq, agent FROM delivery INDEXED BY delivery_message WHERE message = ? AND job = ?`,
		func(s *sqlite3.Stmt) error {
			list = append(list, store.WaitingDelivery{Seq: s.ColumnInt64(0), Agent: gateway.AgentID(s.ColumnInt64(1))})
			return nil
		}, j.Row, int64(j.ID))
	return list, err
}

// settle applies a settlement to its job.
func (w *writer) settle(e *store.Ending, waiting []store.WaitingDelivery) error {
	var rows store.SettlementRows
	if err := rows.Add(e, waiting, w.lives(e.Job.SenderAgent)); err != nil {
		return err
	}
	w.work = append(w.work, rows.Work...)
	if err := w.decide(&rows); err != nil {
		return err
	}
	for i := range rows.Postponed {
		if err := w.postpone(&rows.Postponed[i]); err != nil {
			return err
		}
	}
	for i := range rows.Returned {
		if err := w.giveBack(&rows.Returned[i]); err != nil {
			return err
		}
	}
	for _, id := range rows.Gone {
		if _, err := w.exec(`DELETE FROM job WHERE id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// decide writes the results of deliveries.
func (w *writer) decide(rows *store.SettlementRows) error {
	for i := range rows.Done {
		if err := w.finish(&rows.Done[i]); err != nil {
			return err
		}
	}
	for i := range rows.Entered {
		if err := w.enter(&rows.Entered[i]); err != nil {
			return err
		}
	}
	for i := range rows.Dead {
		if err := w.writeDead(&rows.Dead[i]); err != nil {
			return err
		}
	}
	for i := range rows.Reports {
		if err := w.report(&rows.Reports[i]); err != nil {
			return err
		}
	}
	return nil
}

// report adds the job of a report.
func (w *writer) report(r *store.ReportRow) error {
	_, err := w.insertJob(r.Message, gateway.Reports, r.Flow, store.FromMicros(r.Now), r.Size, r.Payload)
	return err
}

// finish ends a delivery that reached the other side.
func (w *writer) finish(r *store.DoneRow) error {
	_, err := w.exec(`UPDATE delivery SET state = ?, changed = ?, job = NULL, attempts = ? WHERE seq = ?`,
		int64(r.State), r.Now, r.Attempts, r.Seq)
	return err
}

// enter moves a delivery that was to be pushed to the end of the agent's inbox, after
// all entries that readers have seen.
func (w *writer) enter(r *store.DoneRow) error {
	_, err := w.exec(`UPDATE delivery SET seq = ?1, place = coalesce(place, seq), pushed = NULL, state = ?2, changed = ?3,
			job = NULL, attempts = ?4 WHERE seq = ?5`,
		w.next.delivery, int64(r.State), r.Now, r.Attempts, r.Seq)
	w.rings = append(w.rings, store.Entry{Agent: r.Agent, Seq: w.next.delivery})
	w.next.delivery++
	return err
}

// writeDead makes a failed delivery a dead letter.
func (w *writer) writeDead(r *store.DeadRow) error {
	_, err := w.exec(`UPDATE delivery SET state = ?1, changed = ?2, job = NULL, attempts = ?3, code = ?4, reason = ?5,
			first_try = ?6, last_try = ?7, dead = ?2 WHERE seq = ?8`,
		int64(r.State), r.Now, r.Attempts, optional(r.Code), optional(r.Reason),
		optional(r.First), optional(r.Last), r.Seq)
	return err
}

// postpone enters the next attempt of a job.
func (w *writer) postpone(r *store.PostponedRow) error {
	_, err := w.exec(`UPDATE job SET state = ?, changed = ?, due = ?, lease = NULL, rekeys = rekeys + ?, code = ?,
			reason = ?, since = ?, same = ?, troubles = ?, payload = ? WHERE id = ?`,
		int64(r.State), store.Micros(r.Now), r.Until, store.Bit(r.Rekey), optional(string(r.Code)),
		optional(r.Reason), optional(store.Micros(r.Since)), r.Same, optional(r.Troubles), optional(r.Payload),
		int64(r.Job))
	return err
}

// giveBack restores a job as if it had not been leased.
func (w *writer) giveBack(r *store.ReturnedRow) error {
	_, err := w.exec(`UPDATE job SET state = ?, changed = ?, attempts = ?, due = ?, lease = NULL, first_try = ?,
			last_try = ?, turn = ? WHERE id = ?`,
		int64(r.State), r.Now, r.Attempts, r.Until, optional(store.Micros(r.FirstTry)),
		optional(store.Micros(r.LastTry)), int64(gateway.TurnOf(r.Flow, r.Attempts)), int64(r.ID))
	return err
}

// Expire gives up jobs that were begun before that time.
func (s *Store) Expire(ctx context.Context, begun, now time.Time, limit int,
	report func(gateway.Job) bool) (int, error) {
	if err := s.refusePaused(); err != nil {
		return 0, err
	}
	if err := s.correctTimes(ctx, now); err != nil {
		return 0, err
	}
	times := s.watch.Times(now)
	return s.expiry.Step(limit, func(after store.Position) (gone int, last store.Position, err error) {
		var did int
		var at store.Position
		err = s.write(ctx, 256*limit, func(w *writer) error {
			old, last, err := w.expired(&times, begun, after, limit)
			if err != nil {
				return err
			}
			for _, j := range old {
				waiting, err := w.waiting(&j)
				if err != nil {
					return err
				}
				end := store.GiveUp(j, waiting, now, report(j.Job))
				if err := w.settle(&end, waiting); err != nil {
					return err
				}
			}
			did, at = len(old), last
			return nil
		})
		if err != nil {
			return 0, last, err // the write may still change did
		}
		return did, at, nil
	})
}

// expired returns the next jobs that were begun before that time and are not leased.
// last is the position of the last row that it looked at, zero when it reached the end.
func (w *writer) expired(times *store.Times, begun time.Time, after store.Position, limit int) ([]store.QueuedJob,
	store.Position, error) {
	search := store.NewSearch[store.QueuedJob](limit)
	err := w.scan(`SELECT `+jobColumns+` FROM job j INDEXED BY job_begun JOIN message m ON m.id = j.message
			WHERE (j.begun, j.id) > (?, ?) AND j.begun < ? ORDER BY j.begun, j.id LIMIT ?`, func(s *sqlite3.Stmt) bool {
		j := scanJob(s)
		at := store.Position{Time: store.Micros(j.Begun), ID: int64(j.ID)}
		old := store.Micros(j.Lease) <= times.Now() && times.At(at.Time, j.Row).Before(begun)
		return search.Look(at, j, old)
	}, after.Time, after.ID, store.Micros(begun), search.Most())
	return search.Found, search.Last(), err
}

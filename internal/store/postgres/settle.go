package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// settleItem is one settlement in a batch.
type settleItem struct {
	gateway.Settlement
	stale bool
}

// Settle ends an attempt.
func (s *Store) Settle(ctx context.Context, e gateway.Settlement) error {
	if err := store.CheckResults(&e); err != nil {
		return err
	}
	end := &settleItem{Settlement: e}
	err := s.settlements.Do(ctx, end, 128*(1+len(e.Results)))
	if errors.Is(err, errFallback) {
		return s.do(ctx, func(ctx context.Context, t *tx) error {
			one := &settleItem{Settlement: e}
			if err := t.settleAll(ctx, []*settleItem{one}); err != nil || !one.stale {
				return err
			}
			return gateway.ErrStale
		})
	}
	return err
}

// storeSettlements settles a batch in one transaction.
func (s *Store) storeSettlements(batch []*store.Item[*settleItem]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	all := make([]*settleItem, len(batch))
	for i, item := range batch {
		all[i] = item.Work
	}
	err := s.transact(ctx, func(ctx context.Context, t *tx) error { return t.settleAll(ctx, all) })
	for i, item := range batch {
		switch {
		case errors.Is(err, gateway.ErrBusy):
			item.Err = err
		case err != nil:
			item.Err = errFallback
		case all[i].stale:
			item.Err = gateway.ErrStale
		}
	}
}

// settleAll applies settlements to their jobs, which are locked in the order of their
// ids until the commit.
func (t *tx) settleAll(ctx context.Context, all []*settleItem) error {
	ids := make([]int64, len(all))
	for i := range all {
		ids[i] = int64(all[i].Job)
	}
	b := &pgx.Batch{}
	found := queueJobs(b, jobsFrom+`WHERE j.id = ANY ($1::bigint[]) ORDER BY j.id `+held, ids)
	waiting := queueWaiting(b, ids)
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	jobs := make(map[gateway.JobID]store.QueuedJob, len(*found))
	for _, j := range *found {
		jobs[j.ID] = j
	}
	var list []store.Ending
	for _, e := range all {
		j := jobs[e.Job]
		if e.stale = !j.LeasedUnder(e.Fence); !e.stale {
			list = append(list, store.Ending{Job: j, Settlement: e.Settlement})
			delete(jobs, e.Job) // a second settlement of the job is stale
		}
	}
	return t.settleJobs(ctx, list, waiting)
}

// settleJobs applies settlements to locked jobs, and to the deliveries that wait for
// each.
func (t *tx) settleJobs(ctx context.Context, list []store.Ending,
	waiting map[gateway.JobID][]store.WaitingDelivery) error {
	if len(list) == 0 {
		return nil
	}
	lives, err := t.livingSenders(ctx, list)
	if err != nil {
		return err
	}
	rows := &settlementRows{}
	for i := range list {
		e := &list[i]
		if err := rows.Add(e, waiting[e.Job.ID], lives[e.Job.SenderAgent]); err != nil {
			return err
		}
	}
	return rows.write(ctx, t)
}

// queueWaiting reads the deliveries that wait for jobs. The map is filled when the
// batch has run.
func queueWaiting(b *pgx.Batch, jobs []int64) map[gateway.JobID][]store.WaitingDelivery {
	waiting := make(map[gateway.JobID][]store.WaitingDelivery, len(jobs))
	var job, seq, agent int64
	queue(b, `SELECT j.id, d.seq, d.agent FROM job j
			CROSS JOIN LATERAL (SELECT seq, agent FROM delivery WHERE message = j.message AND job = j.id OFFSET 0) d
			WHERE j.id = ANY ($1::bigint[]) ORDER BY d.seq`, []any{jobs}, []any{&job, &seq, &agent}, func() error {
		id := gateway.JobID(job)
		waiting[id] = append(waiting[id], store.WaitingDelivery{Seq: seq, Agent: gateway.AgentID(agent)})
		return nil
	})
	return waiting
}

// livingSenders returns which senders live, of those that may get a report of a
// failure.
func (t *tx) livingSenders(ctx context.Context, list []store.Ending) (map[gateway.AgentID]bool, error) {
	var ids []int64
	for i := range list {
		if list[i].MayReport() {
			ids = append(ids, int64(list[i].Job.SenderAgent))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	lives := make(map[gateway.AgentID]bool, len(ids))
	var id int64
	err := t.query(ctx, `SELECT id FROM agent WHERE id = ANY ($1::bigint[]) AND removed IS NULL`, []any{ids},
		[]any{&id}, func() error {
			lives[gateway.AgentID(id)] = true
			return nil
		})
	return lives, err
}

// Expire gives up jobs that were begun before that time. A job that another transaction
// has locked is left for the next call.
func (s *Store) Expire(ctx context.Context, begun, now time.Time, limit int,
	report func(gateway.Job) bool) (int, error) {
	if err := s.isPaused(ctx); err != nil {
		return 0, err
	}
	if err := s.correctTimes(ctx, now); err != nil {
		return 0, err
	}
	times := s.watch.Times(now)
	return s.expiry.Step(limit, func(after store.Position) (int, store.Position, error) {
		did, err := write(ctx, s, func(ctx context.Context, t *tx) (stepped, error) {
			if err := t.refusePaused(ctx); err != nil {
				return stepped{}, err
			}
			ids, last, err := t.expired(ctx, &times, begun, after, limit)
			if err != nil || len(ids) == 0 {
				return stepped{last: last}, err
			}
			n, err := t.expire(ctx, ids, now, report)
			return stepped{n, last}, err
		})
		return did.found, did.last, err
	})
}

// expire gives up those of the jobs that were not leased in the meantime.
func (t *tx) expire(ctx context.Context, ids []int64, now time.Time, report func(gateway.Job) bool) (int, error) {
	oldest, err := t.jobs(ctx, jobsFrom+`WHERE j.id = ANY ($1::bigint[]) ORDER BY j.id `+held+` SKIP LOCKED`, ids)
	if err != nil {
		return 0, err
	}
	old := slices.DeleteFunc(oldest, func(j store.QueuedJob) bool { return j.Lease.After(now) })
	b := &pgx.Batch{}
	waiting := queueWaiting(b, column(old, func(j *store.QueuedJob) int64 { return int64(j.ID) }))
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return 0, err
	}
	ends := make([]store.Ending, len(old))
	for i, j := range old {
		ends[i] = store.GiveUp(j, waiting[j.ID], now, report(j.Job))
	}
	return len(ends), t.settleJobs(ctx, ends, waiting)
}

// expired returns the next jobs that were begun before that time and are not leased.
// last is the position of the last row that it looked at, zero when it reached the end.
func (c conn) expired(ctx context.Context, times *store.Times, begun time.Time, after store.Position,
	limit int) (ids []int64, last store.Position, err error) {
	var at store.Position
	var message, lease int64
	search := store.NewSearch[int64](limit)
	err = c.query(ctx, `SELECT id, message, begun, coalesce(lease, 0) FROM job
			WHERE (begun, id) > ($1, $2) AND begun < $3 ORDER BY begun, id LIMIT $4`,
		[]any{after.Time, after.ID, store.Micros(begun), search.Most()}, []any{&at.ID, &message, &at.Time, &lease},
		func() error {
			search.Look(at, at.ID, lease <= times.Now() && times.At(at.Time, message).Before(begun))
			return nil
		})
	return search.Found, search.Last(), err
}

package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// ending is one settlement in a batch.
type ending struct {
	gateway.Settlement
	stale bool
}

// Settle ends an attempt.
func (s *Store) Settle(ctx context.Context, e gateway.Settlement) error {
	for _, r := range e.Results {
		if _, err := store.Decided(r.Event); err != nil {
			return err
		}
	}
	end := &ending{Settlement: e}
	err := s.endings.Do(ctx, end, 128*(1+len(e.Results)))
	if errors.Is(err, errAlone) {
		return s.do(ctx, func(ctx context.Context, t *tx) error {
			one := &ending{Settlement: e}
			if err := t.endAll(ctx, []*ending{one}); err != nil || !one.stale {
				return err
			}
			return gateway.ErrStale
		})
	}
	return err
}

// storeEndings settles a batch in one transaction.
func (s *Store) storeEndings(batch []*store.Item[*ending]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	all := make([]*ending, len(batch))
	for i, item := range batch {
		all[i] = item.Work
	}
	err := s.transact(ctx, func(ctx context.Context, t *tx) error { return t.endAll(ctx, all) })
	for i, item := range batch {
		switch {
		case errors.Is(err, gateway.ErrBusy):
			item.Err = err
		case err != nil:
			item.Err = errAlone
		case all[i].stale:
			item.Err = gateway.ErrStale
		}
	}
}

// endAll applies settlements to their jobs, which are held in the order of their
// ids until the commit.
func (t *tx) endAll(ctx context.Context, all []*ending) error {
	ids := make([]int64, len(all))
	for i := range all {
		ids[i] = int64(all[i].Job)
	}
	b := &pgx.Batch{}
	found := queueJobs(b, jobsFrom+`WHERE j.id = ANY ($1::bigint[]) ORDER BY j.id `+held, ids)
	waiting := queueUndecided(b, ids)
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	jobs := make(map[gateway.JobID]queued, len(*found))
	for _, j := range *found {
		jobs[j.ID] = j
	}
	var list []closing
	for _, e := range all {
		j, there := jobs[e.Job]
		if e.stale = !there || j.Fence != e.Fence || j.State != gateway.Delivering; !e.stale {
			list = append(list, closing{job: j, Settlement: e.Settlement})
			delete(jobs, e.Job) // the next settlement of it is stale
		}
	}
	return t.close(ctx, list, waiting)
}

// closing is a job with how its attempt ends.
type closing struct {
	gateway.Settlement
	job queued
}

// undecided is a delivery that waits for its job. Of a report it is one that
// failed and is not reported yet.
type undecided struct {
	seq   int64
	agent gateway.AgentID
}

// close applies settlements to jobs that are held, and to what waits for each.
func (t *tx) close(ctx context.Context, list []closing, waiting map[gateway.JobID][]undecided) error {
	if len(list) == 0 {
		return nil
	}
	lives, err := t.told(ctx, list)
	if err != nil {
		return err
	}
	b := &book{}
	for i := range list {
		c := &list[i]
		c.Report = c.Report && c.job.Destination != gateway.Reports && lives[c.job.SenderAgent]
		if err := b.close(c, waiting[c.job.ID]); err != nil {
			return err
		}
	}
	return b.write(ctx, t)
}

// queueUndecided asks for the deliveries that wait for jobs. What it returns is
// filled when the batch was run.
func queueUndecided(b *pgx.Batch, jobs []int64) map[gateway.JobID][]undecided {
	waiting := make(map[gateway.JobID][]undecided, len(jobs))
	var job, seq, agent int64
	queue(b, `SELECT j.id, d.seq, d.agent FROM job j
			CROSS JOIN LATERAL (SELECT seq, agent FROM delivery WHERE message = j.message AND job = j.id OFFSET 0) d
			WHERE j.id = ANY ($1::bigint[]) ORDER BY d.seq`, []any{jobs}, []any{&job, &seq, &agent}, func() error {
		id := gateway.JobID(job)
		waiting[id] = append(waiting[id], undecided{seq, gateway.AgentID(agent)})
		return nil
	})
	return waiting
}

// told returns which of the senders who may have to be told of a failure live.
func (t *tx) told(ctx context.Context, list []closing) (map[gateway.AgentID]bool, error) {
	var ids []int64
	for i := range list {
		if list[i].Report && list[i].job.SenderAgent != 0 {
			ids = append(ids, int64(list[i].job.SenderAgent))
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

// Expire gives up jobs that were begun before then. What another transaction holds
// is looked at the next time.
func (s *Store) Expire(ctx context.Context, begun, now time.Time, limit int,
	report func(gateway.Job) bool) (int, error) {
	if err := s.isPaused(ctx); err != nil {
		return 0, err
	}
	if err := s.putRight(ctx, now); err != nil {
		return 0, err
	}
	times := s.watch.Times(now)
	return s.expiry.Step(limit, func(after store.Place) (int, store.Place, error) {
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

// expire gives up those of the jobs that nobody has leased meanwhile.
func (t *tx) expire(ctx context.Context, ids []int64, now time.Time, report func(gateway.Job) bool) (int, error) {
	oldest, err := t.jobs(ctx, jobsFrom+`WHERE j.id = ANY ($1::bigint[]) ORDER BY j.id `+held+` SKIP LOCKED`, ids)
	if err != nil {
		return 0, err
	}
	var old []closing
	for _, j := range oldest {
		if !j.Lease.After(now) {
			old = append(old, closing{job: j, Settlement: gateway.Settlement{Job: j.ID, Now: now,
				Report: report(j.Job)}})
		}
	}
	b := &pgx.Batch{}
	waiting := queueUndecided(b, column(old, func(c *closing) int64 { return int64(c.job.ID) }))
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return 0, err
	}
	for i := range old {
		old[i].giveUp(waiting[old[i].job.ID])
	}
	return len(old), t.close(ctx, old, waiting)
}

// expired returns the next jobs that were begun before then and are not leased, and the
// last that it looked at, the zero Place when it came to the end.
func (c conn) expired(ctx context.Context, times *store.Times, begun time.Time, after store.Place,
	limit int) (ids []int64, last store.Place, err error) {
	var at store.Place
	var message, lease int64
	most, looked := store.LookedAt*limit, 0
	err = c.query(ctx,
		`SELECT id, message, begun, coalesce(lease, 0) FROM job WHERE (begun, id) > ($1, $2) AND begun < $3 ORDER BY begun, id LIMIT $4`,
		[]any{after.Time, after.ID, store.Micros(begun), most}, []any{&at.ID, &message, &at.Time, &lease},
		func() error {
			if looked++; len(ids) == limit {
				return nil
			}
			if last = at; lease <= times.Now() && times.At(at.Time, message).Before(begun) {
				ids = append(ids, at.ID)
			}
			return nil
		})
	if len(ids) < limit && looked < most {
		last = store.Place{}
	}
	return ids, last, err
}

// giveUp ends a job as an attempt does that was the last.
func (c *closing) giveUp(waiting []undecided) {
	code := c.job.Code
	if code == "" {
		code = amtp.CodeRecipientUnavailable
	}
	for _, d := range waiting {
		c.Results = append(c.Results, gateway.Result{Delivery: gateway.DeliveryID(d.seq), Event: gateway.GiveUp,
			Code: code, Reason: c.job.Reason})
	}
}

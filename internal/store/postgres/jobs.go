package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// itsMessage joins each job with its message by an index look-up. A server that does
// not know how few jobs are wanted would read all messages.
const itsMessage = ` CROSS JOIN LATERAL (SELECT uuid, class, sender_agent, sender FROM message WHERE id = j.message LIMIT 1) m `

const jobsFrom = `SELECT ` + jobColumns + ` FROM job j` + itsMessage

// job reads one job; its ID is 0 when there is none. With hold it is locked until the
// commit.
func (c conn) job(ctx context.Context, id gateway.JobID, hold string) (store.QueuedJob, error) {
	list, err := c.jobs(ctx, jobsFrom+`WHERE j.id = $1 `+hold, int64(id))
	if err != nil || len(list) == 0 {
		return store.QueuedJob{}, err
	}
	return list[0], nil
}

const held = `FOR UPDATE OF j`

// insertJob adds a job that is due now.
func (t *tx) insertJob(ctx context.Context, message int64, d gateway.Destination, flow gateway.Flow, now int64,
	size int) (gateway.JobID, error) {
	id,
		err := t.number(ctx,
		`INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same, turn)
			VALUES (nextval('job_id'), $1, $2, 1, $3, $3, $3, $4, 0, 0, 0, 0, $5) RETURNING id`,
		message, string(d), now, size, int64(gateway.TurnOf(flow, 0)))
	t.work = append(t.work, d)
	return gateway.JobID(id), err
}

// joinJob makes the message's existing job for the destination due now, and returns 0
// when there is none. The job is locked until the commit, so that it is not settled
// before it has the new recipients. A leased job has to be settled first; it then stays
// for the recipients that joined it.
func (t *tx) joinJob(ctx context.Context, message int64, d gateway.Destination, now int64) (gateway.JobID, error) {
	id,
		err := t.number(ctx,
		`SELECT id FROM job WHERE message = $1 AND destination = $2 ORDER BY id LIMIT 1 FOR UPDATE`,
		message, string(d))
	if err != nil || id == 0 {
		return 0, err
	}
	t.work = append(t.work, d)
	_, err = t.change(ctx, `UPDATE job SET due = least(due, $1) WHERE id = $2 AND (lease IS NULL OR lease <= $1)`, now,
		id)
	return gateway.JobID(id), err
}

// lapse ends the leases of this process when it closes. Their attempts count as failed,
// and the next ones follow. Leases of a process that died end by themselves.
func (s *Store) lapse() error {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	return s.transact(ctx, func(ctx context.Context, t *tx) error {
		leased, err := t.jobs(ctx, jobsFrom+`WHERE j.lease IS NOT NULL AND j.owner = $1 ORDER BY j.id `+held, s.own[:])
		if err != nil || len(leased) == 0 {
			return err
		}
		var ids, due []int64
		var states []int16
		for i := range leased {
			j := &leased[i]
			j.Lapse()
			ids, states = append(ids, int64(j.ID)), append(states, int16(j.State))
			due = append(due, store.Micros(j.Due))
		}
		_, err = t.change(ctx, `UPDATE job j SET state = u.state, lease = NULL, owner = NULL, due = u.due
				FROM unnest($1::bigint[], $2::smallint[], $3::bigint[]) u (id, state, due) WHERE j.id = u.id`, ids, states, due)
		return err
	})
}

// MakeDue makes a job due.
func (s *Store) MakeDue(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		j, err := t.idle(ctx, job, now)
		if err != nil {
			return err
		}
		t.work = append(t.work, j.Destination)
		_, err = t.change(ctx,
			`UPDATE job SET state = $1, due = least(due, $2), lease = NULL, owner = NULL WHERE id = $3`,
			int16(j.State), store.Micros(now), int64(job))
		return err
	})
}

// idle returns a job that exists and is not leased at now.
func (t *tx) idle(ctx context.Context, id gateway.JobID, now time.Time) (store.QueuedJob, error) {
	j, err := t.job(ctx, id, held)
	if err == nil {
		err = j.Idle(now)
	}
	return j, err
}

// Cancel ends a job, and the deliveries that are not decided yet.
func (s *Store) Cancel(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		j, err := t.idle(ctx, job, now)
		if err != nil {
			return err
		}
		state, err := j.Cancelled()
		if err != nil {
			return err
		}
		if state != 0 {
			_, err = t.change(ctx,
				`UPDATE delivery SET state = $1, changed = $2, attempts = $3, job = NULL WHERE message = $4 AND job = $5`,
				int16(state), store.Micros(now), j.Attempts, j.Row, int64(job))
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM job WHERE id = $1`, int64(job))
		}
		return err
	})
}

// everybody is the caller for lists that only the operator reads.
const everybody = 0

// JobsPage lists jobs, oldest first.
func (s *Store) JobsPage(ctx context.Context, f gateway.JobFilter) (page gateway.JobPage, err error) {
	release, err := s.lists.Take(ctx, everybody)
	if err != nil {
		return page, err
	}
	defer release()
	var ids []int64
	var found map[gateway.JobID]*parcelRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		if ids, page, err = c.jobPage(ctx, f, s.bounds.Scan); err != nil {
			return err
		}
		b := &pgx.Batch{}
		found = queueParcels(b, ids, false)
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return gateway.JobPage{}, err
	}
	for _, id := range ids {
		row := found[gateway.JobID(id)]
		if row == nil {
			continue
		}
		p, err := s.parcel(ctx, row)
		if err != nil {
			return gateway.JobPage{}, err
		}
		page.Jobs = append(page.Jobs, p)
	}
	return page, nil
}

// jobPage returns the ids of the jobs on a page. It looks at no more than scan jobs
// that do not match.
func (c conn) jobPage(ctx context.Context, f gateway.JobFilter, scan int) (ids []int64,
	page gateway.JobPage, err error) {
	pager := store.Pager{Limit: f.Limit, Scan: scan, Next: int64(f.After)}
	step := min(boxStep, scan+max(f.Limit, 1)+1)
	if f.Limit > 0 && f.State == 0 {
		step = min(f.Limit+1, boxStep)
	}
	for {
		w := jobSelection(f, pager.Next)
		w.add(` LIMIT %s`, step)
		var id int64
		var state int16
		looked := 0
		err := c.query(ctx, w.sql, w.args, []any{&id, &state}, func() error {
			looked++
			if pager.Look(id, 0, store.InJobs(&f, gateway.State(state))) {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil || pager.HasMore || looked < step {
			return ids, pager.JobPage(), err
		}
	}
}

// jobSelection returns the query for the jobs after one that may match, oldest first,
// with their states.
func jobSelection(f gateway.JobFilter, after int64) where {
	w := where{sql: `SELECT j.id, j.state FROM job j WHERE `}
	if f.Destination != "" { // through its index, which alone has this order
		w.add(`j.destination <= %s`, string(f.Destination))
		w.add(` AND (j.destination, j.id) > (%s`, string(f.Destination))
		w.add(`, %s::bigint)`, after)
	} else {
		w.add(`j.id > %s`, after)
	}
	if f.State == gateway.Delivering { // there are few of them
		w.sql += ` AND j.lease IS NOT NULL`
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // no message has the zero UUID
		w.and(`j.message = (SELECT id FROM message WHERE uuid = %s)`, u[:])
	}
	if f.Destination != "" {
		w.sql += ` ORDER BY j.destination, j.id`
	} else {
		w.sql += ` ORDER BY j.id`
	}
	return w
}

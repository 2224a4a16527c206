package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// itsMessage joins each job with its message by a look-up, however many there may
// be: a server that cannot know how few are wanted would read all messages.
const itsMessage = ` CROSS JOIN LATERAL (SELECT uuid, class, sender_agent FROM message WHERE id = j.message LIMIT 1) m `

const jobsFrom = `SELECT ` + jobColumns + ` FROM job j` + itsMessage

// job reads one job, held until the commit if it is to be changed. There is none
// where its ID is 0.
func (c conn) job(ctx context.Context, id gateway.JobID, hold string) (queued, error) {
	list, err := c.jobs(ctx, jobsFrom+`WHERE j.id = $1 `+hold, int64(id))
	if err != nil || len(list) == 0 {
		return queued{}, err
	}
	return list[0], nil
}

const held = `FOR UPDATE OF j`

// insertJob adds a job that is due now.
func (t *tx) insertJob(ctx context.Context, message int64, d gateway.Destination, now int64, size int) (gateway.JobID, error) {
	id, err := t.number(ctx, `INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same)
			VALUES (nextval('job_id'), $1, $2, 1, $3, $3, $3, $4, 0, 0, 0, 0) RETURNING id`, message, string(d), now, size)
	t.work = append(t.work, d)
	return gateway.JobID(id), err
}

// joinJob makes the message's job for the destination due now, 0 when there is
// none. The job is held until the commit: it is not settled before it has who
// joins. One that is leased has to be settled first, which leaves it who joined.
func (t *tx) joinJob(ctx context.Context, message int64, d gateway.Destination, now int64) (gateway.JobID, error) {
	id, err := t.number(ctx, `SELECT id FROM job WHERE message = $1 AND destination = $2 ORDER BY id LIMIT 1 FOR UPDATE`, message, string(d))
	if err != nil || id == 0 {
		return 0, err
	}
	t.work = append(t.work, d)
	_, err = t.change(ctx, `UPDATE job SET due = least(due, $1) WHERE id = $2 AND (lease IS NULL OR lease <= $1)`, now, id)
	return gateway.JobID(id), err
}

// Waiting lists destinations that have jobs: it leaps from one to the next, and
// to the first that is due of each, whatever waits there.
func (s *Store) Waiting(ctx context.Context, after gateway.Destination, limit int) (list []gateway.Waiting, err error) {
	var name string
	var due int64
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		list = nil
		return c.query(ctx, `WITH RECURSIVE next (name, n) AS (
				SELECT (SELECT destination FROM job WHERE destination > $1 ORDER BY destination LIMIT 1), 1
				UNION ALL
				SELECT (SELECT destination FROM job WHERE destination > name ORDER BY destination LIMIT 1), n + 1
					FROM next WHERE name IS NOT NULL AND n < $2)
			SELECT name, (SELECT due FROM job WHERE destination = name ORDER BY destination, due LIMIT 1)
				FROM next WHERE name IS NOT NULL ORDER BY name`,
			[]any{string(after), limit}, []any{&name, &due}, func() error {
				list = append(list, gateway.Waiting{Destination: gateway.Destination(name), Due: store.FromMicros(due)})
				return nil
			})
	})
	return list, err
}

// Parcel returns a leased job with its message.
func (s *Store) Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error) {
	var found []parcelRow
	err := s.snapshot(ctx, func(ctx context.Context, c conn) error {
		j, err := c.job(ctx, job, "")
		if err != nil {
			return err
		}
		if j.ID == 0 || j.Fence != fence || j.State != gateway.Delivering {
			return gateway.ErrStale
		}
		if found, err = c.parcels(ctx, []queued{j}, true); err == nil {
			found[0].answers, err = c.knownAs(ctx, &found[0].EnvelopeRow)
		}
		return err
	})
	if err != nil {
		return gateway.Parcel{}, err
	}
	list, err := s.parcels(ctx, found)
	if err != nil {
		return gateway.Parcel{}, err
	}
	return list[0], nil
}

// parcelRow is a job with what it carries, as they are stored.
type parcelRow struct {
	queued
	letterRow
	deliveries []store.DeliveryRow
	answers    amtp.MessageID
}

// parcels reads what jobs carry.
func (c conn) parcels(ctx context.Context, jobs []queued, body bool) ([]parcelRow, error) {
	list := make([]parcelRow, len(jobs))
	ids, rows := make([]int64, len(jobs)), make([]int64, len(jobs))
	place := make(map[int64]int, len(jobs))
	for i := range jobs {
		list[i].queued, ids[i], rows[i], place[int64(jobs[i].ID)] = jobs[i], int64(jobs[i].ID), jobs[i].row, i
	}
	letters := make(map[int64]letterRow, len(jobs))
	var e envelope
	var row, job int64
	var content []byte
	err := c.query(ctx, `SELECT `+envelopeColumns+`, m.id, CASE WHEN $2 THEN m.body END FROM message m WHERE m.id = ANY ($1::bigint[])`,
		[]any{rows, body}, append(e.into(), &row, &content), func() error {
			letters[row] = letterRow{e.read(), content}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].letterRow = letters[list[i].row]
	}
	var d delivery
	err = c.query(ctx, `SELECT `+deliveryColumns+`, d.job FROM delivery d `+itsJob+`
			WHERE d.message = ANY ($1::bigint[]) AND d.job = ANY ($2::bigint[])`, []any{rows, ids}, append(d.into(), &job), func() error {
		p := &list[place[job]]
		p.deliveries = append(p.deliveries, d.read())
		return nil
	})
	return list, err
}

// parcels returns what the rows say.
func (s *Store) parcels(ctx context.Context, rows []parcelRow) (list []gateway.Parcel, err error) {
	for i := range rows {
		r := &rows[i]
		p := gateway.Parcel{Job: r.Job, Body: r.body, InReplyTo: r.answers}
		if p.Envelope, err = s.envelope(ctx, r.EnvelopeRow); err != nil {
			return nil, err
		}
		if p.Recipients, err = s.deliveries(ctx, r.deliveries); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// knownAs returns the id under which other gateways know the message that e
// answers: the one that it came with, or else the one under which ours leaves.
// "" when the sender does not have it.
func (c conn) knownAs(ctx context.Context, e *store.EnvelopeRow) (id amtp.MessageID, err error) {
	if e.InReplyTo == "" || e.SenderAgent == 0 {
		return "", nil
	}
	row, err := c.find(ctx, gateway.Reader{Agent: e.SenderAgent}, amtp.MessageID(e.InReplyTo))
	if err != nil || row == 0 {
		return "", err
	}
	var uuid, given []byte
	var local bool
	err = c.query(ctx, `SELECT uuid, given_id, sender_agent IS NOT NULL FROM message WHERE id = $1`, []any{row},
		[]any{&uuid, &given, &local}, func() error {
			own := store.MessageID(uuid)
			switch id = amtp.MessageID(given); {
			case local:
				id = amtp.PeerMessageID(own)
			case id == "":
				id = own
			}
			return nil
		})
	return id, err
}

// lapse ends the leases of this process when it closes. Their attempts count, and
// the next follows as if each had failed. Those of a process that died end by
// themselves.
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
			state, err := gateway.Next(j.State, gateway.Lapse)
			if err != nil {
				return err
			}
			ids, states = append(ids, int64(j.ID)), append(states, int16(state))
			due = append(due, store.Micros(j.LastTry.Add(gateway.Backoff(j.ID, j.Attempts))))
		}
		_, err = t.change(ctx, `UPDATE job j SET state = u.state, lease = NULL, owner = NULL, due = u.due
				FROM unnest($1::bigint[], $2::smallint[], $3::bigint[]) u (id, state, due) WHERE j.id = u.id`, ids, states, due)
		return err
	})
}

// Hasten makes a job due.
func (s *Store) Hasten(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		j, err := t.idle(ctx, job, now)
		if err != nil {
			return err
		}
		t.work = append(t.work, j.Destination)
		_, err = t.change(ctx, `UPDATE job SET state = $1, due = least(due, $2), lease = NULL, owner = NULL WHERE id = $3`,
			int16(j.State), store.Micros(now), int64(job))
		return err
	})
}

// idle returns a job that is there and not leased at now.
func (t *tx) idle(ctx context.Context, id gateway.JobID, now time.Time) (queued, error) {
	j, err := t.job(ctx, id, held)
	switch {
	case err != nil:
		return j, err
	case j.ID == 0:
		return j, gateway.ErrNotFound
	case j.Lease.After(now):
		return j, gateway.ErrConflict
	case j.State == gateway.Delivering: // and its lease has ended
		j.State, err = gateway.Next(j.State, gateway.Lapse)
	}
	return j, err
}

// Cancel ends a job and what it has not decided.
func (s *Store) Cancel(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		j, err := t.idle(ctx, job, now)
		if err != nil {
			return err
		}
		state, err := gateway.Next(j.State, gateway.Cancel)
		if err != nil {
			return err
		}
		if j.Destination == gateway.Reports { // those whose failure it tells of failed all the same
			_, err = t.change(ctx, `UPDATE delivery SET job = NULL WHERE message = $1 AND job = $2`, j.row, int64(job))
		} else {
			_, err = t.change(ctx, `UPDATE delivery SET state = $1, changed = $2, attempts = $3, job = NULL WHERE message = $4 AND job = $5`,
				int16(state), store.Micros(now), j.Attempts, j.row, int64(job))
		}
		if err == nil {
			_, err = t.change(ctx, `DELETE FROM job WHERE id = $1`, int64(job))
		}
		return err
	})
}

// JobsPage lists jobs, oldest first.
func (s *Store) JobsPage(ctx context.Context, f gateway.JobFilter) (page gateway.JobPage, err error) {
	release, err := s.mayList(ctx)
	if err != nil {
		return page, err
	}
	defer release()
	var found []parcelRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) error {
		sql, args := jobSelection(f)
		jobs, err := c.jobs(ctx, sql, args...)
		if err != nil {
			return err
		}
		if page.HasMore = f.Limit > 0 && len(jobs) > f.Limit; page.HasMore {
			jobs = jobs[:f.Limit]
		}
		found, err = c.parcels(ctx, jobs, false)
		return err
	})
	if err == nil {
		page.Jobs, err = s.parcels(ctx, found)
	}
	if err != nil {
		return gateway.JobPage{}, err
	}
	return page, nil
}

// jobSelection returns the query for the jobs that match, oldest first, and for
// one more than a page of them.
func jobSelection(f gateway.JobFilter) (string, []any) {
	w := where{sql: ` WHERE j.id > $1`, args: []any{int64(f.After)}}
	if f.State != 0 {
		w.and(`j.state = %s`, int16(f.State))
	}
	if f.State == gateway.Delivering {
		w.sql += ` AND j.lease IS NOT NULL`
	}
	if f.Destination != "" {
		w.and(`j.destination = %s`, string(f.Destination))
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // the zero UUID is no message's
		w.and(`j.message = (SELECT id FROM message WHERE uuid = %s)`, u[:])
	}
	w.sql += ` ORDER BY j.id`
	if f.Limit > 0 {
		w.add(` LIMIT %s`, f.Limit+1)
	}
	return jobsFrom + w.sql, w.args
}

package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// book is what settlements write: rows by what is done to them, so that each is
// one statement for all.
type book struct {
	done      []doneRow  // deliveries that the other side has, or that a report has told of
	entered   []doneRow  // deliveries that enter an inbox instead
	buried    []buryRow  // deliveries that failed
	gone      []int64    // jobs without a recipient left
	postponed []laterRow // jobs that are tried again
	returned  []backRow  // jobs whose attempt was not made
	reports   jobRows
	work      []gateway.Destination
}

type doneRow struct {
	seq      int64
	agent    gateway.AgentID
	state    gateway.State // 0 leaves the delivery as it is
	now      int64
	attempts int
}

type buryRow struct {
	doneRow
	report      int64 // the place of the job that tells of it, from 1 on, 0 for none
	first, last int64
	code        string
	reason      string
}

type laterRow struct {
	job        int64
	state      gateway.State
	settlement *gateway.Settlement
	due        int64
}

type backRow struct {
	gateway.Job
	now, due int64
}

// close enters a settlement.
func (b *book) close(c *closing, waiting []undecided) error {
	if c.Unmade {
		return b.giveBack(c)
	}
	results := make(map[gateway.DeliveryID]*gateway.Result, len(c.Results))
	for i := range c.Results {
		results[c.Results[i].Delivery] = &c.Results[i]
	}
	left, report := len(waiting), int64(0)
	for _, d := range waiting {
		r := results[gateway.DeliveryID(d.seq)]
		if r == nil {
			continue
		}
		left--
		if err := b.decide(c, d, r, &report); err != nil {
			return err
		}
	}
	if left == 0 {
		b.gone = append(b.gone, int64(c.job.ID))
		return nil
	}
	return b.postpone(c)
}

// decide enters how one delivery ends. The first of a job that fails makes its
// report.
func (b *book) decide(c *closing, d undecided, r *gateway.Result, report *int64) error {
	now := store.Micros(c.Now)
	row := doneRow{seq: d.seq, agent: d.agent, now: now, attempts: c.job.Attempts}
	if c.job.Destination == gateway.Reports {
		b.done = append(b.done, row)
		return nil
	}
	var err error
	if row.state, err = store.Decided(r.Event); err != nil {
		return err
	}
	switch {
	case row.state == gateway.Delivered && r.Inbox && d.agent != 0:
		b.entered = append(b.entered, row)
		return nil
	case row.state == gateway.Delivered:
		b.done = append(b.done, row)
		return nil
	}
	if c.Report && *report == 0 {
		*report = b.reports.add(c.job.row, gateway.Reports, c.job.Flow, now, c.job.Size)
		b.work = append(b.work, gateway.Reports)
	}
	b.buried = append(b.buried, buryRow{doneRow: row, report: *report, first: store.Micros(c.job.FirstTry),
		last: store.Micros(c.job.LastTry),
		code: string(r.Code), reason: r.Reason})
	return nil
}

// postpone leaves a job to its next attempt.
func (b *book) postpone(c *closing) error {
	state, err := gateway.Next(c.job.State, gateway.Postpone)
	if err != nil {
		return err
	}
	b.postponed = append(b.postponed, laterRow{job: int64(c.job.ID), state: state, settlement: &c.Settlement,
		due: b.dueAgain(c)})
	return nil
}

// giveBack leaves a job as if it had not been leased.
func (b *book) giveBack(c *closing) error {
	row := backRow{Job: c.job.Job, now: store.Micros(c.Now), due: b.dueAgain(c)}
	if err := store.Return(&row.Job); err != nil {
		return err
	}
	b.returned = append(b.returned, row)
	return nil
}

// dueAgain returns when a job is due after its attempt, and rings where that is at
// once.
func (b *book) dueAgain(c *closing) int64 {
	if c.Due.After(c.Now) {
		return store.Micros(c.Due)
	}
	b.work = append(b.work, c.job.Destination)
	return store.Micros(c.Now)
}

const (
	finishDeliveries = `UPDATE delivery d SET job = NULL, state = CASE WHEN u.state = 0 THEN d.state ELSE u.state END,
			changed = CASE WHEN u.state = 0 THEN d.changed ELSE u.now END, attempts = CASE WHEN u.state = 0 THEN d.attempts ELSE u.attempts END
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[]) u (seq, state, now, attempts) WHERE d.seq = u.seq`
	// What was to be pushed enters an inbox behind what readers have seen of it.
	enterInboxes = `UPDATE delivery d SET seq = nextval('delivery_seq'), place = coalesce(d.place, d.seq), pushed = false, state = u.state,
			changed = u.now, job = NULL, attempts = u.attempts
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[]) u (seq, state, now, attempts) WHERE d.seq = u.seq
		RETURNING d.agent, d.seq`
	buryDeliveries = `UPDATE delivery d SET state = u.state, changed = u.now, dead = u.now, job = nullif(u.job, 0), attempts = u.attempts,
			code = nullif(u.code, ''), reason = u.reason, first_try = nullif(u.first, 0), last_try = nullif(u.last, 0)
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::bytea[], $8::bigint[], $9::bigint[])
			u (seq, state, now, attempts, job, code, reason, first, last) WHERE d.seq = u.seq`
	postponeJobs = `UPDATE job j SET state = u.state, changed = u.now, due = u.due, lease = NULL, owner = NULL, rekeys = j.rekeys + u.rekey,
			code = nullif(u.code, ''), reason = u.reason, since = nullif(u.since, 0), same = u.same, troubles = nullif(u.troubles, '')
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::int[], $6::text[], $7::bytea[], $8::bigint[], $9::int[], $10::text[])
			u (id, state, now, due, rekey, code, reason, since, same, troubles) WHERE j.id = u.id`
	returnJobs = `UPDATE job j SET state = u.state, changed = u.now, due = u.due, lease = NULL, owner = NULL, attempts = u.attempts, turn = u.turn,
			first_try = nullif(u.first, 0), last_try = nullif(u.last, 0)
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[])
			u (id, state, now, due, attempts, turn, first, last) WHERE j.id = u.id`
)

// write writes what was entered, in one round.
func (b *book) write(ctx context.Context, t *tx) error {
	ids, err := t.jobIDs(ctx, len(b.reports.message))
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	b.reports.queue(batch, ids)
	if len(b.done) > 0 {
		batch.Queue(finishDeliveries, columns(b.done)...)
	}
	b.queueEntered(batch, t)
	b.queueBuried(batch, ids)
	b.queuePostponed(batch)
	b.queueReturned(batch)
	if len(b.gone) > 0 {
		batch.Queue(`DELETE FROM job WHERE id = ANY ($1::bigint[])`, b.gone)
	}
	t.work = append(t.work, b.work...)
	t.dead += len(b.gone) + len(b.postponed) + len(b.returned)
	return t.SendBatch(ctx, batch).Close()
}

// columns returns the columns of deliveries that are decided.
func columns(rows []doneRow) []any {
	return []any{
		column(rows, func(r *doneRow) int64 { return r.seq }),
		column(rows, func(r *doneRow) int16 { return int16(r.state) }),
		column(rows, func(r *doneRow) int64 { return r.now }),
		column(rows, func(r *doneRow) int32 { return int32(r.attempts) }),
	}
}

func (b *book) queueEntered(batch *pgx.Batch, t *tx) {
	if len(b.entered) == 0 {
		return
	}
	agents := column(b.entered, func(r *doneRow) int64 { return int64(r.agent) })
	batch.Queue(lockInboxes, int32(inboxLock), boxes(agents, func(int) bool { return true }))
	var agent, seq int64
	queue(batch, enterInboxes, columns(b.entered), []any{&agent, &seq}, func() error {
		t.rings = append(t.rings, store.Entry{Agent: gateway.AgentID(agent), Seq: seq})
		return nil
	})
}

func (b *book) queueBuried(batch *pgx.Batch, reports []int64) {
	if len(b.buried) == 0 {
		return
	}
	args := columns(column(b.buried, func(r *buryRow) doneRow { return r.doneRow }))
	batch.Queue(buryDeliveries, append(args,
		column(b.buried, func(r *buryRow) int64 {
			if r.report == 0 {
				return 0
			}
			return reports[r.report-1]
		}),
		column(b.buried, func(r *buryRow) string { return r.code }),
		column(b.buried, func(r *buryRow) []byte { return blob(r.reason) }),
		column(b.buried, func(r *buryRow) int64 { return r.first }),
		column(b.buried, func(r *buryRow) int64 { return r.last }))...)
}

func (b *book) queuePostponed(batch *pgx.Batch) {
	if len(b.postponed) == 0 {
		return
	}
	batch.Queue(postponeJobs,
		column(b.postponed, func(r *laterRow) int64 { return r.job }),
		column(b.postponed, func(r *laterRow) int16 { return int16(r.state) }),
		column(b.postponed, func(r *laterRow) int64 { return store.Micros(r.settlement.Now) }),
		column(b.postponed, func(r *laterRow) int64 { return r.due }),
		column(b.postponed, func(r *laterRow) int32 { return int32(store.Bit(r.settlement.Rekey)) }),
		column(b.postponed, func(r *laterRow) string { return string(r.settlement.Code) }),
		column(b.postponed, func(r *laterRow) []byte { return blob(r.settlement.Reason) }),
		column(b.postponed, func(r *laterRow) int64 { return store.Micros(r.settlement.Since) }),
		column(b.postponed, func(r *laterRow) int32 { return int32(r.settlement.Same) }),
		column(b.postponed, func(r *laterRow) string { return r.settlement.Troubles }))
}

func (b *book) queueReturned(batch *pgx.Batch) {
	if len(b.returned) == 0 {
		return
	}
	batch.Queue(returnJobs,
		column(b.returned, func(r *backRow) int64 { return int64(r.ID) }),
		column(b.returned, func(r *backRow) int16 { return int16(r.State) }),
		column(b.returned, func(r *backRow) int64 { return r.now }),
		column(b.returned, func(r *backRow) int64 { return r.due }),
		column(b.returned, func(r *backRow) int32 { return int32(r.Attempts) }),
		column(b.returned, func(r *backRow) int64 { return int64(gateway.TurnOf(r.Flow, r.Attempts)) }),
		column(b.returned, func(r *backRow) int64 { return store.Micros(r.FirstTry) }),
		column(b.returned, func(r *backRow) int64 { return store.Micros(r.LastTry) }))
}

package postgres

import (
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// settlementRows are the rows that settlements write, each kind by one statement.
type settlementRows struct{ store.SettlementRows }

const (
	finishDeliveries = `UPDATE delivery d SET job = NULL, state = u.state, changed = u.now, attempts = u.attempts
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[]) u (seq, state, now, attempts) WHERE d.seq = u.seq`
	// A delivery that was to be pushed enters the inbox after all entries that readers
	// have seen.
	enterInboxes = `UPDATE delivery d SET seq = nextval('delivery_seq'), place = coalesce(d.place, d.seq), pushed = false, state = u.state,
			changed = u.now, job = NULL, attempts = u.attempts
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[]) u (seq, state, now, attempts) WHERE d.seq = u.seq
		RETURNING d.agent, d.seq`
	buryDeliveries = `UPDATE delivery d SET state = u.state, changed = u.now, dead = u.now, job = NULL, attempts = u.attempts,
			code = nullif(u.code, ''), reason = u.reason, first_try = nullif(u.first, 0), last_try = nullif(u.last, 0)
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::int[], $5::text[], $6::bytea[], $7::bigint[], $8::bigint[])
			u (seq, state, now, attempts, code, reason, first, last) WHERE d.seq = u.seq`
	insertReports = `INSERT INTO job (id, message, destination, state, changed, due, begun, size, fence, attempts, rekeys, same, turn, payload)
		SELECT nextval('job_id'), message, $2, 1, now, now, now, size, 0, 0, 0, 0, turn, payload
		FROM unnest($1::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) u (message, now, size, turn, payload)`
	postponeJobs = `UPDATE job j SET state = u.state, changed = u.now, due = u.due, lease = NULL, owner = NULL, rekeys = j.rekeys + u.rekey,
			code = nullif(u.code, ''), reason = u.reason, since = nullif(u.since, 0), same = u.same, troubles = nullif(u.troubles, ''),
			payload = nullif(u.payload, '')
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::int[], $6::text[], $7::bytea[], $8::bigint[], $9::int[], $10::text[], $11::text[])
			u (id, state, now, due, rekey, code, reason, since, same, troubles, payload) WHERE j.id = u.id`
	returnJobs = `UPDATE job j SET state = u.state, changed = u.now, due = u.due, lease = NULL, owner = NULL, attempts = u.attempts, turn = u.turn,
			first_try = nullif(u.first, 0), last_try = nullif(u.last, 0)
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[], $8::bigint[])
			u (id, state, now, due, attempts, turn, first, last) WHERE j.id = u.id`
)

// write writes the rows, in one round trip.
func (r *settlementRows) write(ctx context.Context, t *tx) error {
	batch := &pgx.Batch{}
	if len(r.Done) > 0 {
		batch.Queue(finishDeliveries, columns(r.Done)...)
	}
	r.queueEntered(batch, t)
	r.queueDead(batch)
	r.queueReports(batch)
	r.queuePostponed(batch)
	r.queueReturned(batch)
	if len(r.Gone) > 0 {
		batch.Queue(`DELETE FROM job WHERE id = ANY ($1::bigint[])`, r.Gone)
	}
	t.work = append(t.work, r.Work...)
	t.dead += len(r.Gone) + len(r.Postponed) + len(r.Returned)
	return t.SendBatch(ctx, batch).Close()
}

// columns returns the columns of deliveries that are decided.
func columns(rows []store.DoneRow) []any {
	return []any{
		column(rows, func(r *store.DoneRow) int64 { return r.Seq }),
		column(rows, func(r *store.DoneRow) int16 { return int16(r.State) }),
		column(rows, func(r *store.DoneRow) int64 { return r.Now }),
		column(rows, func(r *store.DoneRow) int32 { return int32(r.Attempts) }),
	}
}

func (r *settlementRows) queueEntered(batch *pgx.Batch, t *tx) {
	if len(r.Entered) == 0 {
		return
	}
	agents := column(r.Entered, func(r *store.DoneRow) int64 { return int64(r.Agent) })
	batch.Queue(lockInboxes, int32(inboxLock), boxes(agents, func(int) bool { return true }))
	var agent, seq int64
	queue(batch, enterInboxes, columns(r.Entered), []any{&agent, &seq}, func() error {
		t.rings = append(t.rings, store.Entry{Agent: gateway.AgentID(agent), Seq: seq})
		return nil
	})
}

func (r *settlementRows) queueDead(batch *pgx.Batch) {
	if len(r.Dead) == 0 {
		return
	}
	args := columns(column(r.Dead, func(r *store.DeadRow) store.DoneRow { return r.DoneRow }))
	batch.Queue(buryDeliveries, append(args,
		column(r.Dead, func(r *store.DeadRow) string { return r.Code }),
		column(r.Dead, func(r *store.DeadRow) []byte { return blob(r.Reason) }),
		column(r.Dead, func(r *store.DeadRow) int64 { return r.First }),
		column(r.Dead, func(r *store.DeadRow) int64 { return r.Last }))...)
}

func (r *settlementRows) queueReports(batch *pgx.Batch) {
	if len(r.Reports) == 0 {
		return
	}
	batch.Queue(insertReports,
		column(r.Reports, func(r *store.ReportRow) int64 { return r.Message }),
		string(gateway.Reports),
		column(r.Reports, func(r *store.ReportRow) int64 { return r.Now }),
		column(r.Reports, func(r *store.ReportRow) int64 { return int64(r.Size) }),
		column(r.Reports, func(r *store.ReportRow) int64 { return int64(gateway.TurnOf(r.Flow, 0)) }),
		column(r.Reports, func(r *store.ReportRow) string { return r.Payload }))
}

func (r *settlementRows) queuePostponed(batch *pgx.Batch) {
	if len(r.Postponed) == 0 {
		return
	}
	batch.Queue(postponeJobs,
		column(r.Postponed, func(r *store.PostponedRow) int64 { return int64(r.Job) }),
		column(r.Postponed, func(r *store.PostponedRow) int16 { return int16(r.State) }),
		column(r.Postponed, func(r *store.PostponedRow) int64 { return store.Micros(r.Now) }),
		column(r.Postponed, func(r *store.PostponedRow) int64 { return r.Until }),
		column(r.Postponed, func(r *store.PostponedRow) int32 { return int32(store.Bit(r.Rekey)) }),
		column(r.Postponed, func(r *store.PostponedRow) string { return string(r.Code) }),
		column(r.Postponed, func(r *store.PostponedRow) []byte { return blob(r.Reason) }),
		column(r.Postponed, func(r *store.PostponedRow) int64 { return store.Micros(r.Since) }),
		column(r.Postponed, func(r *store.PostponedRow) int32 { return int32(r.Same) }),
		column(r.Postponed, func(r *store.PostponedRow) string { return r.Troubles }),
		column(r.Postponed, func(r *store.PostponedRow) string { return r.Payload }))
}

func (r *settlementRows) queueReturned(batch *pgx.Batch) {
	if len(r.Returned) == 0 {
		return
	}
	batch.Queue(returnJobs,
		column(r.Returned, func(r *store.ReturnedRow) int64 { return int64(r.ID) }),
		column(r.Returned, func(r *store.ReturnedRow) int16 { return int16(r.State) }),
		column(r.Returned, func(r *store.ReturnedRow) int64 { return r.Now }),
		column(r.Returned, func(r *store.ReturnedRow) int64 { return r.Until }),
		column(r.Returned, func(r *store.ReturnedRow) int32 { return int32(r.Attempts) }),
		column(r.Returned, func(r *store.ReturnedRow) int64 { return int64(gateway.TurnOf(r.Flow, r.Attempts)) }),
		column(r.Returned, func(r *store.ReturnedRow) int64 { return store.Micros(r.FirstTry) }),
		column(r.Returned, func(r *store.ReturnedRow) int64 { return store.Micros(r.LastTry) }))
}

package postgres

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// envelopeColumns are the columns that are read into an envelope.
const envelopeColumns = `m.uuid, coalesce(m.sender_agent, 0), coalesce(m.sender, ''), m.class, m.trust, m.authentication, m.received,
	coalesce(m.stamped, 0), m.request, m.given_id, m.subject, m.in_reply_to, coalesce(m.author, 0)`

// envelope is the target of the columns of an envelope.
type envelope struct {
	row                                      store.EnvelopeRow
	uuid, authentication, given, subj, reply []byte
	agent                                    int64
	class                                    int16
}

func (e *envelope) into() []any {
	return []any{&e.uuid, &e.agent, &e.row.Sender, &e.class, &e.row.Trust, &e.authentication, &e.row.Received,
		&e.row.Stamped, &e.row.Request, &e.given, &e.subj, &e.reply, &e.row.Author}
}

// read returns the row that was scanned last.
func (e *envelope) read() store.EnvelopeRow {
	r := e.row
	r.UUID, r.SenderAgent, r.Class = e.uuid, gateway.AgentID(e.agent), gateway.Class(e.class)
	r.Finding, r.GivenID, r.Subject, r.InReplyTo = string(e.authentication), string(e.given), string(e.subj),
		string(e.reply)
	return r
}

// deliveryColumns are the columns that are read into a delivery, of a delivery d and
// its job j.
const deliveryColumns = `d.seq, d.agent, coalesce(d.address, ''), d.state, d.changed, coalesce(d.delivered, 0), coalesce(d.acked, 0),
	coalesce(d.attempts, -1), coalesce(d.code, ''), d.reason, d.pushed, coalesce(d.place, 0), coalesce(d.read, 0), coalesce(d.refused, 0),
	coalesce(j.state, 0), coalesce(j.changed, 0), coalesce(j.attempts, 0), coalesce(j.due, 0), coalesce(j.code, ''), j.reason,
	d.further, coalesce(d.redriven, 0), CASE WHEN d.token IS NULL THEN 0 ELSE coalesce(d.hidden, 0) END`

// delivery is the target of the columns of a delivery.
type delivery struct {
	row               store.DeliveryRow
	job               store.JobRow
	agent             int64
	state, jobState   int16
	reason, jobReason []byte
}

func (d *delivery) into() []any {
	r, j := &d.row, &d.job
	return []any{&r.Seq, &d.agent, &r.Address, &d.state, &r.Changed, &r.Delivered, &r.Acked,
		&r.Attempts, &r.Code, &d.reason, &r.Pushed, &r.Place, &r.Read, &r.Refused, &d.jobState, &j.Changed, &j.Attempts,
		&j.Due, &j.Code, &d.jobReason,
		&r.Further, &r.Redriven, &r.Leased}
}

// read returns the row that was scanned last.
func (d *delivery) read() store.DeliveryRow {
	r := d.row
	r.Agent, r.State, r.Reason = gateway.AgentID(d.agent), gateway.State(d.state), string(d.reason)
	if d.jobState != 0 && r.State == gateway.Queued {
		j := d.job
		j.State, j.Reason = gateway.State(d.jobState), string(d.jobReason)
		r.Job = &j
	}
	return r
}

// jobColumns are the columns that are read into a queuedScan, of a job j and its
// message m.
const jobColumns = `j.id, j.destination, j.state, j.fence, j.attempts, j.begun, coalesce(j.first_try, 0), coalesce(j.last_try, 0), j.due,
	coalesce(j.lease, 0), j.rekeys, coalesce(j.redriven, 0), j.size, coalesce(j.code, ''), j.reason, coalesce(j.since, 0), j.same,
	m.uuid, m.class, coalesce(m.sender_agent, 0), coalesce(m.sender, ''), j.message, coalesce(j.troubles, ''), coalesce(j.payload, '')`

// queuedScan is the target of the columns of a job.
type queuedScan struct {
	store.QueuedJob
	destination, code, sender                           string
	state, class                                        int16
	begun, first, last, due, lease, redriven, since, id int64
	agent                                               int64
	reason, uuid                                        []byte
}

func (q *queuedScan) into() []any {
	return []any{&q.id, &q.destination, &q.state, &q.Fence, &q.Attempts, &q.begun, &q.first, &q.last, &q.due,
		&q.lease, &q.Rekeys, &q.redriven, &q.Size, &q.code, &q.reason, &q.since, &q.Same, &q.uuid, &q.class, &q.agent,
		&q.sender, &q.Row, &q.Troubles, &q.Payload}
}

// read returns the job that was scanned last.
func (q *queuedScan) read() store.QueuedJob {
	j := q.QueuedJob
	j.ID, j.Destination, j.State = gateway.JobID(q.id), gateway.Destination(q.destination), gateway.State(q.state)
	j.Begun, j.FirstTry, j.LastTry = store.FromMicros(q.begun), store.FromMicros(q.first), store.FromMicros(q.last)
	j.Due, j.Lease, j.Redriven, j.Since = store.FromMicros(q.due), store.FromMicros(q.lease),
		store.FromMicros(q.redriven), store.FromMicros(q.since)
	j.Code, j.Reason = amtp.Code(q.code), string(q.reason)
	j.Message, j.Class, j.SenderAgent = store.MessageID(q.uuid), gateway.Class(q.class), gateway.AgentID(q.agent)
	j.Flow = store.FlowOf(j.SenderAgent, q.sender)
	return j
}

// jobs reads the jobs that a query of jobColumns finds.
func (c conn) jobs(ctx context.Context, sql string, args ...any) (list []store.QueuedJob, err error) {
	var q queuedScan
	err = c.query(ctx, sql, args, q.into(), func() error {
		list = append(list, q.read())
		return nil
	})
	return list, err
}

// queueJobs reads jobs as jobs does. The list is filled when the batch has run.
func queueJobs(b *pgx.Batch, sql string, args ...any) *[]store.QueuedJob {
	list := &[]store.QueuedJob{}
	var q queuedScan
	queue(b, sql, args, q.into(), func() error {
		*list = append(*list, q.read())
		return nil
	})
	return list
}

// deliveries reads the deliveries that a query of deliveryColumns finds.
func (c conn) deliveries(ctx context.Context, sql string, args ...any) (list []store.DeliveryRow, err error) {
	var d delivery
	err = c.query(ctx, sql, args, d.into(), func() error {
		list = append(list, d.read())
		return nil
	})
	return list, err
}

// itsJob joins each delivery with its job by an index look-up, as itsMessage does.
const itsJob = `LEFT JOIN LATERAL (SELECT * FROM job WHERE id = d.job LIMIT 1) j ON true`

// deliveriesOf selects the deliveries of one message.
const deliveriesOf = `SELECT ` + deliveryColumns + ` FROM delivery d ` + itsJob + ` WHERE d.message = $1`

// number reads one number, 0 when there is none.
func (c conn) number(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = c.query(ctx, sql, args, []any{&n}, func() error { return nil })
	return n, err
}

// numbers reads a column of numbers.
func (c conn) numbers(ctx context.Context, sql string, args ...any) (list []int64, err error) {
	var n int64
	err = c.query(ctx, sql, args, []any{&n}, func() error {
		list = append(list, n)
		return nil
	})
	return list, err
}

// blob returns a string as a bytea value, NULL for an empty one.
func blob(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

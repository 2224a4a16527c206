package postgres

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// parcelItem is one parcel of a batch of reads.
type parcelItem struct {
	job   gateway.JobID
	fence int64
	row   parcelRow // the row of the job; its ID is 0 when there is none
}

// Parcel returns a leased job with its message. Calls at the same time are read
// together.
func (s *Store) Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error) {
	p := &parcelItem{job: job, fence: fence}
	if err := s.parcels.Do(ctx, p, 0); err != nil {
		return gateway.Parcel{}, err
	}
	if !p.row.LeasedUnder(fence) {
		return gateway.Parcel{}, gateway.ErrStale
	}
	parcel, err := s.parcel(ctx, &p.row)
	s.correctParcel(&parcel)
	return parcel, err
}

// storedParcels reads the parcels of a batch in one snapshot.
func (s *Store) storedParcels(batch []*store.Item[*parcelItem]) {
	ctx := context.Background() // a read has its own time limit
	ids := make([]int64, len(batch))
	for i, item := range batch {
		ids[i] = int64(item.Work.job)
	}
	var found map[gateway.JobID]*parcelRow
	err := s.read(ctx, func(ctx context.Context, c conn) error {
		b := &pgx.Batch{}
		b.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
		found = queueParcels(b, ids, true)
		b.Queue(`COMMIT`)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return c.undo(ctx, err)
		}
		return c.nameAnswered(ctx, found)
	})
	for _, item := range batch {
		if item.Err = err; err != nil {
			continue
		}
		if row := found[item.Work.job]; row != nil {
			item.Work.row = *row
		}
	}
}

// parcelRow is a job with its message and deliveries, as they are stored.
type parcelRow struct {
	store.QueuedJob
	bodyRow
	deliveries []store.DeliveryRow
	answered   *store.AnsweredRow // nil when the sender does not have that message
	thread     string             // of a push
}

// The jobs with their messages, with the bodies where $2 is set. For a destination with
// the prefix $3 they have whether its agent met the sender in the message. jobDeliveries
// are the deliveries that wait for the jobs, or all deliveries of the message for a job
// with a payload.
const (
	jobsWithMessages = `SELECT ` + jobColumns + `, ` + envelopeColumns + `, CASE WHEN $2 THEN m.body END,
			starts_with(j.destination, $3) AND ` + isFirst + `(SELECT d.agent FROM delivery d WHERE d.message = j.message AND d.job = j.id LIMIT 1))
		FROM job j CROSS JOIN LATERAL (SELECT * FROM message WHERE id = j.message LIMIT 1) m WHERE j.id = ANY ($1::bigint[])`
	jobDeliveries = `SELECT ` + deliveryColumns + `, d.thread, j.id FROM job j
		CROSS JOIN LATERAL (SELECT * FROM delivery WHERE message = j.message AND (job = j.id OR j.payload IS NOT NULL) OFFSET 0) d WHERE j.id = ANY ($1::bigint[])`
)

// queueParcels reads jobs with their messages and deliveries. The map that it returns
// is filled when the batch has run.
func queueParcels(b *pgx.Batch, ids []int64, body bool) map[gateway.JobID]*parcelRow {
	found := make(map[gateway.JobID]*parcelRow, len(ids))
	var q queuedScan
	var e envelope
	var content []byte
	into := append(append(q.into(), e.into()...), &content, &e.row.First)
	queue(b, jobsWithMessages, []any{ids, body, gateway.KindPush.Prefix()}, into, func() error {
		found[gateway.JobID(q.id)] = &parcelRow{QueuedJob: q.read(), bodyRow: bodyRow{e.read(), content, ""}}
		return nil
	})
	var d delivery
	var thread []byte
	var job int64
	queue(b, jobDeliveries, []any{ids}, append(d.into(), &thread, &job), func() error {
		if p := found[gateway.JobID(job)]; p != nil { // a job whose message is gone is skipped
			p.deliveries, p.thread = append(p.deliveries, d.read()), string(thread)
		}
		return nil
	})
	return found
}

// parcel returns the parcel that the row holds.
func (s *Store) parcel(ctx context.Context, r *parcelRow) (p gateway.Parcel, err error) {
	p = gateway.Parcel{Job: r.Job, Body: r.body, At: r.At()}
	if r.answered != nil {
		p.InReplyTo, p.Answered = r.answered.Answered(s.dir)
	}
	if p.Envelope, err = s.envelope(ctx, r.EnvelopeRow); err != nil {
		return gateway.Parcel{}, err
	}
	if p.Recipients, err = s.deliveries(ctx, r.Carried(r.deliveries)); err != nil {
		return gateway.Parcel{}, err
	}
	if r.Destination.Agent() != 0 {
		p.Thread = store.Thread(r.thread, p.Envelope.ID)
	}
	return p, nil
}

// answeredMessages finds the messages that others answer, in the mailboxes of the
// answering senders. It adds their deliveries to other domains whose recipients got the
// message under another id than the first recipient.
const answeredMessages = `SELECT q.job, m.uuid, m.given_id, m.sender_agent IS NOT NULL, coalesce(m.sender, ''),
		coalesce(c.address, ''), coalesce(c.further, false), coalesce(c.redriven, 0)
	FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) q (job, agent, ref, uuid)
	CROSS JOIN LATERAL (SELECT coalesce(
		(SELECT p.id FROM message p WHERE p.uuid = q.uuid AND
			(p.sender_agent = q.agent OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = p.id AND d.agent = q.agent))),
		(SELECT a.message FROM alias a WHERE a.id = q.ref AND a.agent = q.agent ORDER BY length(a.variant), a.message DESC LIMIT 1)) AS id) known
	JOIN message m ON m.id = known.id
	LEFT JOIN LATERAL (SELECT d.address, d.further, d.redriven FROM delivery d WHERE d.message = m.id AND m.sender_agent IS NOT NULL
		AND d.agent = 0 AND (d.further OR d.redriven IS NOT NULL)) c ON true`

// nameAnswered notes, for each message that answers another, what is known of the
// answered message. It notes nothing when the sender does not have that message.
func (c conn) nameAnswered(ctx context.Context, found map[gateway.JobID]*parcelRow) error {
	var jobs, agents []int64
	var refs, asUUID [][]byte
	for id, p := range found {
		if p.InReplyTo == "" || p.EnvelopeRow.SenderAgent == 0 {
			continue
		}
		var known []byte
		if u, ok := amtp.MessageID(p.InReplyTo).UUID(); ok {
			known = u[:]
		}
		jobs, agents = append(jobs, int64(id)), append(agents, int64(p.EnvelopeRow.SenderAgent))
		refs, asUUID = append(refs, []byte(p.InReplyTo)), append(asUUID, known)
	}
	if len(jobs) == 0 {
		return nil
	}
	var job int64
	var a store.AnsweredRow
	var given []byte
	var copied store.DeliveryRow
	into := []any{&job, &a.UUID, &given, &a.Local, &a.Sender, &copied.Address, &copied.Further, &copied.Redriven}
	return c.query(ctx, answeredMessages, []any{jobs, agents, refs, asUUID}, into, func() error {
		p := found[gateway.JobID(job)]
		if p.answered == nil {
			one := a
			one.GivenID, p.answered = string(given), &one
		}
		if copied.Address != "" {
			p.answered.Copies = append(p.answered.Copies, copied)
		}
		return nil
	})
}

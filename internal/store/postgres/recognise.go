package postgres

import (
	"bytes"
	"context"
	"errors"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// accept stores one message or recognises it as a retry. If another transaction accepts
// the same message at the same time, a unique constraint fails, and the transaction
// runs again.
func (t *tx) accept(ctx context.Context, a *store.Incoming) (gateway.Accepted, error) {
	paused, err := t.number(ctx, `SELECT 1 FROM setting WHERE name = $1`, pausedSetting)
	if err != nil {
		return gateway.Accepted{}, err
	}
	if paused != 0 {
		return gateway.Accepted{}, gateway.ErrPaused
	}
	modes, err := t.modes(ctx, a)
	if err != nil {
		return gateway.Accepted{}, err
	}
	recipients := living(a.Recipients, modes)
	if !knows(t.dir, recipients) {
		return gateway.Accepted{}, errElsewhere
	}
	if _, lives := modes[a.SenderAgent]; a.SenderAgent != 0 && !lives {
		recipients = nil
	}
	row, err := t.number(ctx, `SELECT nextval('message_id')`)
	if err != nil {
		return gateway.Accepted{}, err
	}
	prior, taken, err := store.Recognise(ctx, a, lookups{t, row}, len(recipients) > 0)
	if err != nil {
		return gateway.Accepted{}, err
	}
	to := &addressing{Incoming: a, row: row, modes: modes}
	if to.threads, err = t.threads(ctx, a, recipients); err != nil {
		return gateway.Accepted{}, err
	}
	if prior != 0 {
		to.row = prior
		return t.repeat(ctx, to, recipients)
	}
	if len(recipients) == 0 {
		return gateway.Accepted{}, gateway.ErrNotFound
	}
	m := &acceptRows{}
	id, given := a.Name(taken)
	to.id = store.MessageID(id[:])
	m.message(a, row, id, given, to.threads[a.SenderAgent])
	for _, r := range recipients {
		m.deliver(t.dir, to, r)
	}
	return gateway.Accepted{ID: to.id, Deliveries: to.before}, t.insertMail(ctx, m)
}

// modes returns the delivery modes of the sender and the recipients that are living
// agents here.
func (t *tx) modes(ctx context.Context, a *store.Incoming) (map[gateway.AgentID]string, error) {
	ids := []int64{int64(a.SenderAgent)}
	for _, r := range a.Recipients {
		ids = append(ids, int64(r.Agent))
	}
	modes := make(map[gateway.AgentID]string)
	var id int64
	var mode string
	err := t.query(ctx, livingAgents, []any{ids}, []any{&id, &mode}, func() error {
		modes[gateway.AgentID(id)] = mode
		return nil
	})
	return modes, err
}

// insertMail writes rows in a transaction that continues.
func (t *tx) insertMail(ctx context.Context, m *acceptRows) error {
	ids, err := t.jobIDs(ctx, len(m.jobs.message))
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	rings := m.queue(b, ids)
	if err := t.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	t.rings = append(t.rings, rings...)
	t.work = append(t.work, m.jobs.destination...)
	return nil
}

// repeat answers a retry, and delivers to the recipients that it adds. The message is
// locked until the commit, so that two retries that add one recipient run one after
// another.
func (t *tx) repeat(ctx context.Context, to *addressing, recipients []gateway.Recipient) (gateway.Accepted, error) {
	var uuid []byte
	err := t.query(ctx, `SELECT uuid FROM message WHERE id = $1 FOR UPDATE`, []any{to.row}, []any{&uuid},
		func() error { return nil })
	if err == nil && uuid == nil {
		err = errRetention
	}
	if err != nil {
		return gateway.Accepted{}, err
	}
	id := store.MessageID(uuid)
	deliveries, err := t.deliveriesOf(ctx, to.row)
	if err != nil {
		return gateway.Accepted{}, err
	}
	if added := store.Added(deliveries, recipients, t.dir); len(added) > 0 {
		to.id, to.before = id, deliveries
		if err := t.add(ctx, to, added); err != nil {
			return gateway.Accepted{}, err
		}
		if deliveries, err = t.deliveriesOf(ctx, to.row); err != nil {
			return gateway.Accepted{}, err
		}
	}
	return store.Replayed(id, deliveries), nil
}

// errRetention is the error when a message was forgotten between two reads of it.
var errRetention = errors.New("the message has just been forgotten; try again")

func (t *tx) deliveriesOf(ctx context.Context, row int64) ([]gateway.Delivery, error) {
	rows, err := t.deliveries(ctx, deliveriesOf, row)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if rows[i].Agent != 0 && !t.dir.Knows(rows[i].Agent) {
			return nil, errElsewhere
		}
	}
	return store.Deliveries(rows, t.dir), nil
}

// add delivers a stored message to more recipients.
func (t *tx) add(ctx context.Context, to *addressing, recipients []gateway.Recipient) error {
	to.known = make(map[gateway.Destination]gateway.JobID)
	at := store.Micros(to.ReceivedAt)
	for _, r := range recipients {
		d := gateway.Destination(r.Address.Domain())
		if r.Agent != 0 {
			if to.modes[r.Agent] != store.ModePush {
				continue
			}
			d = gateway.PushTo(r.Agent)
		}
		id, err := t.joinJob(ctx, to.row, d, at)
		if err != nil {
			return err
		}
		if id != 0 {
			to.known[d] = id
		}
	}
	m := &acceptRows{}
	for _, r := range recipients {
		m.deliver(t.dir, to, r)
	}
	if err := t.insertMail(ctx, m); err != nil {
		return err
	}
	// An added recipient gets the body, even when its retention had ended.
	back, err := t.change(ctx, `UPDATE message SET body = $1 WHERE id = $2 AND body IS NULL`, to.Message.Raw(), to.row)
	if err == nil && back > 0 {
		err = t.lookAt(ctx, to.row, to.ReceivedAt)
	}
	return err
}

// lookups answers store.Recognise in a transaction. After an error the transaction is
// rolled back.
type lookups struct {
	*tx
	row int64 // of the new message
}

// KeepKey stores a new idempotency key.
func (l lookups) KeepKey(ctx context.Context, in *store.Incoming, row int64) (bool, error) {
	target, used := l.row, int64(0)
	if row != 0 { // another key, which is not in the stored body
		target, used = row, store.Micros(in.ReceivedAt)
	}
	kept, err := l.change(ctx,
		`INSERT INTO dedup (key, message, used) VALUES ($1, $2, nullif($3::bigint, 0)) ON CONFLICT DO NOTHING`,
		in.Dedup[:], target, used)
	if err == nil && kept == 1 && row != 0 {
		err = l.lookAt(ctx, row, in.ReceivedAt) // the retention of this key was not planned for
	}
	return kept == 1, err
}

// ByKey returns the row of the message for which the key is stored.
func (l lookups) ByKey(ctx context.Context, in *store.Incoming) (int64, error) {
	return l.number(ctx, `SELECT message FROM dedup WHERE key = $1`, in.Dedup[:])
}

// ByID returns the message that has the canonical id.
func (l lookups) ByID(ctx context.Context, in *store.Incoming) (r store.NamedRow, err error) {
	var class int16
	var agent int64
	err = l.query(ctx, `SELECT id, class, coalesce(sender_agent, 0), coalesce(sender, '') FROM message WHERE uuid = $1`,
		[]any{in.Given[:]}, []any{&r.Row, &class, &agent, &r.Sender}, func() error { return nil })
	r.Class, r.Agent = gateway.Class(class), gateway.AgentID(agent)
	return r, err
}

// ByAlias returns the row of the message that the sender knows under the id.
func (l lookups) ByAlias(ctx context.Context, in *store.Incoming) (int64, error) {
	return l.number(ctx, `SELECT message FROM alias WHERE id = $1 AND agent = $2 AND sender = $3 AND variant = $4`,
		[]byte(in.GivenID), int64(in.SenderAgent), in.From(), in.Variant())
}

// HasContent reports whether the stored message has the content. A retry nearly always
// has the same bytes.
func (l lookups) HasContent(ctx context.Context, in *store.Incoming, row int64) (bool, error) {
	var body, fingerprint []byte
	err := l.query(ctx, `SELECT body, fingerprint FROM message WHERE id = $1`, []any{row}, []any{&body, &fingerprint},
		func() error { return nil })
	if err != nil || bytes.Equal(body, in.Message.Raw()) {
		return err == nil, err
	}
	return in.HasContent(body, fingerprint)
}

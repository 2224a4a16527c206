package postgres

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// accept stores one message or recognises it as a retry. Who accepts the same at
// the same time meets a unique name, and begins again.
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
	prior, taken, err := t.prior(ctx, a, row, len(recipients) > 0)
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
	m := &mail{}
	id, given := a.Name(taken)
	to.id = store.MessageID(id[:])
	m.message(a, row, id, given, to.threads[a.SenderAgent])
	for _, r := range recipients {
		m.deliver(t.dir, to, r)
	}
	return gateway.Accepted{ID: to.id, Deliveries: to.before}, t.insertMail(ctx, m)
}

// modes returns how those of the sender and the recipients who live here get
// their messages.
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

// insertMail writes rows in a transaction that goes on.
func (t *tx) insertMail(ctx context.Context, m *mail) error {
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

// repeat answers a retry, and delivers to the recipients it adds. The message is
// held until the commit: two retries that add one recipient come one after the
// other.
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
	out := gateway.Accepted{ID: store.MessageID(uuid), Replayed: true}
	if out.Deliveries, err = t.deliveriesOf(ctx, to.row); err != nil {
		return gateway.Accepted{}, err
	}
	added := slices.DeleteFunc(recipients, func(r gateway.Recipient) bool {
		return store.Has(out.Deliveries, r, t.dir)
	})
	if len(added) > 0 {
		to.id, to.before = out.ID, out.Deliveries
		if err := t.add(ctx, to, added); err != nil {
			return gateway.Accepted{}, err
		}
		if out.Deliveries, err = t.deliveriesOf(ctx, to.row); err != nil {
			return gateway.Accepted{}, err
		}
	}
	for i := range out.Deliveries {
		out.Deliveries[i].ID = 0
	}
	return out, nil
}

// errRetention is met when a message was forgotten between two looks at it.
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

// add delivers a message that is there already to more recipients.
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
	m := &mail{}
	for _, r := range recipients {
		m.deliver(t.dir, to, r)
	}
	if err := t.insertMail(ctx, m); err != nil {
		return err
	}
	// Who is added gets the content, also when its retention was over.
	back, err := t.change(ctx, `UPDATE message SET body = $1 WHERE id = $2 AND body IS NULL`, to.Message.Raw(), to.row)
	if err == nil && back > 0 {
		err = t.lookAt(ctx, to.row, to.ReceivedAt)
	}
	return err
}

// prior returns the row of the message that a repeats, 0 for none, and whether
// a's given id already is some other message's. A new idempotency key is
// remembered on the way if keep is set, for the message that a repeats or else
// for row. After an error the transaction is given up.
func (t *tx) prior(ctx context.Context, a *store.Incoming, row int64, keep bool) (prior int64, taken bool, err error) {
	if a.GivenID != "" {
		if prior, taken, err = t.priorByID(ctx, a); err != nil {
			return 0, false, err
		}
	}
	known := prior
	if known == 0 && a.Early != nil {
		if known, err = t.unsigned(ctx, a.Early); err != nil {
			return 0, false, err
		}
	}
	if a.Key == "" {
		return known, taken, nil
	}
	if keep {
		target, used := row, int64(0)
		if known != 0 { // a further key, which the stored body does not tell
			target, used = known, store.Micros(a.ReceivedAt)
		}
		added, err := t.change(ctx,
			`INSERT INTO dedup (key, message, used) VALUES ($1, $2, nullif($3::bigint, 0)) ON CONFLICT DO NOTHING`,
			a.Dedup[:], target, used)
		if err == nil && added == 1 && known != 0 {
			err = t.lookAt(ctx, known, a.ReceivedAt) // an end that was not foreseen
		}
		if err != nil || added == 1 {
			return known, taken, err
		}
	}
	keyed, err := t.keyed(ctx, a)
	switch {
	case err != nil:
		return 0, false, err
	case keyed == 0:
		return known, taken, nil
	case prior != 0 && prior != keyed && a.SenderAgent != 0:
		return 0, false, gateway.ErrReused
	}
	same, err := t.same(ctx, a, keyed)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return keyed, taken, err
}

// keyed returns the row of the message for which a's key is remembered.
func (t *tx) keyed(ctx context.Context, a *store.Incoming) (int64, error) {
	return t.number(ctx, `SELECT message FROM dedup WHERE key = $1`, a.Dedup[:])
}

// unsigned returns the row of the message that a repeats as it came before its
// domain began to sign. What strangers may have sent in the name makes nothing
// impossible: where they confuse the trace there is none.
func (t *tx) unsigned(ctx context.Context, a *store.Incoming) (row int64, err error) {
	if a.GivenID != "" {
		row, _, err = t.priorByID(ctx, a)
		if errors.Is(err, gateway.ErrReused) {
			row, err = 0, nil
		}
		if row != 0 || err != nil {
			return row, err
		}
	}
	if a.Key == "" {
		return 0, nil
	}
	if row, err = t.keyed(ctx, a); row == 0 || err != nil {
		return 0, err
	}
	if same, err := t.same(ctx, a, row); err != nil || !same {
		return 0, err
	}
	return row, nil
}

// priorByID looks for the sender's earlier message under the id that it gives.
func (t *tx) priorByID(ctx context.Context, a *store.Incoming) (row int64, taken bool, err error) {
	if a.IsUUID {
		var class int16
		var agent int64
		var sender string
		err = t.query(ctx,
			`SELECT id, class, coalesce(sender_agent, 0), coalesce(sender, '') FROM message WHERE uuid = $1`,
			[]any{a.Given[:]},
			[]any{&row, &class, &agent, &sender}, func() error { return nil })
		if err != nil {
			return 0, false, err
		}
		taken = row != 0
		if taken && gateway.Class(class) == a.Class && gateway.AgentID(agent) == a.SenderAgent && sender == a.From() {
			same, err := t.same(ctx, a, row)
			if err != nil || same {
				return row, true, err
			}
			if a.Class != gateway.ClassAnonymous {
				return 0, true, gateway.ErrReused
			}
		}
	}
	row, err = t.number(ctx, `SELECT message FROM alias WHERE id = $1 AND agent = $2 AND sender = $3 AND variant = $4`,
		[]byte(a.GivenID), int64(a.SenderAgent), a.From(), a.Variant())
	if row == 0 || err != nil {
		return 0, taken, err
	}
	same, err := t.same(ctx, a, row)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return row, taken, err
}

// same reports whether the stored message has a's content. Retries nearly always
// have the same bytes.
func (t *tx) same(ctx context.Context, a *store.Incoming, row int64) (bool, error) {
	var body, fingerprint []byte
	err := t.query(ctx, `SELECT body, fingerprint FROM message WHERE id = $1`, []any{row}, []any{&body, &fingerprint},
		func() error { return nil })
	if err != nil || bytes.Equal(body, a.Message.Raw()) {
		return err == nil, err
	}
	return a.HasContent(body, fingerprint)
}

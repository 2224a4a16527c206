package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// purgeBytes is the most bytes of bodies that one Purge reads.
const purgeBytes = 8 << 20

// aged is a message that the purge looks at, with the columns that Remains needs.
type aged struct {
	*store.Aged
	class   gateway.Class
	sender  gateway.AgentID
	address string
}

// Purge removes what has outlived its retention.
func (s *Store) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	return store.Purge(ctx, purgeRows{s}, keep, now, after, limit)
}

// purgeRows is the access of store.Purge to this store. Rows are read and bodies are
// parsed outside of the transactions that write. What may have changed since then is
// checked again under a lock on the messages.
type purgeRows struct{ *Store }

// Times returns how the clock reads stored times.
func (s purgeRows) Times(ctx context.Context, now time.Time) (store.Times, error) {
	err := s.correctTimes(ctx, now)
	return s.watch.Times(now), err
}

// Turns returns the next messages to look at.
func (s purgeRows) Turns(ctx context.Context, keep gateway.Retention, times store.Times, limit int,
	out *gateway.Purged) (cursor store.PurgeCursor, list []*store.Aged, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		*out = gateway.Purged{Next: out.Next, Peers: out.Peers} // the read may run again
		if cursor, err = c.purgeCursor(ctx, keep, times); err == nil {
			list, err = c.turns(ctx, &cursor, limit, out)
		}
		return err
	})
	return cursor, list, err
}

// PurgeTurns purges some messages in one transaction.
func (s purgeRows) PurgeTurns(ctx context.Context, list []*store.Aged,
	cursor *store.PurgeCursor) (gateway.Purged, error) {
	return write(ctx, s.Store, func(ctx context.Context, t *tx) (gateway.Purged, error) {
		return t.purge(ctx, list, cursor)
	})
}

// purgeCursor returns the cursor from which the purge continues.
func (c conn) purgeCursor(ctx context.Context, keep gateway.Retention, times store.Times) (store.PurgeCursor, error) {
	var stored string
	err := c.query(ctx, `SELECT value FROM setting WHERE name = $1`, []any{store.PurgeSetting}, []any{&stored},
		func() error { return nil })
	if err != nil {
		return store.PurgeCursor{}, err
	}
	return store.NewPurgeCursor(stored, keep, times)
}

// turns returns the next messages to look at, with the values to write when their
// bodies are deleted. It sets in out what it found.
func (c conn) turns(ctx context.Context, cursor *store.PurgeCursor, limit int,
	out *gateway.Purged) ([]*store.Aged, error) {
	var list []*store.Aged
	var row, received int64
	err := c.query(ctx, `SELECT message FROM purge_turn WHERE due <= $1 ORDER BY due LIMIT $2`,
		[]any{cursor.Now, limit}, []any{&row}, func() error {
			list = append(list, &store.Aged{Turn: store.Turn{Row: row}})
			return nil
		})
	if err == nil && len(list) < limit {
		err = c.query(ctx,
			`SELECT id, received FROM message WHERE (received, id) > ($1, $2) AND received <= $3 ORDER BY received, id LIMIT $4`,
			[]any{cursor.Received, cursor.Message, cursor.Until(), limit - len(list)},
			[]any{&row, &received}, func() error {
				list = append(list, &store.Aged{Turn: store.Turn{Row: row, Received: received, First: true}})
				return nil
			})
	}
	if err == nil && len(list) < limit && cursor.Times.Doubts() {
		err = c.query(ctx, `SELECT id FROM message WHERE received > $1 ORDER BY received LIMIT $2`,
			[]any{cursor.Times.Before(), limit - len(list)},
			[]any{&row}, func() error {
				list = append(list, &store.Aged{Turn: store.Turn{Row: row}})
				return nil
			})
	}
	out.Done = len(list) < limit
	var from map[int64]aged
	if err == nil {
		from, err = c.hold(ctx, list, &cursor.Times)
	}
	if err != nil {
		return nil, err
	}
	var bodies []aged
	var size int64
	for i, m := range list {
		if !m.BodyEnds(cursor) {
			continue
		}
		if size += m.Stored; size > purgeBytes && len(bodies) > 0 {
			list, out.Done = list[:i], false
			break
		}
		a := from[m.Row]
		a.Aged = m
		bodies = append(bodies, a)
	}
	out.Unreadable, err = c.remains(ctx, bodies)
	return list, err
}

// hold reads the values on which the retention of the messages depends, as they are
// now. It returns the senders of the messages, by row.
func (c conn) hold(ctx context.Context, list []*store.Aged, times *store.Times) (map[int64]aged, error) {
	byRow := make(map[int64][]*store.Aged, len(list)) // a message may be in the list twice
	from := make(map[int64]aged, len(list))
	rows := make([]int64, len(list))
	for i, m := range list {
		rows[i], byRow[m.Row] = m.Row, append(byRow[m.Row], m)
		m.Forget()
	}
	if len(list) == 0 {
		return from, nil
	}
	b := &pgx.Batch{}
	var row, size, sender, received int64
	var class int16
	var address string
	queue(b,
		`SELECT m.id, coalesce(length(m.body), 0), m.class, coalesce(m.sender_agent, 0), coalesce(m.sender, ''), m.received FROM message m
			WHERE m.id = ANY ($1::bigint[])`, []any{rows}, []any{&row, &size, &class, &sender, &address, &received}, func() error {
			for _, m := range byRow[row] {
				m.There, m.Stored, m.Body = true, size, size > 0
				m.Fixes.Note(times, received, row)
			}
			from[row] = aged{class: gateway.Class(class), sender: gateway.AgentID(sender), address: address}
			return nil
		})
	var agent, changed int64
	var state int16
	var pushed bool
	queue(b, `SELECT message, agent, state, changed, pushed FROM delivery WHERE message = ANY ($1::bigint[])`,
		[]any{rows},
		[]any{&row, &agent, &state, &changed, &pushed}, func() error {
			d := gateway.Delivery{Agent: gateway.AgentID(agent), State: gateway.State(state)}
			if pushed {
				d.Mode = store.ModePush
			}
			for _, m := range byRow[row] {
				d.Changed = m.Fixes.Note(times, changed, row)
				m.Deliveries = append(m.Deliveries, d)
			}
			return nil
		})
	var key []byte
	var used int64
	queue(b, `SELECT message, key, used FROM dedup WHERE message = ANY ($1::bigint[]) AND used IS NOT NULL`,
		[]any{rows},
		[]any{&row, &key, &used}, func() error {
			for _, m := range byRow[row] {
				m.Used, m.Keys = append(m.Used, key), append(m.Keys, m.Fixes.Note(times, used, row))
			}
			return nil
		})
	return from, c.SendBatch(ctx, b).Close()
}

// remains computes the values to write when bodies are deleted, and returns how many
// bodies cannot be read.
func (c conn) remains(ctx context.Context, list []aged) (unread int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	rows := make([]int64, len(list))
	byRow := make(map[int64]aged, len(list))
	for i, m := range list {
		rows[i], byRow[m.Row] = m.Row, m
	}
	var row int64
	var body []byte
	err = c.query(ctx, `SELECT id, body FROM message WHERE id = ANY ($1::bigint[])`, []any{rows}, []any{&row, &body},
		func() error {
			m := byRow[row]
			fingerprint, key, ok := store.Remains(m.class, m.sender, m.address, body)
			if m.Fingerprint, m.Key = fingerprint, key; !ok {
				unread++
			}
			return nil
		})
	return unread, err
}

// purge removes the expired parts of messages, which are locked until the commit, and
// stores when the purge looks at them again.
func (t *tx) purge(ctx context.Context, list []*store.Aged, cursor *store.PurgeCursor) (did gateway.Purged, err error) {
	rows := make([]int64, len(list))
	for i, m := range list {
		rows[i] = m.Row
	}
	if _, err := t.change(ctx, `SELECT m.id FROM message m WHERE m.id = ANY ($1::bigint[]) ORDER BY m.id FOR UPDATE`,
		rows); err != nil {
		return did, err
	}
	if _, err := t.hold(ctx, list, &cursor.Times); err != nil {
		return did, err
	}
	if err := t.mend(ctx, list); err != nil {
		return did, err
	}
	if err := t.dropBodies(ctx, list, cursor, &did); err != nil {
		return did, err
	}
	if did.Bodies > 0 { // keys that were only in these bodies now have rows with a time
		if _, err := t.hold(ctx, list, &cursor.Times); err != nil {
			return did, err
		}
	}
	if err := t.purgeRest(ctx, list, cursor, &did); err != nil {
		return did, err
	}
	return did, t.pass(ctx, list, cursor)
}

// mend replaces times of messages that a wrong clock wrote.
func (t *tx) mend(ctx context.Context, list []*store.Aged) error {
	var rows, was, right []int64
	for _, m := range list {
		for from, to := range m.Fixes {
			rows, was, right = append(rows, m.Row), append(was, from), append(right, to)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	const mended = ` FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) u (message, was, truly) WHERE `
	for _, sql := range []string{
		`UPDATE delivery d SET changed = u.truly` + mended + `d.message = u.message AND d.changed = u.was`,
		`UPDATE dedup d SET used = u.truly` + mended + `d.message = u.message AND d.used = u.was`,
		`UPDATE message m SET received = u.truly` + mended + `m.id = u.message AND m.received = u.was`,
	} {
		if _, err := t.change(ctx, sql, rows, was, right); err != nil {
			return err
		}
	}
	return nil
}

// dropBodies deletes the bodies whose retention has ended. It keeps the fingerprints,
// and makes the idempotency keys ones that can be found without a body.
func (t *tx) dropBodies(ctx context.Context, list []*store.Aged, cursor *store.PurgeCursor, did *gateway.Purged) error {
	var rows, keyed []int64
	var prints, keys [][]byte
	for _, m := range list {
		if !m.BodyGoes(cursor) {
			continue
		}
		rows, prints = append(rows, m.Row), append(prints, m.Fingerprint)
		if m.Key != nil {
			keyed, keys = append(keyed, m.Row), append(keys, m.Key)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	// A body may still be needed for a report, but not for later work.
	gone, err := t.numbers(ctx,
		`UPDATE message m SET body = NULL, fingerprint = u.print FROM unnest($1::bigint[], $2::bytea[]) u (id, print)
			WHERE m.id = u.id AND m.body IS NOT NULL AND NOT EXISTS (SELECT 1 FROM job j WHERE j.message = m.id AND j.`+store.NeedBody+`) RETURNING m.id`, rows, prints)
	if err != nil || len(gone) == 0 {
		return err
	}
	did.Bodies += len(gone)
	var closed []int64 // nobody can take them any more, so their end is no work
	for _, m := range list {
		if !m.Open() && slices.Contains(gone, m.Row) {
			closed = append(closed, m.Row)
		}
	}
	ended, err := t.change(ctx, `DELETE FROM job WHERE message = ANY ($1::bigint[]) AND destination = $2 AND lease IS NULL`,
		closed, string(gateway.Expiries))
	if t.dead += int(ended); err != nil {
		return err
	}
	if _, err := t.change(ctx, `DELETE FROM search WHERE message = ANY ($1::bigint[])`, gone); err != nil {
		return err
	}
	// Without its content a delivery cannot be redriven.
	if _, err := t.change(ctx,
		`UPDATE delivery SET dead = NULL WHERE message = ANY ($1::bigint[]) AND dead IS NOT NULL`, gone); err != nil {
		return err
	}
	_,
		err = t.change(ctx,
		`UPDATE dedup d SET used = m.received FROM unnest($1::bytea[], $2::bigint[]) u (key, message) JOIN message m ON m.id = u.message
			WHERE d.key = u.key AND d.message = u.message AND d.used IS NULL AND u.message = ANY ($3::bigint[])`, keys, keyed, gone)
	return err
}

// purgeRest forgets the expired idempotency keys of messages without a body, and then
// the messages.
func (t *tx) purgeRest(ctx context.Context, list []*store.Aged, cursor *store.PurgeCursor, did *gateway.Purged) error {
	var keys [][]byte
	var ended []int64
	for _, m := range list {
		if m.Body || !m.There {
			continue
		}
		keys = append(keys, m.KeysDue(cursor)...)
		if m.StatusEnds(cursor) {
			ended = append(ended, m.Row)
		}
	}
	if len(keys) > 0 {
		n, err := t.change(ctx, `DELETE FROM dedup WHERE key = ANY ($1::bytea[]) AND used IS NOT NULL`, keys)
		if did.Keys = int(n); err != nil {
			return err
		}
	}
	gone, err := t.forget(ctx, ended)
	did.Messages = len(gone)
	for _, m := range list {
		m.There = m.There && !slices.Contains(gone, m.Row)
	}
	return err
}

// forget removes messages without a body, and all rows that refer to them. It returns
// the rows of the removed messages. A message stays while one of its keys is stored or a job waits, or
// while it, or its delivery, is the newest.
func (t *tx) forget(ctx context.Context, rows []int64) (gone []int64, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	gone, err = t.numbers(ctx,
		`DELETE FROM message m WHERE m.id = ANY ($1::bigint[]) AND m.body IS NULL AND m.id <> (SELECT max(id) FROM message)
			AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.seq = (SELECT max(seq) FROM delivery))
			AND NOT EXISTS (SELECT 1 FROM job j WHERE j.message = m.id)
			AND NOT EXISTS (SELECT 1 FROM dedup k WHERE k.message = m.id AND k.used IS NOT NULL) RETURNING m.id`, rows)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	if _, err := t.change(ctx, `DELETE FROM alias WHERE message = ANY ($1::bigint[])`, gone); err != nil {
		return nil, err
	}
	if _, err := t.change(ctx, `DELETE FROM label WHERE message = ANY ($1::bigint[])`, gone); err != nil {
		return nil, err
	}
	_, err = t.change(ctx, `DELETE FROM delivery WHERE message = ANY ($1::bigint[])`, gone)
	return gone, err
}

// pass stores when the purge looks at the messages again, and how far it has come.
func (t *tx) pass(ctx context.Context, list []*store.Aged, cursor *store.PurgeCursor) error {
	var rows, due, gone []int64
	for _, m := range list {
		switch {
		case !m.There:
			gone = append(gone, m.Row)
		case !slices.Contains(rows, m.Row):
			rows, due = append(rows, m.Row), append(due, store.Micros(m.Again(cursor)))
		}
	}
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM purge_turn WHERE message = ANY ($1::bigint[])`, gone)
	b.Queue(`INSERT INTO purge_turn (message, due) SELECT * FROM unnest($1::bigint[], $2::bigint[]) u (message, due) ORDER BY message
			ON CONFLICT (message) DO UPDATE SET due = excluded.due`, rows, due)
	b.Queue(`INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		store.PurgeSetting, cursor.String())
	return t.SendBatch(ctx, b).Close()
}

// lookAt makes the purge look at a message at that time, and not before. It locks the
// message first, as the purge does.
func (t *tx) lookAt(ctx context.Context, row int64, at time.Time) error {
	_,
		err := t.change(ctx,
		`INSERT INTO purge_turn (message, due) SELECT m.id, $2::bigint FROM (SELECT id FROM message WHERE id = $1 FOR UPDATE) m
			ON CONFLICT (message) DO UPDATE SET due = excluded.due`, row, store.Micros(at))
	return err
}

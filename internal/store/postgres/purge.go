package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// purgeBytes bounds the bodies that one Purge reads.
const purgeBytes = 8 << 20

// aged is a message of which something may be due.
type aged struct {
	row         int64
	received    int64
	size        int64 // of the body, 0 when it was removed before
	class       gateway.Class
	sender      gateway.AgentID
	address     string
	deliveries  []gateway.Delivery
	keys        []usedKey
	fingerprint []byte // of a body that is to be removed, else nil
	key         []byte // the idempotency key that the body tells, or nil
}

type usedKey struct {
	key  []byte
	used int64
}

// Purge removes what has outlived its retention. It is read beside all who write
// what is due, and bodies are parsed there; what may have changed meanwhile is
// looked at again under a lock on the messages.
func (s *Store) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64, limit int) (gateway.Purged, error) {
	out := gateway.Purged{Next: after}
	if after == 0 {
		gone, err := s.purgePeers(ctx, now.Add(-keep.Peer()), limit)
		if out.Peers = gone; err != nil || gone == limit {
			return out, err
		}
	}
	var due []*aged
	err := s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		out = gateway.Purged{Next: after, Peers: out.Peers} // it may be the second time
		due, err = c.due(ctx, keep, now, limit, &out)
		return err
	})
	if err != nil {
		return gateway.Purged{Next: after}, err
	}
	if len(due) == 0 {
		return out, nil
	}
	did, err := write(ctx, s, func(ctx context.Context, t *tx) (gateway.Purged, error) { return t.purge(ctx, due, keep, now) })
	if err != nil {
		return gateway.Purged{Next: after}, err
	}
	out.Bodies, out.Messages, out.Keys = did.Bodies, did.Messages, did.Keys
	return out, nil
}

// due returns what is due among the next messages, and notes in out how far it
// looked.
func (c conn) due(ctx context.Context, keep gateway.Retention, now time.Time, limit int, out *gateway.Purged) (due []*aged, err error) {
	list, err := c.agedOf(ctx, `WHERE m.id > $1 ORDER BY m.id LIMIT $2`, out.Next, limit)
	if err != nil {
		return nil, err
	}
	out.Done = len(list) < limit
	var bodies []*aged
	var size int64
	for _, m := range list {
		if store.FromMicros(m.received).Add(keep.Shortest()).After(now) {
			out.Done = true // those behind it came later still
			break
		}
		if size > 0 && size+m.size > purgeBytes {
			out.Done = false
			break
		}
		if m.isDue(keep, now) {
			if due = append(due, m); m.size > 0 {
				bodies = append(bodies, m)
			}
			size += m.size
		}
		out.Next = m.row
	}
	unread, err := c.remains(ctx, bodies)
	if err != nil {
		return nil, err
	}
	kept := due[:0]
	for _, m := range due {
		if unread[m.row] {
			out.Unread++
			continue
		}
		kept = append(kept, m)
	}
	return kept, nil
}

// isDue reports whether something of the message is due.
func (m *aged) isDue(keep gateway.Retention, now time.Time) bool {
	if m.size > 0 {
		at, ends := keep.BodyEnds(m.deliveries)
		return ends && !at.After(now)
	}
	if at, ends := keep.StatusEnds(m.deliveries); ends && !at.After(now) {
		return true
	}
	return len(m.keysDue(keep, now)) > 0
}

// keysDue returns the message's keys that may be forgotten, of those that no
// body tells any more.
func (m *aged) keysDue(keep gateway.Retention, now time.Time) (keys [][]byte) {
	for _, k := range m.keys {
		if at, ends := keep.KeyEnds(store.FromMicros(k.used), m.deliveries); ends && !at.After(now) {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// agedOf reads what a message's retention depends on, of those that the end of a
// query finds.
func (c conn) agedOf(ctx context.Context, end string, args ...any) (list []*aged, err error) {
	byRow := make(map[int64]*aged)
	var rows []int64
	var m aged
	var class int16
	var sender int64
	err = c.query(ctx, `SELECT m.id, m.received, coalesce(length(m.body), 0), m.class, coalesce(m.sender_agent, 0), coalesce(m.sender, '') FROM message m `+end,
		args, []any{&m.row, &m.received, &m.size, &class, &sender, &m.address}, func() error {
			one := m
			one.class, one.sender = gateway.Class(class), gateway.AgentID(sender)
			list, rows, byRow[one.row] = append(list, &one), append(rows, one.row), &one
			return nil
		})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	b := &pgx.Batch{}
	var row, agent, changed int64
	var state int16
	var pushed bool
	queue(b, `SELECT message, agent, state, changed, pushed FROM delivery WHERE message = ANY ($1::bigint[])`, []any{rows},
		[]any{&row, &agent, &state, &changed, &pushed}, func() error {
			d := gateway.Delivery{Agent: gateway.AgentID(agent), State: gateway.State(state), Changed: store.FromMicros(changed)}
			if pushed {
				d.Mode = store.ModePush
			}
			byRow[row].deliveries = append(byRow[row].deliveries, d)
			return nil
		})
	var k usedKey
	queue(b, `SELECT message, key, used FROM dedup WHERE message = ANY ($1::bigint[]) AND used IS NOT NULL`, []any{rows},
		[]any{&row, &k.key, &k.used}, func() error {
			byRow[row].keys = append(byRow[row].keys, k)
			return nil
		})
	return list, c.SendBatch(ctx, b).Close()
}

// remains computes what has to be written when bodies go, and returns which of
// them cannot be read.
func (c conn) remains(ctx context.Context, list []*aged) (unread map[int64]bool, err error) {
	rows := make([]int64, len(list))
	byRow := make(map[int64]*aged, len(list))
	for i, m := range list {
		rows[i], byRow[m.row] = m.row, m
	}
	unread = make(map[int64]bool)
	var row int64
	var body []byte
	err = c.query(ctx, `SELECT id, body FROM message WHERE id = ANY ($1::bigint[])`, []any{rows}, []any{&row, &body}, func() error {
		m := byRow[row]
		fingerprint, key, ok := store.Remains(m.class, m.sender, m.address, body)
		m.fingerprint, m.key, unread[row] = fingerprint, key, !ok
		return nil
	})
	return unread, err
}

// purge removes what is due of messages that are held until the commit.
func (t *tx) purge(ctx context.Context, due []*aged, keep gateway.Retention, now time.Time) (did gateway.Purged, err error) {
	rows := make([]int64, len(due))
	before := make(map[int64]*aged, len(due))
	for i, m := range due {
		rows[i], before[m.row] = m.row, m
	}
	if _, err := t.change(ctx, `SELECT m.id FROM message m WHERE m.id = ANY ($1::bigint[]) ORDER BY m.id FOR UPDATE`, rows); err != nil {
		return did, err
	}
	held, err := t.agedOf(ctx, `WHERE m.id = ANY ($1::bigint[]) ORDER BY m.id`, rows)
	if err != nil {
		return did, err
	}
	if err := t.dropBodies(ctx, held, before, keep, now, &did); err != nil {
		return did, err
	}
	// With the bodies the keys that they told have become rows with a time.
	if held, err = t.agedOf(ctx, `WHERE m.id = ANY ($1::bigint[]) ORDER BY m.id`, rows); err != nil {
		return did, err
	}
	var keys [][]byte
	var ended []int64
	for _, m := range held {
		if m.size > 0 {
			continue
		}
		keys = append(keys, m.keysDue(keep, now)...)
		if at, ends := keep.StatusEnds(m.deliveries); ends && !at.After(now) {
			ended = append(ended, m.row)
		}
	}
	n, err := t.change(ctx, `DELETE FROM dedup WHERE key = ANY ($1::bytea[]) AND used IS NOT NULL AND message = ANY ($2::bigint[])`, keys, rows)
	did.Keys = int(n)
	if err == nil && len(ended) > 0 {
		err = t.forget(ctx, ended, &did)
	}
	return did, err
}

// dropBodies removes the bodies that are still due, and keeps what they were
// needed for: the fingerprints and the way to their keys.
func (t *tx) dropBodies(ctx context.Context, held []*aged, before map[int64]*aged, keep gateway.Retention, now time.Time, did *gateway.Purged) error {
	var rows, keyed []int64
	var prints, keys [][]byte
	for _, m := range held {
		was := before[m.row]
		at, ends := keep.BodyEnds(m.deliveries)
		if was.fingerprint == nil || m.size == 0 || !ends || at.After(now) {
			continue // a retry has added a recipient meanwhile
		}
		rows, prints = append(rows, m.row), append(prints, was.fingerprint)
		if was.key != nil {
			keyed, keys = append(keyed, m.row), append(keys, was.key)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var gone []int64
	var row int64
	// A report may have yet to be made of a body.
	err := t.query(ctx, `UPDATE message m SET body = NULL, fingerprint = u.print FROM unnest($1::bigint[], $2::bytea[]) u (id, print)
			WHERE m.id = u.id AND m.body IS NOT NULL AND NOT EXISTS (SELECT 1 FROM job j WHERE j.message = m.id) RETURNING m.id`,
		[]any{rows, prints}, []any{&row}, func() error {
			gone = append(gone, row)
			return nil
		})
	if err != nil {
		return err
	}
	did.Bodies += len(gone)
	// Without its content nobody can try it again.
	if _, err := t.change(ctx, `UPDATE delivery SET dead = NULL WHERE message = ANY ($1::bigint[]) AND dead IS NOT NULL`, gone); err != nil {
		return err
	}
	_, err = t.change(ctx, `UPDATE dedup d SET used = m.received FROM unnest($1::bytea[], $2::bigint[]) u (key, message) JOIN message m ON m.id = u.message
			WHERE d.key = u.key AND d.message = u.message AND d.used IS NULL AND u.message = ANY ($3::bigint[])`, keys, keyed, gone)
	return err
}

// forget removes messages whose bodies are gone with everything that points to
// them. One stays while one of its keys is remembered, or while it, or its
// delivery, is the newest.
func (t *tx) forget(ctx context.Context, rows []int64, did *gateway.Purged) error {
	var gone []int64
	var row int64
	err := t.query(ctx, `DELETE FROM message m WHERE m.id = ANY ($1::bigint[]) AND m.body IS NULL AND m.id <> (SELECT max(id) FROM message)
			AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.seq = (SELECT max(seq) FROM delivery))
			AND NOT EXISTS (SELECT 1 FROM dedup k WHERE k.message = m.id AND k.used IS NOT NULL) RETURNING m.id`, []any{rows}, []any{&row}, func() error {
		gone = append(gone, row)
		return nil
	})
	if err != nil || len(gone) == 0 {
		return err
	}
	did.Messages += len(gone)
	if _, err := t.change(ctx, `DELETE FROM alias WHERE message = ANY ($1::bigint[])`, gone); err != nil {
		return err
	}
	_, err = t.change(ctx, `DELETE FROM delivery WHERE message = ANY ($1::bigint[])`, gone)
	return err
}

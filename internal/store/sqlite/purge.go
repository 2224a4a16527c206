package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// purgeBytes bounds the bodies that one Purge removes: the writer walks through
// every page of them, and messages wait behind it.
const purgeBytes = 8 << 20

// aged is a message of which something is due.
type aged struct {
	row         int64
	size        int64  // of the body, 0 when it was removed before
	fingerprint []byte // of a body that is to be removed, else nil
	key         []byte // the idempotency key that the body tells, or nil
}

// Purge removes what has outlived its retention. It is read beside the writer
// what is due, and bodies are parsed there; the writer looks again at what may
// have changed meanwhile.
func (s *Store) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64, limit int) (gateway.Purged, error) {
	out := gateway.Purged{Next: after}
	if after == 0 {
		gone, err := s.purgePeers(ctx, now.Add(-keep.Peer()), limit)
		if out.Peers = gone; err != nil || gone == limit {
			return out, err
		}
	}
	var due []aged
	err := s.read(ctx, func(r *reader) (err error) {
		due, err = r.due(keep, now, limit, &out)
		return err
	})
	if err != nil || len(due) == 0 {
		return out, err
	}
	var size int64
	for i := range due {
		size += due[i].size
	}
	var did gateway.Purged
	err = s.write(ctx, int(size), func(w *writer) error {
		did = gateway.Purged{}
		for i := range due {
			if err := w.purge(&due[i], keep, now, &did); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return gateway.Purged{Next: after}, err // did is not ours while the write goes on
	}
	out.Bodies, out.Messages, out.Keys = did.Bodies, did.Messages, did.Keys
	return out, nil
}

// due returns what is due among the next messages, and notes in out how far it
// looked.
func (r *reader) due(keep gateway.Retention, now time.Time, limit int, out *gateway.Purged) ([]aged, error) {
	type candidate struct {
		aged
		received time.Time
	}
	var list []candidate
	err := r.query(`SELECT id, received, coalesce(length(body), 0) FROM message WHERE id > ? ORDER BY id LIMIT ?`,
		func(s *sqlite3.Stmt) error {
			list = append(list, candidate{aged{row: s.ColumnInt64(0), size: s.ColumnInt64(2)}, store.FromMicros(s.ColumnInt64(1))})
			return nil
		}, out.Next, limit)
	if err != nil {
		return nil, err
	}
	out.Done = len(list) < limit
	var due []aged
	var size int64
	for i := range list {
		m := &list[i]
		if m.received.Add(keep.Shortest()).After(now) {
			out.Done = true // those behind it came later still
			break
		}
		if size > 0 && size+m.size > purgeBytes {
			out.Done = false
			break
		}
		is, err := r.isDue(&m.aged, keep, now)
		switch {
		case err != nil:
			return nil, err
		case is && !r.prepare(&m.aged):
			out.Unread++
		case is:
			due = append(due, m.aged)
			size += m.size
		}
		out.Next = m.row
	}
	return due, nil
}

// isDue reports whether something of the message is due.
func (r *reader) isDue(m *aged, keep gateway.Retention, now time.Time) (bool, error) {
	deliveries, err := r.standing(m.row)
	if err != nil {
		return false, err
	}
	if m.size > 0 {
		at, ends := keep.BodyEnds(deliveries)
		return ends && !at.After(now), nil
	}
	if at, ends := keep.StatusEnds(deliveries); ends && !at.After(now) {
		return true, nil
	}
	keys, err := r.keysDue(m.row, keep, now, deliveries)
	return len(keys) > 0, err
}

// prepare computes what has to be written when the body goes. It is false when
// the body cannot be read.
func (r *reader) prepare(m *aged) bool {
	if m.size == 0 {
		return true
	}
	var class gateway.Class
	var agent gateway.AgentID
	var sender string
	var body []byte
	err := r.query(`SELECT class, sender_agent, sender, body FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		class, agent, sender = gateway.Class(s.ColumnInt64(0)), gateway.AgentID(s.ColumnInt64(1)), s.ColumnText(2)
		body = s.ColumnBlob(3, nil)
		return nil
	}, m.row)
	if err != nil {
		return false
	}
	fingerprint, key, ok := store.Remains(class, agent, sender, body)
	m.fingerprint, m.key = fingerprint, key
	return ok
}

// standing reads of a message's deliveries what its retention depends on.
func (c *statements) standing(row int64) (list []gateway.Delivery, err error) {
	err = c.query(`SELECT agent, state, changed, pushed FROM delivery WHERE message = ?`, func(s *sqlite3.Stmt) error {
		d := gateway.Delivery{
			Agent: gateway.AgentID(s.ColumnInt64(0)), State: gateway.State(s.ColumnInt64(1)), Changed: store.FromMicros(s.ColumnInt64(2)),
		}
		if s.ColumnBool(3) {
			d.Mode = store.ModePush
		}
		list = append(list, d)
		return nil
	}, row)
	return list, err
}

// keysDue returns the message's keys that may be forgotten, of those that no
// body tells any more.
func (c *statements) keysDue(row int64, keep gateway.Retention, now time.Time, deliveries []gateway.Delivery) (keys [][]byte, err error) {
	err = c.query(`SELECT key, used FROM dedup WHERE message = ? AND used IS NOT NULL`, func(s *sqlite3.Stmt) error {
		if at, ends := keep.KeyEnds(store.FromMicros(s.ColumnInt64(1)), deliveries); ends && !at.After(now) {
			keys = append(keys, s.ColumnBlob(0, nil))
		}
		return nil
	}, row)
	return keys, err
}

// purge removes what is due of one message, in the writer's transaction.
func (w *writer) purge(m *aged, keep gateway.Retention, now time.Time, did *gateway.Purged) error {
	deliveries, err := w.standing(m.row)
	if err != nil {
		return err
	}
	if m.fingerprint != nil {
		at, ends := keep.BodyEnds(deliveries)
		if !ends || at.After(now) {
			return nil // a retry has added a recipient meanwhile
		}
		if busy, err := w.hasJob(m.row); busy || err != nil {
			return err // a report has yet to be made
		}
		if err := w.dropBody(m, did); err != nil {
			return err
		}
	}
	keys, err := w.keysDue(m.row, keep, now, deliveries)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := w.exec(`DELETE FROM dedup WHERE key = ? AND message = ?`, key, m.row); err != nil {
			return err
		}
		did.Keys++
	}
	if at, ends := keep.StatusEnds(deliveries); !ends || at.After(now) {
		return nil
	}
	return w.forget(m.row, did)
}

// hasJob reports whether a job of the message is there.
func (c *statements) hasJob(row int64) (has bool, err error) {
	err = c.query(`SELECT 1 FROM job INDEXED BY job_message WHERE message = ? LIMIT 1`, func(*sqlite3.Stmt) error {
		has = true
		return nil
	}, row)
	return has, err
}

// dropBody removes the body and keeps what it was needed for: the fingerprint,
// by which a late retry is recognised, and the way to its key.
func (w *writer) dropBody(m *aged, did *gateway.Purged) error {
	n, err := w.exec(`UPDATE message SET body = NULL, fingerprint = ? WHERE id = ? AND body IS NOT NULL`, m.fingerprint, m.row)
	if err != nil {
		return err
	}
	did.Bodies += int(n)
	// Without its content nobody can try it again.
	if _, err := w.exec(`UPDATE delivery INDEXED BY delivery_message SET dead = NULL WHERE message = ? AND dead IS NOT NULL`, m.row); err != nil {
		return err
	}
	if m.key == nil {
		return nil
	}
	_, err = w.exec(`UPDATE dedup SET used = (SELECT received FROM message WHERE id = ?2) WHERE key = ?1 AND message = ?2 AND used IS NULL`,
		m.key, m.row)
	return err
}

// forget removes a message whose body is gone with everything that points to
// it. It stays while one of its keys is remembered, or while it is the newest:
// the numbers go on from the highest row, and none is given twice.
func (w *writer) forget(row int64, did *gateway.Purged) error {
	var stays bool
	err := w.query(`SELECT body IS NOT NULL OR id = ?2 OR EXISTS (SELECT 1 FROM delivery WHERE message = ?1 AND seq = ?3)
				OR EXISTS (SELECT 1 FROM dedup WHERE message = ?1 AND used IS NOT NULL)
			FROM message WHERE id = ?1`, func(s *sqlite3.Stmt) error {
		stays = s.ColumnBool(0)
		return nil
	}, row, w.next.message-1, w.next.delivery-1)
	if err != nil || stays {
		return err
	}
	for _, sql := range []string{
		`DELETE FROM alias WHERE message = ?`, `DELETE FROM delivery WHERE message = ?`, `DELETE FROM message WHERE id = ?`,
	} {
		if _, err := w.exec(sql, row); err != nil {
			return err
		}
	}
	did.Messages++
	return nil
}

package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// purgeBytes is the most bytes of bodies that one Purge deletes. The bodies are in
// memory, and the writer visits every page of them.
const purgeBytes = 8 << 20

// Purge removes what has outlived its retention.
func (s *Store) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	return store.Purge(ctx, purgeRows{s}, keep, now, after, limit)
}

// purgeRows is the access of store.Purge to this store. Readers read the rows and parse
// the bodies, while the writer goes on. The writer then checks again what may have
// changed.
type purgeRows struct{ *Store }

// Times returns how the clock reads stored times.
func (s purgeRows) Times(ctx context.Context, now time.Time) (store.Times, error) {
	err := s.correctTimes(ctx, now)
	return s.watch.Times(now), err
}

// Turns returns the next messages to look at.
func (s purgeRows) Turns(ctx context.Context, keep gateway.Retention, times store.Times, limit int,
	out *gateway.Purged) (cursor store.PurgeCursor, list []*store.Aged, err error) {
	err = s.read(ctx, func(r *reader) error {
		*out = gateway.Purged{Next: out.Next, Peers: out.Peers} // the read may run again
		if cursor, err = r.purgeCursor(keep, times); err == nil {
			list, err = r.turns(&cursor, limit, out)
		}
		return err
	})
	return cursor, list, err
}

// PurgeTurns purges some messages in one transaction.
func (s purgeRows) PurgeTurns(ctx context.Context, list []*store.Aged,
	cursor *store.PurgeCursor) (gateway.Purged, error) {
	size := 0
	for _, m := range list {
		size += int(m.Size())
	}
	var did gateway.Purged
	err := s.write(ctx, size, func(w *writer) error {
		w.keepsPrefetch, did = true, gateway.Purged{} // a message with a leased job keeps its body
		for _, m := range list {
			if err := w.purge(m, cursor, &did); err != nil {
				return err
			}
		}
		_, err := w.exec(`INSERT INTO setting (name, value) VALUES (?, ?)
				ON CONFLICT (name) DO UPDATE SET value = excluded.value`, store.PurgeSetting, cursor.String())
		return err
	})
	if err != nil {
		return gateway.Purged{}, err // the write may still change did
	}
	return did, nil
}

// purgeCursor returns the cursor from which the purge continues.
func (c *statements) purgeCursor(keep gateway.Retention, times store.Times) (store.PurgeCursor, error) {
	stored := ""
	err := c.query(`SELECT value FROM setting WHERE name = ?`, func(s *sqlite3.Stmt) error {
		stored = s.ColumnText(0)
		return nil
	}, store.PurgeSetting)
	if err != nil {
		return store.PurgeCursor{}, err
	}
	return store.NewPurgeCursor(stored, keep, times)
}

// turns returns the next messages to look at, with the values to write when their
// bodies are deleted. It sets in out what it found.
func (r *reader) turns(cursor *store.PurgeCursor, limit int, out *gateway.Purged) ([]*store.Aged, error) {
	var list []*store.Aged
	err := r.query(`SELECT message FROM purge_turn WHERE due <= ? ORDER BY due LIMIT ?`, func(s *sqlite3.Stmt) error {
		list = append(list, &store.Aged{Turn: store.Turn{Row: s.ColumnInt64(0)}})
		return nil
	}, cursor.Now, limit)
	if err == nil && len(list) < limit {
		err = r.query(`SELECT id, received FROM message INDEXED BY message_received
				WHERE (received, id) > (?1, ?2) AND received <= ?3 ORDER BY received, id LIMIT ?4`, func(s *sqlite3.Stmt) error {
			turn := store.Turn{Row: s.ColumnInt64(0), Received: s.ColumnInt64(1), First: true}
			list = append(list, &store.Aged{Turn: turn})
			return nil
		}, cursor.Received, cursor.Message, cursor.Until(), limit-len(list))
	}
	if err == nil && len(list) < limit && cursor.Times.Doubts() {
		err = r.query(`SELECT id FROM message INDEXED BY message_received WHERE received > ? LIMIT ?`,
			func(s *sqlite3.Stmt) error {
				list = append(list, &store.Aged{Turn: store.Turn{Row: s.ColumnInt64(0)}})
				return nil
			}, cursor.Times.Before(), limit-len(list))
	}
	out.Done = len(list) < limit
	var size int64
	for i := range list {
		if err == nil {
			err = r.prepare(list[i], cursor, out)
		}
		if err != nil {
			return nil, err
		}
		if size += list[i].Size(); size > purgeBytes && i > 0 {
			out.Done = false
			return list[:i], nil
		}
	}
	return list, err
}

// prepare computes the values to write when the body is deleted, if that is due. A body
// that cannot be read stays.
func (r *reader) prepare(m *store.Aged, cursor *store.PurgeCursor, out *gateway.Purged) error {
	err := r.query(`SELECT coalesce(length(body), 0) FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		m.Stored = s.ColumnInt64(0)
		m.Body = m.Stored > 0
		return nil
	}, m.Row)
	if err != nil || !m.Body {
		return err
	}
	if err := r.standing(m, &cursor.Times); err != nil {
		return err
	}
	if m.BodyEnds(cursor) && !r.remains(m) {
		out.Unreadable++
	}
	return nil
}

// remains computes what is kept of a body that is deleted. It is false when the body
// cannot be read.
func (r *reader) remains(m *store.Aged) bool {
	var class gateway.Class
	var agent gateway.AgentID
	var sender string
	var body []byte
	err := r.query(`SELECT class, sender_agent, sender, body FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		class, agent, sender = gateway.Class(s.ColumnInt64(0)), gateway.AgentID(s.ColumnInt64(1)), s.ColumnText(2)
		body = s.ColumnBlob(3, nil)
		return nil
	}, m.Row)
	if err != nil {
		return false
	}
	fingerprint, key, ok := store.Remains(class, agent, sender, body)
	m.Fingerprint, m.Key = fingerprint, key
	return ok
}

// standing reads the parts of a message's deliveries on which its retention depends.
func (c *statements) standing(m *store.Aged, times *store.Times) error {
	return c.query(`SELECT agent, state, changed, pushed FROM delivery WHERE message = ?`, func(s *sqlite3.Stmt) error {
		d := gateway.Delivery{
			Agent: gateway.AgentID(s.ColumnInt64(0)), State: gateway.State(s.ColumnInt64(1)),
			Changed: m.Fixes.Note(times, s.ColumnInt64(2), m.Row),
		}
		if s.ColumnBool(3) {
			d.Mode = store.ModePush
		}
		m.Deliveries = append(m.Deliveries, d)
		return nil
	}, m.Row)
}

// mend replaces times of a message that a wrong clock wrote.
func (w *writer) mend(row int64, times store.TimeFixes) error {
	for was, right := range times {
		for _, sql := range []string{
			`UPDATE delivery INDEXED BY delivery_message SET changed = ?2 WHERE message = ?1 AND changed = ?3`,
			`UPDATE dedup SET used = ?2 WHERE message = ?1 AND used IS NOT NULL AND used = ?3`,
			`UPDATE message SET received = ?2 WHERE id = ?1 AND received = ?3`,
		} {
			if _, err := w.exec(sql, row, right, was); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold reads the values on which the retention of a message depends, as they are now.
func (c *statements) hold(m *store.Aged, times *store.Times) error {
	m.Forget()
	var received int64
	err := c.query(`SELECT body IS NOT NULL, received FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		m.There, m.Body, received = true, s.ColumnBool(0), s.ColumnInt64(1)
		return nil
	}, m.Row)
	if err != nil || !m.There {
		return err
	}
	m.Fixes.Note(times, received, m.Row)
	if err := c.standing(m, times); err != nil {
		return err
	}
	return c.query(`SELECT key, used FROM dedup WHERE message = ? AND used IS NOT NULL`, func(s *sqlite3.Stmt) error {
		m.Used = append(m.Used, s.ColumnBlob(0, nil))
		m.Keys = append(m.Keys, m.Fixes.Note(times, s.ColumnInt64(1), m.Row))
		return nil
	}, m.Row)
}

// purge removes the expired parts of one message, in the writer's transaction, and
// stores when the purge looks at it again.
func (w *writer) purge(m *store.Aged, cursor *store.PurgeCursor, did *gateway.Purged) error {
	err := w.hold(m, &cursor.Times)
	if err == nil {
		err = w.mend(m.Row, m.Fixes)
	}
	if err == nil && m.BodyGoes(cursor) {
		err = w.purgeBody(m, cursor, did)
	}
	if err == nil && m.There && !m.Body {
		err = w.purgeRest(m, cursor, did)
	}
	if err != nil {
		return err
	}
	if !m.There {
		_, err = w.exec(`DELETE FROM purge_turn WHERE message = ?`, m.Row)
		return err
	}
	return w.lookAt(m.Row, m.Again(cursor))
}

// lookAt makes the purge look at a message at that time, and not before.
func (w *writer) lookAt(row int64, at time.Time) error {
	_,
		err := w.exec(`INSERT INTO purge_turn (message, due) VALUES (?, ?) ON CONFLICT (message) DO UPDATE SET due = excluded.due`,
		row, store.Micros(at))
	return err
}

// purgeBody deletes the body, unless a job still needs it for a report. The end of a
// message that nobody can take any more is no work.
func (w *writer) purgeBody(m *store.Aged, cursor *store.PurgeCursor, did *gateway.Purged) error {
	if busy, err := w.needsBody(m.Row); busy || err != nil {
		return err
	}
	if err := w.dropBody(m, did); err != nil {
		return err
	}
	if !m.Open() {
		_, err := w.exec(`DELETE FROM job WHERE id IN (SELECT id FROM job INDEXED BY job_message
				WHERE message = ? AND destination = ?) AND lease IS NULL`, m.Row, string(gateway.Expiries))
		if err != nil {
			return err
		}
	}
	return w.hold(m, &cursor.Times) // with the key that was only in the body
}

// purgeRest forgets the expired idempotency keys of a message without a body, and then
// the message.
func (w *writer) purgeRest(m *store.Aged, cursor *store.PurgeCursor, did *gateway.Purged) error {
	for _, key := range m.KeysDue(cursor) {
		if _, err := w.exec(`DELETE FROM dedup WHERE key = ? AND message = ?`, key, m.Row); err != nil {
			return err
		}
		did.Keys++
	}
	if !m.StatusEnds(cursor) {
		return nil
	}
	stays, err := w.forget(m.Row, did)
	m.There = stays
	return err
}

// needsBody reports whether the message has a job that needs its body.
func (c *statements) needsBody(row int64) (has bool, err error) {
	err = c.query(`SELECT 1 FROM job INDEXED BY job_message WHERE message = ? AND `+store.NeedBody+` LIMIT 1`,
		func(*sqlite3.Stmt) error {
			has = true
			return nil
		}, row)
	return has, err
}

// dropBody deletes the body. It keeps the fingerprint, by which a late retry is
// recognised, and makes its idempotency key one that can be found without it.
func (w *writer) dropBody(m *store.Aged, did *gateway.Purged) error {
	n, err := w.exec(`UPDATE message SET body = NULL, fingerprint = ? WHERE id = ? AND body IS NOT NULL`,
		m.Fingerprint, m.Row)
	if err != nil {
		return err
	}
	did.Bodies += int(n)
	if _, err := w.exec(`INSERT OR IGNORE INTO search_gone (message) VALUES (?)`, m.Row); err != nil {
		return err
	}
	// Without its content a delivery cannot be redriven.
	if _,
		err := w.exec(`UPDATE delivery INDEXED BY delivery_message SET dead = NULL WHERE message = ? AND dead IS NOT NULL`,
		m.Row); err != nil {
		return err
	}
	if m.Key == nil {
		return nil
	}
	_,
		err = w.exec(`UPDATE dedup SET used = (SELECT received FROM message WHERE id = ?2) WHERE key = ?1 AND message = ?2 AND used IS NULL`,
		m.Key, m.Row)
	return err
}

// forget removes a message without a body, and all rows that refer to it. stays reports
// whether it is still there. It stays while one of its keys is stored, or a job waits. It also stays
// while it is the newest: the next numbers are counted from the highest row, and none
// is given out twice.
func (w *writer) forget(row int64, did *gateway.Purged) (stays bool, err error) {
	err = w.query(`SELECT body IS NOT NULL OR id = ?2 OR EXISTS (SELECT 1 FROM delivery WHERE message = ?1 AND seq = ?3)
				OR EXISTS (SELECT 1 FROM dedup WHERE message = ?1 AND used IS NOT NULL)
				OR EXISTS (SELECT 1 FROM job INDEXED BY job_message WHERE message = ?1)
			FROM message WHERE id = ?1`, func(s *sqlite3.Stmt) error {
		stays = s.ColumnBool(0)
		return nil
	}, row, w.next.message-1, w.next.delivery-1)
	if err != nil || stays {
		return stays, err
	}
	for _, sql := range []string{
		`DELETE FROM alias WHERE message = ?`, `DELETE FROM label WHERE message = ?`, `DELETE FROM delivery WHERE message = ?`,
		`DELETE FROM message WHERE id = ?`,
	} {
		if _, err := w.exec(sql, row); err != nil {
			return true, err
		}
	}
	did.Messages++
	return false, nil
}

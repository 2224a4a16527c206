package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// purgeBytes bounds the bodies that one Purge removes: they are in memory, and the
// writer walks through every page of them.
const purgeBytes = 8 << 20

// aged is a message that the purge looks at.
type aged struct {
	store.Turn
	size        int64  // of a body that goes, else 0
	fingerprint []byte // of a body that goes, else nil
	key         []byte // the idempotency key that the body tells, or nil
}

// Purge removes what has outlived its retention.
func (s *Store) Purge(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	agents, all, err := s.purgeAgents(ctx, now.Add(-keep.Agent()), after == 0, limit)
	if err != nil {
		return gateway.Purged{Next: after}, err
	}
	out, err := s.purgeMessages(ctx, keep, now, after, limit)
	out.Agents, out.Done = agents, out.Done && all
	return out, err
}

// purgeMessages purges messages, and domains before the first. It is read beside
// the writer whose turn it is, and bodies are parsed there; the writer looks again
// at what may have changed meanwhile, a few messages at a time.
func (s *Store) purgeMessages(ctx context.Context, keep gateway.Retention, now time.Time, after int64,
	limit int) (gateway.Purged, error) {
	out := gateway.Purged{Next: after}
	if err := s.putRight(ctx, now); err != nil {
		return out, err
	}
	times := s.watch.Times(now)
	if after == 0 {
		gone, err := s.purgePeers(ctx, &times, now.Add(-keep.SenderDomain()), limit)
		if out.Peers = gone; err != nil || gone == limit {
			return out, err
		}
	}
	var list []aged
	var walk store.Walk
	err := s.read(ctx, func(r *reader) (err error) {
		out = gateway.Purged{Next: after, Peers: out.Peers} // it may be the second time
		if walk, err = r.walk(keep, times); err == nil {
			list, err = r.turns(&walk, limit, &out)
		}
		return err
	})
	for err == nil && len(list) > 0 {
		sizes := make([]int64, len(list))
		for i := range list {
			sizes[i] = list[i].size
		}
		n := store.PurgeStep(sizes)
		err = s.purgeStep(ctx, &walk, list[:n], &out)
		list = list[n:]
	}
	return out, err
}

// purgeStep purges some messages in one transaction.
func (s *Store) purgeStep(ctx context.Context, walk *store.Walk, list []aged, out *gateway.Purged) error {
	size := 0
	for i := range list {
		size += int(list[i].size)
		walk.Pass(list[i].Turn)
	}
	var did gateway.Purged
	passed := *walk
	err := s.write(ctx, size, func(w *writer) error {
		w.beside, did = true, gateway.Purged{} // what is leased keeps its body
		for i := range list {
			if err := w.purge(&list[i], &passed, &did); err != nil {
				return err
			}
		}
		_,
			err := w.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
			store.PurgeSetting, passed.String())
		return err
	})
	if err != nil {
		return err // did is not ours while the write goes on
	}
	out.Bodies, out.Messages, out.Keys = out.Bodies+did.Bodies, out.Messages+did.Messages, out.Keys+did.Keys
	out.Looked += len(list)
	out.Next += int64(len(list))
	return nil
}

// walk returns where the purge goes on.
func (c *statements) walk(keep gateway.Retention, times store.Times) (store.Walk, error) {
	stored := ""
	err := c.query(`SELECT value FROM setting WHERE name = ?`, func(s *sqlite3.Stmt) error {
		stored = s.ColumnText(0)
		return nil
	}, store.PurgeSetting)
	if err != nil {
		return store.Walk{}, err
	}
	return store.NewWalk(stored, keep, times)
}

// turns returns the next messages to look at, with what has to be written when their
// bodies go, and notes in out what it found.
func (r *reader) turns(walk *store.Walk, limit int, out *gateway.Purged) ([]aged, error) {
	var list []aged
	err := r.query(`SELECT message FROM purge_turn WHERE due <= ? ORDER BY due LIMIT ?`, func(s *sqlite3.Stmt) error {
		list = append(list, aged{Turn: store.Turn{Row: s.ColumnInt64(0)}})
		return nil
	}, walk.Now, limit)
	if err == nil && len(list) < limit {
		err = r.query(`SELECT id, received FROM message INDEXED BY message_received
				WHERE (received, id) > (?1, ?2) AND received <= ?3 ORDER BY received, id LIMIT ?4`, func(s *sqlite3.Stmt) error {
			list = append(list, aged{Turn: store.Turn{Row: s.ColumnInt64(0), Received: s.ColumnInt64(1), First: true}})
			return nil
		}, walk.Received, walk.Message, walk.Until(), limit-len(list))
	}
	if err == nil && len(list) < limit && walk.Times.Doubts() {
		err = r.query(`SELECT id FROM message INDEXED BY message_received WHERE received > ? LIMIT ?`,
			func(s *sqlite3.Stmt) error {
				list = append(list, aged{Turn: store.Turn{Row: s.ColumnInt64(0)}})
				return nil
			}, walk.Times.Before(), limit-len(list))
	}
	out.Done = len(list) < limit
	var size int64
	for i := range list {
		if err == nil {
			err = r.prepare(&list[i], walk, out)
		}
		if err != nil {
			return nil, err
		}
		if size += list[i].size; size > purgeBytes && i > 0 {
			out.Done = false
			return list[:i], nil
		}
	}
	return list, err
}

// prepare computes what has to be written when the body goes, if it is due. One that
// cannot be read stays.
func (r *reader) prepare(m *aged, walk *store.Walk, out *gateway.Purged) error {
	var size int64
	err := r.query(`SELECT coalesce(length(body), 0) FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		size = s.ColumnInt64(0)
		return nil
	}, m.Row)
	if err != nil || size == 0 {
		return err
	}
	deliveries, err := r.standing(m.Row, &walk.Times, new(store.Mending))
	if err != nil {
		return err
	}
	if at, ends := walk.Keep.BodyEnds(deliveries); !ends || store.Micros(at) > walk.Now {
		return nil
	}
	if r.remains(m) {
		m.size = size
	} else {
		out.Unreadable++
	}
	return nil
}

// remains computes what is kept of a body that goes. It is false when the body
// cannot be read.
func (r *reader) remains(m *aged) bool {
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
	m.fingerprint, m.key = fingerprint, key
	return ok
}

// standing reads of a message's deliveries what its retention depends on.
func (c *statements) standing(row int64, times *store.Times, mend *store.Mending) (list []gateway.Delivery, err error) {
	err = c.query(`SELECT agent, state, changed, pushed FROM delivery WHERE message = ?`, func(s *sqlite3.Stmt) error {
		d := gateway.Delivery{
			Agent: gateway.AgentID(s.ColumnInt64(0)), State: gateway.State(s.ColumnInt64(1)),
			Changed: mend.Note(times, s.ColumnInt64(2), row),
		}
		if s.ColumnBool(3) {
			d.Mode = store.ModePush
		}
		list = append(list, d)
		return nil
	}, row)
	return list, err
}

// mend writes times of a message anew that a wrong clock wrote.
func (w *writer) mend(row int64, times store.Mending) error {
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

// held is a message as the purge finds it.
type held struct {
	gateway.Kept
	keys [][]byte // beside the times at which they were used
	mend store.Mending
}

// held reads what the retention of a message depends on. It is false when there is
// no such message.
func (c *statements) held(row int64, times *store.Times) (h held, there bool, err error) {
	var received int64
	err = c.query(`SELECT body IS NOT NULL, received FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		there, h.Body, received = true, s.ColumnBool(0), s.ColumnInt64(1)
		return nil
	}, row)
	if err != nil || !there {
		return h, there, err
	}
	h.mend.Note(times, received, row)
	if h.Deliveries, err = c.standing(row, times, &h.mend); err != nil {
		return h, there, err
	}
	err = c.query(`SELECT key, used FROM dedup WHERE message = ? AND used IS NOT NULL`, func(s *sqlite3.Stmt) error {
		h.keys, h.Keys = append(h.keys, s.ColumnBlob(0, nil)), append(h.Keys, h.mend.Note(times, s.ColumnInt64(1), row))
		return nil
	}, row)
	return h, there, err
}

// purge removes what is due of one message, in the writer's transaction, and says
// when it is looked at again.
func (w *writer) purge(m *aged, walk *store.Walk, did *gateway.Purged) error {
	keep, now := walk.Keep, store.FromMicros(walk.Now)
	h, there, err := w.held(m.Row, &walk.Times)
	if err == nil {
		err = w.mend(m.Row, h.mend)
	}
	if err != nil {
		return err
	}
	if there && h.Body && m.fingerprint != nil {
		if h, err = w.purgeBody(m, h, walk, did); err != nil {
			return err
		}
	}
	if there && !h.Body {
		if there, err = w.purgeRest(m.Row, &h, walk, did); err != nil {
			return err
		}
	}
	if !there {
		_, err = w.exec(`DELETE FROM purge_turn WHERE message = ?`, m.Row)
		return err
	}
	return w.lookAt(m.Row, keep.LookAgain(h.Kept, now))
}

// lookAt has the purge look at a message at that time, and not before.
func (w *writer) lookAt(row int64, at time.Time) error {
	_,
		err := w.exec(`INSERT INTO purge_turn (message, due) VALUES (?, ?) ON CONFLICT (message) DO UPDATE SET due = excluded.due`,
		row, store.Micros(at))
	return err
}

// purgeBody removes the body if it is still due, and returns the message as it is
// then.
func (w *writer) purgeBody(m *aged, h held, walk *store.Walk, did *gateway.Purged) (held, error) {
	if at, ends := walk.Keep.BodyEnds(h.Deliveries); !ends || store.Micros(at) > walk.Now {
		return h, nil // a retry has added a recipient meanwhile
	}
	if busy, err := w.hasJob(m.Row); busy || err != nil {
		return h, err // a report has yet to be made
	}
	if err := w.dropBody(m, did); err != nil {
		return h, err
	}
	h, _, err := w.held(m.Row, &walk.Times) // with the key that the body told
	return h, err
}

// purgeRest forgets the keys that are due of a message without a body, and then the
// message. It reports whether the message is still there.
func (w *writer) purgeRest(row int64, h *held, walk *store.Walk, did *gateway.Purged) (there bool, err error) {
	kept := h.Keys[:0:0]
	for i, key := range h.keys {
		if at, ends := walk.Keep.KeyEnds(h.Keys[i], h.Deliveries); !ends || store.Micros(at) > walk.Now {
			kept = append(kept, h.Keys[i])
			continue
		}
		if _, err := w.exec(`DELETE FROM dedup WHERE key = ? AND message = ?`, key, row); err != nil {
			return true, err
		}
		did.Keys++
	}
	h.Keys = kept
	if at, ends := walk.Keep.StatusEnds(h.Deliveries); !ends || store.Micros(at) > walk.Now {
		return true, nil
	}
	return w.forget(row, did)
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
	n, err := w.exec(`UPDATE message SET body = NULL, fingerprint = ? WHERE id = ? AND body IS NOT NULL`,
		m.fingerprint, m.Row)
	if err != nil {
		return err
	}
	did.Bodies += int(n)
	// Without its content nobody can try it again.
	if _,
		err := w.exec(`UPDATE delivery INDEXED BY delivery_message SET dead = NULL WHERE message = ? AND dead IS NOT NULL`,
		m.Row); err != nil {
		return err
	}
	if m.key == nil {
		return nil
	}
	_,
		err = w.exec(`UPDATE dedup SET used = (SELECT received FROM message WHERE id = ?2) WHERE key = ?1 AND message = ?2 AND used IS NULL`,
		m.key, m.Row)
	return err
}

// forget removes a message whose body is gone with everything that points to
// it, and reports whether it is still there. It stays while one of its keys is
// remembered, or while it is the newest: the numbers go on from the highest row,
// and none is given twice.
func (w *writer) forget(row int64, did *gateway.Purged) (stays bool, err error) {
	err = w.query(`SELECT body IS NOT NULL OR id = ?2 OR EXISTS (SELECT 1 FROM delivery WHERE message = ?1 AND seq = ?3)
				OR EXISTS (SELECT 1 FROM dedup WHERE message = ?1 AND used IS NOT NULL)
			FROM message WHERE id = ?1`, func(s *sqlite3.Stmt) error {
		stays = s.ColumnBool(0)
		return nil
	}, row, w.next.message-1, w.next.delivery-1)
	if err != nil || stays {
		return stays, err
	}
	for _, sql := range []string{
		`DELETE FROM alias WHERE message = ?`, `DELETE FROM delivery WHERE message = ?`,
		`DELETE FROM message WHERE id = ?`,
	} {
		if _, err := w.exec(sql, row); err != nil {
			return true, err
		}
	}
	did.Messages++
	return false, nil
}

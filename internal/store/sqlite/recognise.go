package sqlite

import (
	"bytes"
	"context"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// repeat answers a retry, and delivers to the recipients that it adds.
func (w *writer) repeat(a *store.Incoming, row int64, recipients []gateway.Recipient) (gateway.Accepted, error) {
	record, err := w.record(w.dir, gateway.Reader{Everyone: true}, row, false)
	if err != nil {
		return gateway.Accepted{}, err
	}
	added := store.Added(record.Deliveries, recipients, w.dir)
	if len(added) == 0 {
		w.keepsPrefetch = true
		return store.Replayed(record.ID, record.Deliveries), nil
	}
	to := addressing{Incoming: a, message: row, id: record.ID, known: true, before: record.Deliveries}
	for _, r := range added {
		if err := w.deliver(&to, r); err != nil {
			return gateway.Accepted{}, err
		}
	}
	// An added recipient gets the body, even when its retention had ended.
	back, err := w.exec(`UPDATE message SET body = ? WHERE id = ? AND body IS NULL`, a.Message.Raw(), row)
	if err == nil && back > 0 {
		err = w.lookAt(row, a.ReceivedAt)
	}
	if err != nil {
		return gateway.Accepted{}, err
	}
	deliveries, err := w.deliveries(w.dir, row)
	if err != nil {
		return gateway.Accepted{}, err
	}
	return store.Replayed(record.ID, deliveries), nil
}

// lookups answers store.Recognise in the writer's transaction. No lookup waits.
type lookups struct{ *writer }

// KeepKey stores a new idempotency key.
func (l lookups) KeepKey(_ context.Context, in *store.Incoming, row int64) (bool, error) {
	target, used := l.next.message, any(null{})
	if row != 0 { // another key, which is not in the stored body
		target, used = row, store.Micros(in.ReceivedAt)
	}
	kept, err := l.exec(`INSERT INTO dedup (key, message, used) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		in.Dedup[:], target, used)
	if err == nil && kept == 1 && row != 0 {
		err = l.lookAt(row, in.ReceivedAt) // the retention of this key was not planned for
	}
	return kept == 1, err
}

// ByKey returns the row of the message for which the key is stored.
func (l lookups) ByKey(_ context.Context, in *store.Incoming) (row int64, err error) {
	err = l.query(`SELECT message FROM dedup WHERE key = ?`, func(s *sqlite3.Stmt) error {
		row = s.ColumnInt64(0)
		return nil
	}, in.Dedup[:])
	return row, err
}

// ByID returns the message that has the canonical id.
func (l lookups) ByID(_ context.Context, in *store.Incoming) (r store.NamedRow, err error) {
	err = l.query(`SELECT id, class, sender_agent, sender FROM message WHERE uuid = ?`, func(s *sqlite3.Stmt) error {
		r = store.NamedRow{Row: s.ColumnInt64(0), Class: gateway.Class(s.ColumnInt64(1)),
			Agent: gateway.AgentID(s.ColumnInt64(2)), Sender: s.ColumnText(3)}
		return nil
	}, in.Given[:])
	return r, err
}

// ByAlias returns the row of the message that the sender knows under the id.
func (l lookups) ByAlias(_ context.Context, in *store.Incoming) (row int64, err error) {
	err = l.query(`SELECT message FROM alias WHERE id = ? AND agent = ? AND sender = ? AND variant = ?`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, string(in.GivenID), int64(in.SenderAgent), in.From(), in.Variant())
	return row, err
}

// HasContent reports whether the stored message has the content. A retry nearly always
// has the same bytes. Otherwise it returns needsCompare: the caller compares the
// messages, and then calls again.
func (l lookups) HasContent(_ context.Context, in *store.Incoming, row int64) (same bool, err error) {
	if same, known := in.Same[row]; known {
		return same, nil
	}
	err = l.query(`SELECT body FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		same = bytes.Equal(s.ColumnRawBlob(0), in.Message.Raw())
		return nil
	}, row)
	if err == nil && !same {
		err = needsCompare{row}
	}
	return same, err
}

// sameContent compares a message with a stored one.
func (c *statements) sameContent(a *store.Incoming, row int64) (bool, error) {
	var body, kept []byte
	err := c.query(`SELECT body, fingerprint FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		body, kept = s.ColumnBlob(0, nil), s.ColumnBlob(1, nil)
		return nil
	}, row)
	if err != nil {
		return false, err
	}
	return a.HasContent(body, kept)
}

// compare notes in a.Same whether the stored message has a's content.
func (s *Store) compare(ctx context.Context, a *store.Incoming, row int64) error {
	var same bool
	err := s.read(ctx, func(r *reader) (err error) {
		same, err = r.sameContent(a, row)
		return err
	})
	if err != nil {
		return err
	}
	if a.Same == nil {
		a.Same = make(map[int64]bool, 1)
	}
	a.Same[row] = same
	return nil
}

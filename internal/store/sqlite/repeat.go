package sqlite

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// repeat answers a retry, and delivers to the recipients it adds.
func (w *writer) repeat(a *store.Incoming, row int64, recipients []gateway.Recipient) (gateway.Accepted, error) {
	record, err := w.record(w.dir, gateway.Reader{Everyone: true}, row, false)
	if err != nil {
		return gateway.Accepted{}, err
	}
	out := gateway.Accepted{ID: record.ID, Replayed: true, Deliveries: record.Deliveries}
	to := addressing{Incoming: a, message: row, id: record.ID, known: true, before: slices.Clone(record.Deliveries)}
	added := false
	defer func() { w.beside = !added }()
	for _, r := range recipients {
		if store.Has(record.Deliveries, r, w.dir) {
			continue
		}
		if err := w.deliver(&to, r); err != nil {
			return gateway.Accepted{}, err
		}
		added = true
	}
	if added {
		// Who is added gets the content, also when its retention was over.
		back, err := w.exec(`UPDATE message SET body = ? WHERE id = ? AND body IS NULL`, a.Message.Raw(), row)
		if err == nil && back > 0 {
			err = w.lookAt(row, a.ReceivedAt)
		}
		if err != nil {
			return gateway.Accepted{}, err
		}
		if out.Deliveries, err = w.deliveries(w.dir, row); err != nil {
			return gateway.Accepted{}, err
		}
	}
	for i := range out.Deliveries {
		out.Deliveries[i].ID = 0
	}
	return out, nil
}

// prior returns the row of the message that a repeats, 0 for none, and whether
// a's given id already is some other message's. A new idempotency key is
// remembered on the way if keep is set, for the message that a repeats or else
// for the next row. Nothing was changed when it returns an error.
func (w *writer) prior(a *store.Incoming, keep bool) (row int64, taken bool, err error) {
	if a.GivenID != "" {
		if row, taken, err = w.priorByID(a); err != nil {
			return 0, false, err
		}
	}
	known := row
	if known == 0 && a.Early != nil {
		if known, err = w.unsigned(a.Early); err != nil {
			return 0, false, err
		}
	}
	if a.Key == "" {
		return known, taken, nil
	}
	if keep {
		target, used := w.next.message, any(null{})
		if known != 0 { // a further key, which the stored body does not tell
			target, used = known, store.Micros(a.ReceivedAt)
		}
		added, err := w.exec(`INSERT INTO dedup (key, message, used) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			a.Dedup[:], target, used)
		if err == nil && added == 1 && known != 0 {
			err = w.lookAt(known, a.ReceivedAt) // an end that was not foreseen
		}
		if err != nil || added == 1 {
			return known, taken, err
		}
	}
	keyed, err := w.keyed(a)
	switch {
	case err != nil:
		return 0, false, err
	case keyed == 0:
		return known, taken, nil
	case row != 0 && row != keyed && a.SenderAgent != 0:
		return 0, false, gateway.ErrReused
	}
	same, err := w.same(a, keyed)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return keyed, taken, err
}

// keyed returns the row of the message for which a's key is remembered.
func (w *writer) keyed(a *store.Incoming) (row int64, err error) {
	err = w.query(`SELECT message FROM dedup WHERE key = ?`, func(s *sqlite3.Stmt) error {
		row = s.ColumnInt64(0)
		return nil
	}, a.Dedup[:])
	return row, err
}

// unsigned returns the row of the message that a repeats as it came before its
// domain began to sign. What strangers may have sent in the name makes nothing
// impossible: where they confuse the trace there is none.
func (w *writer) unsigned(a *store.Incoming) (row int64, err error) {
	if a.GivenID != "" {
		row, _, err = w.priorByID(a)
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
	if row, err = w.keyed(a); row == 0 || err != nil {
		return 0, err
	}
	if same, err := w.same(a, row); err != nil || !same {
		return 0, err
	}
	return row, nil
}

// priorByID looks for the sender's earlier message under the id that it gives.
func (w *writer) priorByID(a *store.Incoming) (row int64, taken bool, err error) {
	if a.IsUUID {
		mine := false
		err = w.query(`SELECT id, class, sender_agent, sender FROM message WHERE uuid = ?`,
			func(s *sqlite3.Stmt) error {
				taken = true
				mine = gateway.Class(s.ColumnInt64(1)) == a.Class &&
					gateway.AgentID(s.ColumnInt64(2)) == a.SenderAgent &&
					s.ColumnText(3) == a.From()
				row = s.ColumnInt64(0)
				return nil
			}, a.Given[:])
		if err != nil {
			return 0, false, err
		}
		if mine {
			same, err := w.same(a, row)
			if err != nil || same {
				return row, true, err
			}
			if a.Class != gateway.ClassAnonymous {
				return 0, true, gateway.ErrReused
			}
		}
	}
	row, err = w.aliased(a)
	if row == 0 || err != nil {
		return 0, taken, err
	}
	same, err := w.same(a, row)
	if err == nil && !same {
		err = gateway.ErrReused
	}
	return row, taken, err
}

func (w *writer) aliased(a *store.Incoming) (row int64, err error) {
	err = w.query(`SELECT message FROM alias WHERE id = ? AND agent = ? AND sender = ? AND variant = ?`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, string(a.GivenID), int64(a.SenderAgent), a.From(), a.Variant())
	return row, err
}

// same reports whether the stored message has a's content. Retries nearly
// always have the same bytes; anything else is doubtful and compared by the
// caller, who then comes again.
func (w *writer) same(a *store.Incoming, row int64) (same bool, err error) {
	if same, known := a.Same[row]; known {
		return same, nil
	}
	err = w.query(`SELECT body FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		same = bytes.Equal(s.ColumnRawBlob(0), a.Message.Raw())
		return nil
	}, row)
	if err == nil && !same {
		err = doubtful{row}
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

// compare finds out whether the stored message has a's content.
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

package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// noteContact notes the first time that an agent writes to a domain. An automatic
// message, such as the reply of an endpoint, does not count, because the agent did not
// decide to write.
func (w *writer) noteContact(m *amtp.Message, c store.Contact) error {
	if c.Agent == 0 || w.dir.HasWritten(c) || m.Automatic() {
		return nil
	}
	_, err := w.exec(`INSERT INTO contact (agent, domain) VALUES (?, ?) ON CONFLICT DO NOTHING`, int64(c.Agent),
		string(c.Domain))
	w.changes = append(w.changes, func(d *store.Directory) { d.NoteWritten([]store.Contact{c}) })
	return err
}

// insertReceipt stores the receipt that the sender's domain may get for a message that
// was just marked read, acknowledged or rejected.
func (w *writer) insertReceipt(row *store.InboxRow, agent gateway.AgentID, r *store.ReceiptRow) error {
	if r.Domain == "" {
		return nil
	}
	_, err := w.exec(`INSERT INTO receipt (message, agent, domain, read, acked, refused, due) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (message, agent) DO UPDATE SET read = coalesce(read, excluded.read), acked = coalesce(acked, excluded.acked),
				refused = coalesce(refused, excluded.refused)`,
		row.Message, int64(agent), string(r.Domain), optional(r.Read), optional(r.Acked), optional(r.Refused), r.Due)
	return err
}

// ReceiptDomains lists domains for which receipts wait.
func (s *Store) ReceiptDomains(ctx context.Context, after amtp.Domain, limit int) (list []amtp.Domain, err error) {
	err = s.read(ctx, func(r *reader) error {
		list = nil
		for after := after; len(list) < limit; {
			next := amtp.Domain("")
			err := r.query(`SELECT domain FROM receipt INDEXED BY receipt_due WHERE domain > ? ORDER BY domain LIMIT 1`,
				func(st *sqlite3.Stmt) error {
					next = amtp.Domain(st.ColumnText(0))
					return nil
				}, string(after))
			if err != nil || next == "" {
				return err
			}
			list, after = append(list, next), next
		}
		return nil
	})
	return list, err
}

// OwedReceipts returns receipts for a domain that are due.
func (s *Store) OwedReceipts(ctx context.Context, to amtp.Domain, now time.Time, limit,
	bodies int) (list []gateway.OwedReceipt, more bool, err error) {
	err = s.read(ctx, func(r *reader) error {
		list, more = nil, false
		room := bodies
		err := r.query(`SELECT r.message, r.agent, r.read, r.acked, r.refused, m.uuid, m.given_id, m.sender, m.class,
				EXISTS (SELECT 1 FROM contact c WHERE c.agent = r.agent AND c.domain = r.domain), length(m.body)
				FROM receipt r INDEXED BY receipt_due LEFT JOIN message m ON m.id = r.message
				WHERE r.domain = ? AND r.due <= ? ORDER BY r.due LIMIT ?`,
			func(st *sqlite3.Stmt) error {
				room -= st.ColumnInt(10)
				if len(list) == limit || len(list) > 0 && room < 0 {
					more = true
					return errEnough
				}
				row := store.OwedRow{
					Row: st.ColumnInt64(0), Agent: st.ColumnInt64(1), Read: st.ColumnInt64(2), Acked: st.ColumnInt64(3),
					Refused: st.ColumnInt64(4),
					UUID:    st.ColumnRawBlob(5), Given: st.ColumnText(6), Sender: st.ColumnText(7),
					Class:   gateway.Class(st.ColumnInt64(8)),
					Written: st.ColumnBool(9),
				}
				list = append(list, row.Owed(s.dir))
				return nil
			}, string(to), store.Micros(now), limit+1)
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		for i := range list {
			err := r.query(`SELECT body FROM message WHERE id = ?`, func(st *sqlite3.Stmt) error {
				list[i].Body = st.ColumnBlob(0, nil)
				return nil
			}, list[i].Row)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return list, more, err
}

// SettleReceipts forgets receipts that were sent or are not owed.
func (s *Store) SettleReceipts(ctx context.Context, list []gateway.OwedReceipt, again time.Time) error {
	return s.writeBackground(ctx, 64*len(list), func(w *writer) error {
		w.keepsPrefetch = true
		for i := range list {
			o := &list[i]
			n,
				err := w.exec(`DELETE FROM receipt WHERE message = ? AND agent = ? AND read IS ? AND acked IS ? AND refused IS ?`,
				o.Row, int64(o.Agent), optional(store.Micros(o.Read)), optional(store.Micros(o.Acked)),
				optional(store.Micros(o.Refused)))
			if err == nil && n == 0 {
				_, err = w.exec(`UPDATE receipt SET due = ? WHERE message = ? AND agent = ?`, store.Micros(again),
					o.Row, int64(o.Agent))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DropReceipts forgets receipts that waited too long, and those beyond the most that
// are kept.
func (s *Store) DropReceipts(ctx context.Context, to amtp.Domain, before time.Time, most, limit int) (int, error) {
	due := false
	err := s.read(ctx, func(r *reader) error {
		return r.query(`SELECT EXISTS (SELECT 1 FROM receipt INDEXED BY receipt_due WHERE domain = ?1 AND due < ?2)
				OR EXISTS (SELECT 1 FROM receipt INDEXED BY receipt_due WHERE domain = ?1 ORDER BY due DESC LIMIT 1 OFFSET ?3)`,
			func(st *sqlite3.Stmt) error {
				due = st.ColumnBool(0)
				return nil
			}, string(to), store.Micros(before), most)
	})
	if err != nil || !due {
		return 0, err
	}
	gone := 0
	err = s.writeBackground(ctx, 64*limit, func(w *writer) error {
		w.keepsPrefetch, gone = true, 0
		for _, drop := range []struct {
			sql  string
			args []any
		}{
			{`DELETE FROM receipt WHERE (message, agent) IN (SELECT message, agent FROM receipt INDEXED BY receipt_due
				WHERE domain = ? AND due < ? ORDER BY due LIMIT ?)`, []any{string(to), store.Micros(before), limit}},
			{`DELETE FROM receipt WHERE (message, agent) IN (SELECT message, agent FROM receipt INDEXED BY receipt_due
				WHERE domain = ?1 AND due <= (SELECT due FROM receipt INDEXED BY receipt_due WHERE domain = ?1 ORDER BY due DESC LIMIT 1 OFFSET ?2)
				ORDER BY due LIMIT ?3)`, []any{string(to), most, limit}},
		} {
			n, err := w.exec(drop.sql, drop.args...)
			if err != nil {
				return err
			}
			gone += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err // the write may still change gone
	}
	return gone, nil
}

// TakeReceipts applies the receipts that the gateway of a domain sent. The rows are
// found while the writer goes on. The writer changes only those that are still as they
// were.
func (s *Store) TakeReceipts(ctx context.Context, from amtp.Domain, list []gateway.Receipt,
	now time.Time) (int, error) {
	var told []store.ReceiptChange
	err := s.read(ctx, func(r *reader) error {
		told = nil
		seen := make(map[int64]bool)
		for i := range list {
			t, changes, err := r.receiptChange(from, &list[i], store.Micros(now))
			if err != nil {
				return err
			}
			if changes && !seen[t.Seq] { // of two for one delivery, the first counts
				told, seen[t.Seq] = append(told, t), true
			}
		}
		return nil
	})
	if err != nil || len(told) == 0 {
		return 0, err
	}
	changed := 0
	err = s.writeBackground(ctx, 64*len(told), func(w *writer) error {
		w.keepsPrefetch, changed = true, 0
		for _, t := range told {
			n,
				err := w.exec(`UPDATE delivery SET state = ?, changed = ?, delivered = coalesce(?, delivered), acked = coalesce(?, acked),
				read = coalesce(?, read), refused = coalesce(?, refused) WHERE seq = ? AND state = ?`,
				int64(t.State), t.Changed, optional(t.Delivered), optional(t.Acked), optional(t.Read),
				optional(t.Refused), t.Seq, int64(t.Was))
			if err != nil {
				return err
			}
			changed += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err // the write may still change changed
	}
	return changed, nil
}

// receiptChange returns what one receipt changes.
func (r *reader) receiptChange(from amtp.Domain, receipt *gateway.Receipt,
	now int64) (t store.ReceiptChange, changes bool, err error) {
	uuid, text, ok := store.ReceiptID(receipt)
	if !ok {
		return t, false, nil
	}
	var row int64
	found := func(st *sqlite3.Stmt) error {
		row = st.ColumnInt64(0)
		return nil
	}
	if err = r.query(`SELECT id FROM message WHERE uuid = ? AND sender_agent IS NOT NULL`, found, uuid); err != nil {
		return t, false, err
	}
	if row == 0 { // it was sent under another id
		if err = r.query(`SELECT message FROM alias WHERE id = ? AND agent <> 0 ORDER BY message DESC LIMIT 1`, found,
			text); err != nil || row == 0 {
			return t, false, err
		}
	}
	err = r.query(`SELECT `+deliveryColumns+
		` FROM delivery d INDEXED BY delivery_message LEFT JOIN job j ON j.id = d.job WHERE d.message = ? AND d.agent = 0`,
		func(st *sqlite3.Stmt) error {
			d := scanDelivery(st, 0)
			if one, does := d.Change(from, receipt, now); does {
				t, changes = one, true
			}
			return nil
		}, row)
	return t, changes, err
}

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// inBox chooses what waits in an inbox: its index holds nothing else.
const inBox = ` d.agent = ?1 AND d.pushed IS NULL AND d.state = 5`

// Inbox returns a page of an agent's inbox. What stands on it is chosen by the
// length of the bodies: one that is not shown is not read. A filter that nearly
// nothing passes does not read a million rows: the page then ends early and says
// that there is more.
func (s *Store) Inbox(ctx context.Context, agent gateway.AgentID,
	f gateway.InboxFilter) (page gateway.InboxPage, err error) {
	release, err := s.boxes.Take(ctx, int64(agent))
	if err != nil {
		return gateway.InboxPage{Next: f.After}, err
	}
	defer release()
	index, where := `delivery_box`, inBox
	if f.Unread {
		index, where = `delivery_unread`, inBox+` AND d.read IS NULL`
	}
	sql := `SELECT d.seq, d.read, d.leases, d.thread, m.id, m.received, length(m.body)
		FROM delivery d INDEXED BY ` + index + ` JOIN message m ON m.id = d.message WHERE` + where + ` AND d.seq > ?2 ORDER BY d.seq`
	err = s.read(ctx, func(r *reader) error {
		page = gateway.InboxPage{Next: f.After}
		after, err := r.behind(f)
		if err != nil {
			return err
		}
		passed, skip, bytes := 0, f.Offset, 0
		err = r.query(sql, func(st *sqlite3.Stmt) error {
			item := gateway.InboxItem{
				Seq:           st.ColumnInt64(0),
				ReadAt:        store.FromMicros(st.ColumnInt64(1)),
				DeliveryCount: st.ColumnInt(2),
				Thread:        amtp.MessageID(st.ColumnText(3)),
			}
			row, received, size := st.ColumnInt64(4), store.FromMicros(st.ColumnInt64(5)), st.ColumnInt(6)
			wanted := !(f.Unread && !item.ReadAt.IsZero() || f.Read && item.ReadAt.IsZero() || received.Before(f.Since))
			full := f.Limit > 0 && len(page.Items) == f.Limit ||
				f.MaxBytes > 0 && len(page.Items) > 0 && bytes+size > f.MaxBytes
			if page.Incomplete = passed == s.bounds.Scan && !full; page.Incomplete || wanted && skip == 0 && full {
				page.HasMore = true
				return errEnough
			}
			page.Next = item.Seq
			switch {
			case !wanted:
				passed++
				return nil
			case skip > 0:
				skip--
				return nil
			}
			bytes += size
			if page.Items == nil {
				page.Items = make([]gateway.InboxItem, 0, min(f.Limit, 100))
			}
			return r.appendItem(s.dir, &page, item, boxRow{row, agent})
		}, int64(agent), after)
		switch {
		case errors.Is(err, errEnough):
			return nil
		case err != nil || !f.Unread:
			return err
		}
		// All that is read was looked at with the rest.
		return r.query(`SELECT d.seq FROM delivery d INDEXED BY delivery_box WHERE`+inBox+
			` ORDER BY d.seq DESC LIMIT 1`, func(st *sqlite3.Stmt) error {
			page.Next = max(page.Next, st.ColumnInt64(0))
			return nil
		}, int64(agent))
	})
	return page, err
}

// behind returns the number in the inbox behind which the messages are that the
// filter may want: what was received since a time entered behind what was
// accepted before that.
func (c *statements) behind(f gateway.InboxFilter) (after int64, err error) {
	after = f.After
	if f.Since.IsZero() {
		return after, nil
	}
	row, err := c.floor(f.Since)
	if err != nil || row == 0 {
		return after, err
	}
	err = c.query(`SELECT min(coalesce(place, seq)) FROM delivery INDEXED BY delivery_message WHERE message = ?`,
		func(s *sqlite3.Stmt) error {
			after = max(after, s.ColumnInt64(0)-1)
			return nil
		}, row)
	return after, err
}

// boxRow is the row of a message, and in whose inbox it is.
type boxRow struct {
	message int64
	agent   gateway.AgentID
}

// appendItem adds a message to the page, with what its own row knows of it.
func (r *reader) appendItem(dir *store.Directory, page *gateway.InboxPage, item gateway.InboxItem, row boxRow) error {
	return r.query(`SELECT `+envelopeColumns+`, m.body, `+isFirst+`?2) FROM message m WHERE m.id = ?1`,
		func(st *sqlite3.Stmt) error {
			item.Envelope = scanEnvelope(dir, st, st.ColumnBool(afterEnvelope+1))
			item.Thread = store.Thread(string(item.Thread), item.ID)
			item.Body = st.ColumnBlob(afterEnvelope, nil)
			page.Items = append(page.Items, item)
			return nil
		}, row.message, int64(row.agent))
}

// Depth counts an agent's inbox, up to limit each.
func (s *Store) Depth(ctx context.Context, agent gateway.AgentID, limit int) (unread, pending int, err error) {
	err = s.read(ctx, func(r *reader) error {
		return r.query(`SELECT
				(SELECT count(*) FROM (SELECT 1 FROM delivery d INDEXED BY delivery_box WHERE`+inBox+` LIMIT ?2)),
				(SELECT count(*) FROM (SELECT 1 FROM delivery d INDEXED BY delivery_unread WHERE`+inBox+` AND d.read IS NULL LIMIT ?2))`,
			func(st *sqlite3.Stmt) error {
				pending, unread = st.ColumnInt(0), st.ColumnInt(1)
				return nil
			}, int64(agent), limit)
	})
	return unread, pending, err
}

// boxed is one delivery to an agent, as acknowledging and marking look at it.
type boxed struct {
	seq   int64
	state gateway.State
	acked time.Time
	read  time.Time
	id    amtp.MessageID
	out   bool // it was pushed and is not in the inbox

	message int64
	class   gateway.Class
	sender  string // of another domain
}

// boxed finds the delivery of a message to an agent.
func (w *writer) boxed(agent gateway.AgentID, id amtp.MessageID) (b boxed, err error) {
	row, err := w.find(gateway.Reader{Agent: agent}, id)
	if err != nil {
		return b, err
	}
	err = w.query(`SELECT d.seq, d.state, d.acked, d.read, m.uuid, d.pushed, m.id, m.class, m.sender FROM delivery d INDEXED BY delivery_message JOIN message m ON m.id = d.message
		WHERE d.message = ? AND d.agent = ?`, func(s *sqlite3.Stmt) error {
		b = boxed{
			seq: s.ColumnInt64(0), state: gateway.State(s.ColumnInt64(1)),
			acked: store.FromMicros(s.ColumnInt64(2)), read: store.FromMicros(s.ColumnInt64(3)),
			id: store.MessageID(s.ColumnRawBlob(4)), out: s.ColumnBool(5),
			message: s.ColumnInt64(6), class: gateway.Class(s.ColumnInt64(7)), sender: s.ColumnText(8),
		}
		return nil
	}, row, int64(agent))
	if err == nil && b.seq == 0 {
		err = gateway.ErrNotFound
	}
	return b, err
}

// Ack takes a message out of an inbox.
func (s *Store) Ack(ctx context.Context, agent gateway.AgentID, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	var mark gateway.Mark
	err := s.write(ctx, 64, func(w *writer) error {
		w.beside = true
		b, err := w.boxed(agent, id)
		if err != nil {
			return err
		}
		next, err := gateway.Next(b.state, gateway.Ack)
		if err != nil {
			return gateway.ErrNotFound // it never entered the inbox
		}
		mark = gateway.Mark{ID: b.id, At: b.acked}
		if next == b.state {
			return nil
		}
		mark.At = store.FromMicros(store.Micros(now))
		_,
			err = w.exec(`UPDATE delivery SET state = ?1, delivered = coalesce(delivered, changed), changed = ?2, acked = ?2 WHERE seq = ?3`,
			int64(next), store.Micros(now), b.seq)
		if err != nil {
			return err
		}
		return w.owe(&b, agent, now, true)
	})
	if err != nil {
		return gateway.Mark{}, err // mark is not ours while the write goes on
	}
	return mark, nil
}

// MarkRead marks a message in an inbox as read.
func (s *Store) MarkRead(ctx context.Context, agent gateway.AgentID, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	var mark gateway.Mark
	err := s.write(ctx, 64, func(w *writer) error {
		w.beside = true
		b, err := w.boxed(agent, id)
		if err != nil {
			return err
		}
		if b.state != gateway.Delivered || b.out {
			return gateway.ErrNotFound
		}
		mark = gateway.Mark{ID: b.id, At: b.read}
		if !b.read.IsZero() {
			return nil
		}
		mark.At = store.FromMicros(store.Micros(now))
		if _, err = w.exec(`UPDATE delivery SET read = ? WHERE seq = ?`, store.Micros(now), b.seq); err != nil {
			return err
		}
		return w.owe(&b, agent, now, false)
	})
	if err != nil {
		return gateway.Mark{}, err // mark is not ours while the write goes on
	}
	return mark, nil
}

// probeRow is the setting that Probe writes.
const probeRow = "probe"

// Probe writes a row and reads it back, and refuses as a message would be.
func (s *Store) Probe(ctx context.Context, now time.Time) error {
	want := fmt.Sprintf("%020d", now.UnixMicro())
	err := s.write(ctx, 0, func(w *writer) error {
		if w.reserve.refuses() {
			return gateway.ErrFull
		}
		_,
			err := w.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)`,
			probeRow, want)
		return err
	})
	if err != nil {
		return err
	}
	return s.read(ctx, func(r *reader) error {
		got := ""
		err := r.query(`SELECT value FROM setting WHERE name = ?`, func(st *sqlite3.Stmt) error {
			got = st.ColumnText(0)
			return nil
		}, probeRow)
		if err == nil && got < want {
			err = errors.New("the row that was written is not there")
		}
		return err
	})
}

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

// inBox selects the deliveries that wait in an inbox: its index holds no others.
const inBox = ` d.agent = ?1 AND d.pushed IS NULL AND d.state = 5`

// Inbox returns a page of an agent's inbox. It chooses the messages on the page by the
// lengths of their bodies, and reads only the bodies that it returns. When a filter
// matches very few rows, the page ends early, instead of reading a million rows, and
// reports that there may be more.
func (s *Store) Inbox(ctx context.Context, by gateway.Acting,
	f gateway.InboxFilter) (page gateway.InboxPage, err error) {
	release, err := s.boxes.Take(ctx, int64(by.Agent))
	if err != nil {
		return gateway.InboxPage{Next: f.After}, err
	}
	defer release()
	index, where := `delivery_box`, inBox
	if f.Unread {
		index, where = `delivery_unread`, inBox+` AND d.read IS NULL`
	}
	mail := `NULL`
	if f.Names() {
		mail = senderOf
	}
	sql := `SELECT d.seq, d.read, d.leases, d.thread, m.id, m.received, length(m.body), m.uuid, m.in_reply_to, ` + mail + `,
			?3 <> '' AND EXISTS (SELECT 1 FROM label l WHERE l.message = m.id AND l.agent = ?1 AND l.name = ?3),
			coalesce(m.priority, 0)
		FROM delivery d INDEXED BY ` + index + ` JOIN message m ON m.id = d.message
		WHERE` + where + ` AND d.seq > ?2 ORDER BY d.seq`
	err = s.readBy(ctx, by, func(r *reader) error {
		page = gateway.InboxPage{Next: f.After}
		after, err := r.behind(f)
		if err != nil {
			return err
		}
		match, err := r.inboxMatch(by, f)
		if err != nil {
			return err
		}
		urgent := store.NewUrgent[inboxEntry](&f, s.bounds.Scan)
		pager := store.Pager{Limit: f.Limit, Scan: s.bounds.Scan, Offset: f.Offset, MaxBytes: f.MaxBytes, Next: f.After}
		err = r.query(sql, func(st *sqlite3.Stmt) error {
			item := gateway.InboxItem{
				Seq:           st.ColumnInt64(0),
				ReadAt:        store.FromMicros(st.ColumnInt64(1)),
				DeliveryCount: st.ColumnInt(2),
				Thread:        amtp.MessageID(st.ColumnText(3)),
			}
			entry, size := inboxEntry{item, inboxRef{st.ColumnInt64(4), by.Agent}}, st.ColumnInt(6)
			matches := match.Matches(&store.InboxEntry{
				Read: st.ColumnInt64(1), Received: st.ColumnInt64(5), Sender: st.ColumnText(9),
				InReplyTo: st.ColumnText(8), Thread: string(item.Thread), UUID: st.ColumnRawBlob(7),
				Labelled: st.ColumnBool(10)})
			if f.Urgent {
				if !urgent.Look(item.Seq, size, st.ColumnInt(11), entry, matches) {
					return errEnough
				}
				return nil
			}
			stands := pager.Look(item.Seq, size, matches)
			page.Next, page.HasMore, page.Incomplete = pager.Next, pager.HasMore, pager.Incomplete
			switch {
			case page.HasMore:
				return errEnough
			case !stands:
				return nil
			}
			if page.Items == nil {
				page.Items = make([]gateway.InboxItem, 0, min(f.Limit, 100))
			}
			return r.appendItem(s.dir, &page, entry.item, entry.row)
		}, int64(by.Agent), after, f.Label)
		enough := errors.Is(err, errEnough)
		switch {
		case f.Urgent && (enough || err == nil):
			for _, entry := range urgent.Page(&page) {
				if err := r.appendItem(s.dir, &page, entry.item, entry.row); err != nil {
					return err
				}
			}
			return nil
		case enough:
			return nil
		case err != nil || !f.Unread:
			return err
		}
		// The rest of the inbox is marked read, so the page has seen all of it.
		newest, err := r.lastEntry(by.Agent)
		page.Next = max(page.Next, newest)
		return err
	})
	return page, err
}

// senderOf is the address of a message's sender.
const senderOf = `coalesce(m.sender, (SELECT a.name || '@' || a.domain FROM agent a WHERE a.id = m.sender_agent))`

// inboxMatch returns the filter with the messages that it names, as the caller knows
// them.
func (c *statements) inboxMatch(by gateway.Acting, f gateway.InboxFilter) (*store.InboxMatch, error) {
	answered, err := c.meant(by, f.InReplyTo)
	if err != nil {
		return nil, err
	}
	thread, err := c.meant(by, f.Thread)
	return store.NewInboxMatch(f, answered, thread), err
}

// meant returns the message that the caller means by id, nil for none.
func (c *statements) meant(by gateway.Acting, id amtp.MessageID) (*store.MeantRow, error) {
	if id == "" {
		return nil, nil
	}
	row, err := c.find(gateway.Reader{Agent: by.Agent, Key: by.Key}, id)
	if err != nil || row == 0 {
		return nil, err
	}
	var n store.MeantRow
	err = c.query(`SELECT m.uuid, m.given_id, CASE WHEN m.sender_agent = ?2 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id AND d.agent = ?2) END
			FROM message m WHERE m.id = ?1`, func(s *sqlite3.Stmt) error {
		n.UUID, n.GivenID, n.Thread = s.ColumnBlob(0, nil), s.ColumnText(1), s.ColumnText(2)
		return nil
	}, row, int64(by.Agent))
	if err != nil {
		return nil, err
	}
	err = c.query(`SELECT id FROM alias INDEXED BY alias_message WHERE message = ?`, func(s *sqlite3.Stmt) error {
		n.Aliases = append(n.Aliases, s.ColumnText(0))
		return nil
	}, row)
	return &n, err
}

// Newest returns the number of the last message that waits in an agent's inbox.
func (s *Store) Newest(ctx context.Context, by gateway.Acting) (seq int64, err error) {
	err = s.readBy(ctx, by, func(r *reader) (err error) {
		seq, err = r.lastEntry(by.Agent)
		return err
	})
	return seq, err
}

func (c *statements) lastEntry(agent gateway.AgentID) (seq int64, err error) {
	err = c.query(`SELECT d.seq FROM delivery d INDEXED BY delivery_box WHERE`+inBox+` ORDER BY d.seq DESC LIMIT 1`,
		func(st *sqlite3.Stmt) error {
			seq = st.ColumnInt64(0)
			return nil
		}, int64(agent))
	return seq, err
}

// behind returns the sequence number after which the filter may match. A message that
// was received since a time entered the inbox after those that were accepted before
// that time.
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

// inboxEntry is a message of an inbox, before its body is read.
type inboxEntry struct {
	item gateway.InboxItem
	row  inboxRef
}

// inboxRef is the row of a message, with the agent whose inbox it is in.
type inboxRef struct {
	message int64
	agent   gateway.AgentID
}

// appendItem adds a message to the page, with the columns of its own row.
func (r *reader) appendItem(dir *store.Directory, page *gateway.InboxPage, item gateway.InboxItem, row inboxRef) error {
	return r.query(`SELECT `+envelopeColumns+`, m.body, `+isFirst+`?2), `+labelsOf+`?2) FROM message m WHERE m.id = ?1`,
		func(st *sqlite3.Stmt) error {
			item.Envelope = scanEnvelope(dir, st, st.ColumnBool(afterEnvelope+1))
			item.Thread = store.Thread(string(item.Thread), item.ID)
			item.Body = st.ColumnBlob(afterEnvelope, nil)
			item.Labels = store.Labels(st.ColumnText(afterEnvelope + 2))
			page.Items = append(page.Items, item)
			return nil
		}, row.message, int64(row.agent))
}

// Depth counts an agent's inbox, up to limit each.
func (s *Store) Depth(ctx context.Context, by gateway.Acting, limit int) (unread, pending int, err error) {
	err = s.readBy(ctx, by, func(r *reader) error {
		return r.query(`SELECT
				(SELECT count(*) FROM (SELECT 1 FROM delivery d INDEXED BY delivery_box WHERE`+inBox+` LIMIT ?2)),
				(SELECT count(*) FROM (SELECT 1 FROM delivery d INDEXED BY delivery_unread WHERE`+inBox+` AND d.read IS NULL LIMIT ?2))`,
			func(st *sqlite3.Stmt) error {
				pending, unread = st.ColumnInt(0), st.ColumnInt(1)
				return nil
			}, int64(by.Agent), limit)
	})
	return unread, pending, err
}

// inboxColumns are the columns that scanInboxRow reads, from column 0, of a delivery d
// and its message m.
const inboxColumns = `d.seq, d.state, d.acked, d.read, m.uuid, d.pushed, m.id, m.class, m.sender, d.token, d.hidden, d.holder`

const afterInbox = 12

func scanInboxRow(s *sqlite3.Stmt) store.InboxRow {
	return store.InboxRow{
		Seq: s.ColumnInt64(0), State: gateway.State(s.ColumnInt64(1)), Acked: s.ColumnInt64(2),
		Read: s.ColumnInt64(3), ID: store.MessageID(s.ColumnRawBlob(4)), Pushed: s.ColumnBool(5),
		Message: s.ColumnInt64(6), Class: gateway.Class(s.ColumnInt64(7)), Sender: s.ColumnText(8),
		LeaseRow: store.LeaseRow{Token: s.ColumnInt64(9), Hidden: s.ColumnInt64(10), Holder: s.ColumnText(11)},
	}
}

// inboxRow finds the delivery of a message to an agent.
func (w *writer) inboxRow(agent gateway.AgentID, id amtp.MessageID) (r store.InboxRow, err error) {
	row, err := w.find(gateway.Reader{Agent: agent}, id)
	if err != nil {
		return r, err
	}
	err = w.query(`SELECT `+inboxColumns+`
			FROM delivery d INDEXED BY delivery_message JOIN message m ON m.id = d.message
			WHERE d.message = ? AND d.agent = ?`, func(s *sqlite3.Stmt) error {
		r = scanInboxRow(s)
		return nil
	}, row, int64(agent))
	return r, err
}

// Ack takes a message out of an inbox.
func (s *Store) Ack(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, by, id, store.Marking{Key: by.Key, At: store.Micros(now), Ack: true})
}

// AckTaken is Ack by a caller that may show a lease.
func (s *Store) AckTaken(ctx context.Context, by gateway.Acting, t gateway.Ticket,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, by, t.ID, store.Marking{Key: by.Key, Token: t.Token, At: store.Micros(now), Ack: true})
}

// MarkRead marks a message in an inbox as read.
func (s *Store) MarkRead(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, by, id, store.Marking{At: store.Micros(now)})
}

func (s *Store) mark(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	m store.Marking) (gateway.Mark, error) {
	var mark store.Mark
	err := s.writeBy(ctx, by, 64, func(w *writer) error {
		w.keepsPrefetch = true
		row, err := w.inboxRow(by.Agent, id)
		if err != nil {
			return err
		}
		if mark, err = row.Mark(m); err != nil || !mark.Due {
			return err
		}
		if m.Ack {
			_, err = w.exec(`UPDATE delivery SET state = ?1, delivered = coalesce(delivered, changed), changed = ?2,
					acked = ?2 WHERE seq = ?3`, int64(mark.State), m.At, row.Seq)
		} else {
			_, err = w.exec(`UPDATE delivery SET read = ? WHERE seq = ?`, m.At, row.Seq)
		}
		if err != nil {
			return err
		}
		return w.insertReceipt(&row, by.Agent, &mark.Owed)
	})
	if err != nil {
		return gateway.Mark{}, err // the write may still change mark
	}
	return mark.Mark, nil
}

// probeRow is the setting that Probe writes.
const probeRow = "probe"

// Probe writes a row and reads it back. It is refused under the same conditions as a
// message.
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

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

// errEnough ends a query early.
var errEnough = errors.New("enough")

// scan runs a query until row returns false.
func (c *statements) scan(sql string, row func(*sqlite3.Stmt) (more bool), args ...any) error {
	err := c.query(sql, func(s *sqlite3.Stmt) error {
		if !row(s) {
			return errEnough
		}
		return nil
	}, args...)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

// find returns the row of the message that the reader means by id and may see, 0 when
// there is none.
func (c *statements) find(by gateway.Reader, id amtp.MessageID) (row int64, err error) {
	if u, ok := id.UUID(); ok {
		err = c.query(`SELECT id FROM message m WHERE uuid = ?1 AND (?2 OR sender_agent = ?3
				OR EXISTS (SELECT 1 FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id AND d.agent = ?3))`,
			func(s *sqlite3.Stmt) error {
				row = s.ColumnInt64(0)
				return nil
			}, u[:], by.Everyone, int64(by.Agent))
		if err != nil || row != 0 {
			return row, err
		}
	}
	// A message whose sender is proven comes before one that was sent under the same id
	// without proof.
	err = c.query(`SELECT message FROM alias WHERE id = ?1 AND (?2 OR agent = ?3 AND ?3 <> 0)
			ORDER BY length(variant), message DESC LIMIT 1`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, string(id), by.Everyone, int64(by.Agent))
	return row, err
}

// Message returns one message that the reader may see.
func (s *Store) Message(ctx context.Context, by gateway.Reader, id amtp.MessageID) (rec gateway.Record, err error) {
	err = s.readBy(ctx, by.Acting(), func(r *reader) error {
		row, err := r.find(by, id)
		if err != nil {
			return err
		}
		if row == 0 {
			return gateway.ErrNotFound
		}
		rec, err = r.record(s.dir, by, row, true)
		return err
	})
	return rec, err
}

// envelopeColumns are the columns that scanEnvelope reads, from column 0.
const envelopeColumns = `m.uuid, m.sender_agent, m.sender, m.class, m.trust, m.authentication, m.received, m.stamped,
	m.request, m.given_id, m.subject, m.in_reply_to, m.author`

const afterEnvelope = 13

func scanEnvelope(dir *store.Directory, s *sqlite3.Stmt, first bool) gateway.Envelope {
	row := store.EnvelopeRow{
		UUID: s.ColumnRawBlob(0), SenderAgent: gateway.AgentID(s.ColumnInt64(1)), Sender: s.ColumnText(2),
		Class: gateway.Class(s.ColumnInt64(3)), Trust: s.ColumnInt64(4), Finding: s.ColumnText(5),
		Received: s.ColumnInt64(6), Stamped: s.ColumnInt64(7), Request: s.ColumnInt64(8),
		GivenID: s.ColumnText(9), Subject: s.ColumnText(10), InReplyTo: s.ColumnText(11), Author: s.ColumnInt64(12),
		First: first,
	}
	return row.Envelope(dir)
}

// record reads a message and its deliveries, and the thread of the message in the
// reader's mailbox.
func (c *statements) record(dir *store.Directory, by gateway.Reader, row int64,
	body bool) (rec gateway.Record, err error) {
	err = c.query(`SELECT `+envelopeColumns+`, CASE WHEN ?3 OR m.sender_agent = ?4 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id AND d.agent = ?4) END, CASE WHEN ?2 THEN m.body END, `+isFirst+`?4),
			`+labelsOf+`?4)
			FROM message m WHERE m.id = ?1`,
		func(s *sqlite3.Stmt) error {
			rec.Envelope = scanEnvelope(dir, s, s.ColumnBool(afterEnvelope+2))
			rec.Thread = store.Thread(s.ColumnText(afterEnvelope), rec.ID)
			rec.Body = s.ColumnBlob(afterEnvelope+1, nil)
			rec.Labels = store.Labels(s.ColumnText(afterEnvelope + 3))
			return nil
		}, row, body, by.Everyone, int64(by.Agent))
	if err != nil {
		return rec, err
	}
	rec.Deliveries, err = c.deliveries(dir, row)
	return rec, err
}

// deliveryColumns are the columns that scanDelivery reads, of a delivery d and its job
// j, from any column.
const deliveryColumns = `d.seq, d.agent, d.address, d.state, d.changed, d.delivered, d.acked, d.attempts, d.code, d.reason, d.pushed,
	d.place, d.read, d.refused, j.state, j.changed, j.attempts, j.due, j.code, j.reason, d.further, d.redriven,
	CASE WHEN d.token IS NOT NULL THEN d.hidden END`

const afterDelivery = 23

func scanDelivery(s *sqlite3.Stmt, from int) store.DeliveryRow {
	row := store.DeliveryRow{
		Seq: s.ColumnInt64(from), Agent: gateway.AgentID(s.ColumnInt64(from + 1)), Address: s.ColumnText(from + 2),
		State: gateway.State(s.ColumnInt64(from + 3)), Changed: s.ColumnInt64(from + 4),
		Delivered: s.ColumnInt64(from + 5),
		Acked:     s.ColumnInt64(from + 6), Attempts: -1, Code: s.ColumnText(from + 8), Reason: s.ColumnText(from + 9),
		Pushed: s.ColumnBool(from + 10), Place: s.ColumnInt64(from + 11),
		Read: s.ColumnInt64(from + 12), Refused: s.ColumnInt64(from + 13),
		Further: s.ColumnBool(from + 20), Redriven: s.ColumnInt64(from + 21), Leased: s.ColumnInt64(from + 22),
	}
	if s.ColumnType(from+7) != sqlite3.NULL {
		row.Attempts = s.ColumnInt64(from + 7)
	}
	if row.State == gateway.Queued && s.ColumnType(from+14) != sqlite3.NULL {
		row.Job = &store.JobRow{
			State: gateway.State(s.ColumnInt64(from + 14)), Changed: s.ColumnInt64(from + 15),
			Attempts: s.ColumnInt(from + 16),
			Due:      s.ColumnInt64(from + 17), Code: s.ColumnText(from + 18), Reason: s.ColumnText(from + 19),
		}
	}
	return row
}

func (c *statements) deliveries(dir *store.Directory, row int64) ([]gateway.Delivery, error) {
	rows, err := c.deliveryRows(`SELECT `+deliveryColumns+
		` FROM delivery d LEFT JOIN job j ON j.id = d.job WHERE d.message = ? ORDER BY d.seq`, row)
	if err != nil {
		return nil, err
	}
	return store.Deliveries(rows, dir), nil
}

// deliveryRows returns the rows that the query finds.
func (c *statements) deliveryRows(sql string, args ...any) (rows []store.DeliveryRow, err error) {
	err = c.query(sql, func(s *sqlite3.Stmt) error {
		rows = append(rows, scanDelivery(s, 0))
		return nil
	}, args...)
	return rows, err
}

// Messages lists messages, newest first.
func (s *Store) Messages(ctx context.Context, by gateway.Reader,
	f gateway.MessageFilter) (page gateway.MessagePage, err error) {
	release, err := s.lists.Take(ctx, s.dir.Caller(gateway.Acting{Agent: by.Agent, Key: by.Key}))
	if err != nil {
		return page, err
	}
	defer release()
	err = s.readBy(ctx, by.Acting(), func(r *reader) error {
		l := store.Listing{Series: r.series(s.dir, by, f), Bounds: s.bounds}
		if !f.Since.IsZero() {
			if l.Floor, err = r.floor(f.Since); err != nil {
				return err
			}
		}
		if f.Status != "" || !f.Since.IsZero() {
			l.Match = func(rows []int64) ([]bool, error) { return r.match(rows, f) }
		}
		var rows []int64
		if rows, page, err = l.Page(f); err != nil {
			return err
		}
		for _, row := range rows {
			rec, err := r.record(s.dir, by, row, false)
			if err != nil {
				return err
			}
			page.Messages = append(page.Messages, rec)
		}
		return nil
	})
	return page, err
}

// series returns the messages with the senders and recipients that the filter asks for.
// Each condition uses its own index.
func (c *statements) series(dir *store.Directory, by gateway.Reader, f gateway.MessageFilter) store.Series {
	x := store.Indexes{
		All: store.Index(func(before int64, limit int) ([]int64, error) {
			return c.numbers(`SELECT id FROM message WHERE id < ? ORDER BY id DESC LIMIT ?`, before, limit)
		}),
		SentBy: through[int64](c, `SELECT id FROM message INDEXED BY message_sender
			WHERE sender_agent = ? AND id < ? ORDER BY id DESC LIMIT ?`),
		ReceivedBy: through[int64](c, `SELECT message FROM delivery INDEXED BY delivery_agent
			WHERE agent = ? AND agent <> 0 AND message < ? ORDER BY message DESC LIMIT ?`),
		SentFrom: through[string](c, `SELECT id FROM message INDEXED BY message_from
			WHERE sender = ? AND id < ? ORDER BY id DESC LIMIT ?`),
		SentTo: through[string](c, `SELECT message FROM delivery INDEXED BY delivery_to
			WHERE address = ? COLLATE NOCASE AND message < ? ORDER BY message DESC LIMIT ?`),
		Labelled: c.labelled(by.Agent),
	}
	return x.Select(dir, by, &f)
}

// through returns the series that a query finds for a key.
func through[K any](c *statements, sql string) func(key K) store.Series {
	return func(key K) store.Series {
		return store.Index(func(before int64, limit int) ([]int64, error) { return c.numbers(sql, key, before, limit) })
	}
}

// numbers reads a column of numbers.
func (c *statements) numbers(sql string, args ...any) (list []int64, err error) {
	err = c.query(sql, func(s *sqlite3.Stmt) error {
		list = append(list, s.ColumnInt64(0))
		return nil
	}, args...)
	return list, err
}

// floor returns the row of a message that was stored before all messages received since
// that time, 0 when none is known.
func (c *statements) floor(since time.Time) (row int64, err error) {
	err = c.query(`SELECT id FROM message INDEXED BY message_received WHERE received < ? ORDER BY received DESC, id DESC LIMIT 1`,
		func(s *sqlite3.Stmt) error {
			row = s.ColumnInt64(0)
			return nil
		}, store.Micros(since)-store.SinceSlack)
	return row, err
}

// match reports which of the messages were received since the time of the filter and
// have its status.
func (c *statements) match(rows []int64, f gateway.MessageFilter) ([]bool, error) {
	match := make([]bool, len(rows))
	for i, row := range rows {
		match[i] = true
		if !f.Since.IsZero() {
			err := c.query(`SELECT received FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
				match[i] = s.ColumnInt64(0) >= store.Micros(f.Since)
				return nil
			}, row)
			if err != nil {
				return nil, err
			}
		}
		if match[i] && f.Status != "" {
			var err error
			if match[i], err = c.hasStatus(row, f.Status); err != nil {
				return nil, err
			}
		}
	}
	return match, nil
}

// hasStatus reports whether the message has the wanted status.
func (c *statements) hasStatus(row int64, want amtp.Status) (bool, error) {
	var states []gateway.Delivery
	err := c.query(`SELECT CASE WHEN d.state = ?2 THEN coalesce(j.state, d.state) ELSE d.state END
			FROM delivery d INDEXED BY delivery_message LEFT JOIN job j ON j.id = d.job WHERE d.message = ?1`, func(s *sqlite3.Stmt) error {
		states = append(states, gateway.Delivery{State: gateway.State(s.ColumnInt64(0))})
		return nil
	}, row, int64(gateway.Queued))
	return gateway.InStatus(states, want), err
}

package sqlite

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// find returns the row of the message that the reader means by id and may see,
// 0 when there is none.
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
	// What somebody vouched for comes before what strangers sent in the name.
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
	err = s.read(ctx, func(r *reader) error {
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

// envelopeColumns are read by scanEnvelope, from column 0 on.
const envelopeColumns = `m.uuid, m.sender_agent, m.sender, m.class, m.trust, m.authentication, m.received, m.stamped,
	m.request, m.given_id, m.subject, m.in_reply_to`

const afterEnvelope = 12

func scanEnvelope(dir *store.Directory, s *sqlite3.Stmt) (gateway.Envelope, error) {
	row := store.EnvelopeRow{
		UUID: s.ColumnRawBlob(0), SenderAgent: gateway.AgentID(s.ColumnInt64(1)), Sender: s.ColumnText(2),
		Class: gateway.Class(s.ColumnInt64(3)), Trust: s.ColumnInt64(4), Finding: s.ColumnText(5),
		Received: s.ColumnInt64(6), Stamped: s.ColumnInt64(7), Request: s.ColumnInt64(8),
		GivenID: s.ColumnText(9), Subject: s.ColumnText(10), InReplyTo: s.ColumnText(11),
	}
	return row.Envelope(dir)
}

// record reads a message and its deliveries, with the thread that it has in the
// reader's mailbox.
func (c *statements) record(dir *store.Directory, by gateway.Reader, row int64, body bool) (rec gateway.Record, err error) {
	err = c.query(`SELECT `+envelopeColumns+`, CASE WHEN ?3 OR m.sender_agent = ?4 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id AND d.agent = ?4) END, CASE WHEN ?2 THEN m.body END
			FROM message m WHERE m.id = ?1`,
		func(s *sqlite3.Stmt) error {
			if rec.Envelope, err = scanEnvelope(dir, s); err != nil {
				return err
			}
			rec.Thread = store.Thread(s.ColumnText(afterEnvelope), rec.ID)
			rec.Body = s.ColumnBlob(afterEnvelope+1, nil)
			return nil
		}, row, body, by.Everyone, int64(by.Agent))
	if err != nil {
		return rec, err
	}
	rec.Deliveries, err = c.deliveries(dir, row)
	return rec, err
}

// deliveryColumns are read by scanDelivery, of a delivery d and its job j, from
// any column on.
const deliveryColumns = `d.seq, d.agent, d.address, d.state, d.changed, d.delivered, d.acked, d.attempts, d.code, d.reason, d.pushed,
	d.place, d.read, d.refused, j.state, j.changed, j.attempts, j.due, j.code, j.reason, d.further, d.redriven`

const afterDelivery = 22

func scanDelivery(s *sqlite3.Stmt, from int) store.DeliveryRow {
	row := store.DeliveryRow{
		Seq: s.ColumnInt64(from), Agent: gateway.AgentID(s.ColumnInt64(from + 1)), Address: s.ColumnText(from + 2),
		State: gateway.State(s.ColumnInt64(from + 3)), Changed: s.ColumnInt64(from + 4), Delivered: s.ColumnInt64(from + 5),
		Acked: s.ColumnInt64(from + 6), Attempts: -1, Code: s.ColumnText(from + 8), Reason: s.ColumnText(from + 9),
		Pushed: s.ColumnBool(from + 10), Place: s.ColumnInt64(from + 11),
		Read: s.ColumnInt64(from + 12), Refused: s.ColumnInt64(from + 13),
		Further: s.ColumnBool(from + 20), Redriven: s.ColumnInt64(from + 21),
	}
	if s.ColumnType(from+7) != sqlite3.NULL {
		row.Attempts = s.ColumnInt64(from + 7)
	}
	if row.State == gateway.Queued && s.ColumnType(from+14) != sqlite3.NULL {
		row.Job = &store.JobRow{
			State: gateway.State(s.ColumnInt64(from + 14)), Changed: s.ColumnInt64(from + 15), Attempts: s.ColumnInt(from + 16),
			Due: s.ColumnInt64(from + 17), Code: s.ColumnText(from + 18), Reason: s.ColumnText(from + 19),
		}
	}
	return row
}

func (c *statements) deliveries(dir *store.Directory, row int64) ([]gateway.Delivery, error) {
	return c.deliveriesBy(dir, `SELECT `+deliveryColumns+` FROM delivery d LEFT JOIN job j ON j.id = d.job WHERE d.message = ? ORDER BY d.seq`, row)
}

// deliveriesBy returns what the query finds, in the order in which the
// recipients were named.
func (c *statements) deliveriesBy(dir *store.Directory, sql string, args ...any) ([]gateway.Delivery, error) {
	var rows []store.DeliveryRow
	err := c.query(sql, func(s *sqlite3.Stmt) error {
		rows = append(rows, scanDelivery(s, 0))
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	return store.Deliveries(rows, dir)
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// mayList waits until one of the few lists may begin that run at once.
func (s *Store) mayList(ctx context.Context) (release func(), err error) {
	select {
	case s.lists <- struct{}{}:
		return func() { <-s.lists }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Messages lists messages, newest first.
func (s *Store) Messages(ctx context.Context, by gateway.Reader, f gateway.MessageFilter) (page gateway.MessagePage, err error) {
	release, err := s.mayList(ctx)
	if err != nil {
		return page, err
	}
	defer release()
	sql, args := s.selection(by, f)
	looked := 0
	err = s.read(ctx, func(r *reader) error {
		var rows []int64
		err := r.query(sql, func(st *sqlite3.Stmt) error {
			if looked++; looked > gateway.MaxScan {
				page.Capped = true
				return errEnough
			}
			row := st.ColumnInt64(0)
			if match, err := r.hasStatus(row, f.Status); err != nil || !match {
				return err
			}
			if page.Total == gateway.MaxTotal {
				page.Capped = true
				return errEnough
			}
			if page.Total >= f.Offset && (f.Limit == 0 || len(rows) < f.Limit) {
				rows = append(rows, row)
			}
			page.Total++
			return nil
		}, args...)
		if err != nil && !errors.Is(err, errEnough) {
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

// hasStatus reports whether the wanted status selects the message.
func (c *statements) hasStatus(row int64, want amtp.Status) (bool, error) {
	if want == "" {
		return true, nil
	}
	var states []gateway.Delivery
	err := c.query(`SELECT CASE WHEN d.state = ?2 THEN coalesce(j.state, d.state) ELSE d.state END
			FROM delivery d LEFT JOIN job j ON j.id = d.job WHERE d.message = ?1`, func(s *sqlite3.Stmt) error {
		states = append(states, gateway.Delivery{State: gateway.State(s.ColumnInt64(0))})
		return nil
	}, row, int64(gateway.Queued))
	return gateway.InStatus(states, want), err
}

// selection returns the query for the rows of the messages that match, newest
// first, but for their status.
func (s *Store) selection(by gateway.Reader, f gateway.MessageFilter) (sql string, args []any) {
	sql = `SELECT id FROM message m WHERE true`
	switch {
	case by.Everyone:
	case f.Sent:
		sql = `SELECT id FROM message m WHERE sender_agent = ?`
		args = append(args, int64(by.Agent))
	default:
		sql = `SELECT id FROM message m WHERE id IN
			(SELECT id FROM message WHERE sender_agent = ? UNION SELECT message FROM delivery WHERE agent = ?)`
		args = append(args, int64(by.Agent), int64(by.Agent))
	}
	if !f.Sender.IsZero() {
		sql += ` AND (sender_agent IN (SELECT value FROM json_each(?)) OR sender = ?)`
		args = append(args, everNamed(s.dir, f.Sender), f.Sender.Key())
	}
	if !f.Recipient.IsZero() {
		sql += ` AND EXISTS (SELECT 1 FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id
			AND (d.agent IN (SELECT value FROM json_each(?)) OR d.address = ? COLLATE NOCASE))`
		args = append(args, everNamed(s.dir, f.Recipient), f.Recipient.Key())
	}
	if !f.Since.IsZero() {
		sql += ` AND received >= ?`
		args = append(args, store.Micros(f.Since))
	}
	return sql + ` ORDER BY id DESC`, args
}

// everNamed returns the ids of all agents that have or had the address, as JSON.
func everNamed(dir *store.Directory, a amtp.Address) string {
	ids, _ := json.Marshal(dir.EverNamed(a)) // numbers cannot fail
	return string(ids)
}

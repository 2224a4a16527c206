package postgres

import (
	"context"
	"fmt"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// find returns the row of the message that the reader means by id and may see,
// 0 when there is none.
func (c conn) find(ctx context.Context, by gateway.Reader, id amtp.MessageID) (row int64, err error) {
	if u, ok := id.UUID(); ok {
		row, err = c.number(ctx, `SELECT id FROM message m WHERE uuid = $1 AND ($2 OR sender_agent = $3
				OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.agent = $3))`, u[:], by.Everyone, int64(by.Agent))
		if err != nil || row != 0 {
			return row, err
		}
	}
	// What somebody vouched for comes before what strangers sent in the name.
	return c.number(ctx, `SELECT message FROM alias WHERE id = $1 AND ($2 OR agent = $3 AND $3 <> 0)
			ORDER BY length(variant), message DESC LIMIT 1`, []byte(id), by.Everyone, int64(by.Agent))
}

// Message returns one message that the reader may see.
func (s *Store) Message(ctx context.Context, by gateway.Reader, id amtp.MessageID) (gateway.Record, error) {
	var found []recordRow
	err := s.snapshot(ctx, func(ctx context.Context, c conn) error {
		row, err := c.find(ctx, by, id)
		if err == nil && row == 0 {
			err = gateway.ErrNotFound
		}
		if err == nil {
			found, err = c.records(ctx, by, []int64{row}, true)
		}
		return err
	})
	if err != nil {
		return gateway.Record{}, err
	}
	list, err := s.records(ctx, found)
	if err != nil {
		return gateway.Record{}, err
	}
	return list[0], nil
}

// recordRow is a message with its deliveries, as they are stored.
type recordRow struct {
	letterRow
	thread     string
	deliveries []store.DeliveryRow
}

// records reads messages and their deliveries, with the threads that they have in
// the reader's mailbox, in the order of rows.
func (c conn) records(ctx context.Context, by gateway.Reader, rows []int64, body bool) ([]recordRow, error) {
	place := make(map[int64]int, len(rows))
	for i, row := range rows {
		place[row] = i
	}
	list := make([]recordRow, len(rows))
	var e envelope
	var row int64
	var thread, content []byte
	err := c.query(ctx, `SELECT `+envelopeColumns+`, m.id, CASE WHEN $3 OR m.sender_agent = $4 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d WHERE d.message = m.id AND d.agent = $4) END, CASE WHEN $2 THEN m.body END
			FROM message m WHERE m.id = ANY ($1::bigint[])`, []any{rows, body, by.Everyone, int64(by.Agent)},
		append(e.into(), &row, &thread, &content), func() error {
			list[place[row]] = recordRow{letterRow: letterRow{e.read(), content}, thread: string(thread)}
			return nil
		})
	if err != nil {
		return nil, err
	}
	var d delivery
	err = c.query(ctx, `SELECT `+deliveryColumns+`, d.message FROM delivery d `+itsJob+` WHERE d.message = ANY ($1::bigint[])`,
		[]any{rows}, append(d.into(), &row), func() error {
			r := &list[place[row]]
			r.deliveries = append(r.deliveries, d.read())
			return nil
		})
	return list, err
}

// records returns what the rows say.
func (s *Store) records(ctx context.Context, rows []recordRow) ([]gateway.Record, error) {
	list := make([]gateway.Record, len(rows))
	for i := range rows {
		r := &rows[i]
		var err error
		if list[i].Envelope, err = s.envelope(ctx, r.EnvelopeRow); err != nil {
			return nil, err
		}
		if list[i].Deliveries, err = s.deliveries(ctx, r.deliveries); err != nil {
			return nil, err
		}
		list[i].Body, list[i].Thread = r.body, store.Thread(r.thread, list[i].ID)
	}
	return list, nil
}

// deliveries returns what the rows say, of whichever replica their recipients are
// known.
func (s *Store) deliveries(ctx context.Context, rows []store.DeliveryRow) ([]gateway.Delivery, error) {
	for i := range rows {
		if err := s.know(ctx, rows[i].Agent); err != nil {
			return nil, err
		}
	}
	return store.Deliveries(rows, s.dir)
}

// mayList waits until one of the few lists may begin that run at once.
func (s *Store) mayList(ctx context.Context) (release func(), err error) {
	select {
	case s.lists <- struct{}{}:
		return func() { <-s.lists }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listStep is how many messages a list looks at in one statement.
const listStep = 2000

// Messages lists messages, newest first.
func (s *Store) Messages(ctx context.Context, by gateway.Reader, f gateway.MessageFilter) (page gateway.MessagePage, err error) {
	release, err := s.mayList(ctx)
	if err != nil {
		return page, err
	}
	defer release()
	if !f.Sender.IsZero() || !f.Recipient.IsZero() { // who had the address is known when the list begins
		if err := s.catchUp(ctx); err != nil {
			return page, err
		}
	}
	var found []recordRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) error {
		page = gateway.MessagePage{} // it may be the second time
		rows, err := s.selected(ctx, c, by, f, &page)
		if err == nil {
			found, err = c.records(ctx, by, rows, false)
		}
		return err
	})
	if err != nil {
		return gateway.MessagePage{}, err
	}
	if page.Messages, err = s.records(ctx, found); err != nil {
		return gateway.MessagePage{}, err
	}
	return page, nil
}

// selected returns the rows on a page, and counts what matches.
func (s *Store) selected(ctx context.Context, c conn, by gateway.Reader, f gateway.MessageFilter, page *gateway.MessagePage) (rows []int64, err error) {
	sql, args := s.selection(by, f)
	looked := 0
	for before := int64(1) << 62; ; {
		var ids []int64
		var id int64
		err := c.query(ctx, sql, append(args, before, listStep), []any{&id}, func() error {
			ids = append(ids, id)
			return nil
		})
		if err != nil {
			return nil, err
		}
		match, err := c.withStatus(ctx, ids, f.Status)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if looked++; looked > gateway.MaxScan || match(id) && page.Total == gateway.MaxTotal {
				page.Capped = true
				return rows, nil
			}
			if !match(id) {
				continue
			}
			if page.Total >= f.Offset && (f.Limit == 0 || len(rows) < f.Limit) {
				rows = append(rows, id)
			}
			page.Total++
		}
		if len(ids) < listStep {
			return rows, nil
		}
		before = ids[len(ids)-1]
	}
}

// withStatus tells which of the messages the wanted status selects.
func (c conn) withStatus(ctx context.Context, ids []int64, want amtp.Status) (match func(int64) bool, err error) {
	if want == "" {
		return func(int64) bool { return true }, nil
	}
	states := make(map[int64][]gateway.Delivery, len(ids))
	var id int64
	var state int16
	err = c.query(ctx, `SELECT d.message, CASE WHEN d.state = 1 THEN coalesce(j.state, d.state) ELSE d.state END
			FROM delivery d `+itsJob+` WHERE d.message = ANY ($1::bigint[])`, []any{ids}, []any{&id, &state}, func() error {
		states[id] = append(states[id], gateway.Delivery{State: gateway.State(state)})
		return nil
	})
	return func(id int64) bool { return gateway.InStatus(states[id], want) }, err
}

// selection returns the query for the rows of the messages that match, newest
// first, but for their status. Two more arguments say behind which row to go on
// and how many are wanted.
func (s *Store) selection(by gateway.Reader, f gateway.MessageFilter) (sql string, args []any) {
	w := where{sql: `SELECT id FROM message m WHERE true`}
	switch {
	case by.Everyone:
	case f.Sent:
		w.and(`sender_agent = %s`, int64(by.Agent))
	default:
		w.and(`id IN (SELECT id FROM message WHERE sender_agent = %[1]s UNION SELECT message FROM delivery WHERE agent = %[1]s AND agent <> 0)`, int64(by.Agent))
	}
	if !f.Sender.IsZero() {
		w.and(`(sender_agent = ANY (%s::bigint[])`, s.dir.EverNamed(f.Sender))
		w.add(` OR sender = %s)`, f.Sender.Key())
	}
	if !f.Recipient.IsZero() {
		w.and(`EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND (d.agent = ANY (%s::bigint[])`, s.dir.EverNamed(f.Recipient))
		w.add(` OR lower(d.address) = %s))`, f.Recipient.Key())
	}
	if !f.Since.IsZero() {
		w.and(`received >= %s`, store.Micros(f.Since))
	}
	n := len(w.args)
	return w.sql + fmt.Sprintf(` AND id < $%d ORDER BY id DESC LIMIT $%d`, n+1, n+2), w.args
}

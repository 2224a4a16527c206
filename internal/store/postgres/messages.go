package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// find returns the row of the message that the reader means by id and may see, 0 when
// there is none.
func (c conn) find(ctx context.Context, by gateway.Reader, id amtp.MessageID) (row int64, err error) {
	if u, ok := id.UUID(); ok {
		row, err = c.number(ctx, `SELECT id FROM message m WHERE uuid = $1 AND ($2 OR sender_agent = $3
				OR EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.id AND d.agent = $3))`, u[:], by.Everyone, int64(by.Agent))
		if err != nil || row != 0 {
			return row, err
		}
	}
	// A message whose sender is proven comes before one that was sent under the same id
	// without proof.
	return c.number(ctx, `SELECT message FROM alias WHERE id = $1 AND ($2 OR agent = $3 AND $3 <> 0)
			ORDER BY length(variant), message DESC LIMIT 1`, []byte(id), by.Everyone, int64(by.Agent))
}

// Message returns one message that the reader may see.
func (s *Store) Message(ctx context.Context, by gateway.Reader, id amtp.MessageID) (gateway.Record, error) {
	var found []recordRow
	err := s.snapshot(ctx, func(ctx context.Context, c conn) error {
		c = c.by(by.Acting())
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
	bodyRow
	thread     string
	deliveries []store.DeliveryRow
}

// records reads messages and their deliveries, in the order of rows, with the threads
// of the messages in the reader's mailbox.
func (c conn) records(ctx context.Context, by gateway.Reader, rows []int64, body bool) ([]recordRow, error) {
	place := make(map[int64]int, len(rows))
	for i, row := range rows {
		place[row] = i
	}
	list := make([]recordRow, len(rows))
	var e envelope
	var row int64
	var thread, content []byte
	var labels string
	err := c.query(ctx, `SELECT `+envelopeColumns+`, m.id, CASE WHEN $3 OR m.sender_agent = $4 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d WHERE d.message = m.id AND d.agent = $4) END, CASE WHEN $2 THEN m.body END, `+isFirst+`$4),
			`+labelsOf+`$4)
			FROM message m WHERE m.id = ANY ($1::bigint[])`, []any{rows, body, by.Everyone, int64(by.Agent)},
		append(e.into(), &row, &thread, &content, &e.row.First, &labels), func() error {
			list[place[row]] = recordRow{bodyRow: bodyRow{e.read(), content, labels}, thread: string(thread)}
			return nil
		})
	if err != nil {
		return nil, err
	}
	var d delivery
	err = c.query(ctx, `SELECT `+deliveryColumns+`, d.message FROM delivery d `+itsJob+
		` WHERE d.message = ANY ($1::bigint[])`,
		[]any{rows}, append(d.into(), &row), func() error {
			r := &list[place[row]]
			r.deliveries = append(r.deliveries, d.read())
			return nil
		})
	return list, err
}

// records returns the messages that the rows hold.
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
		list[i].Labels = store.Labels(r.labels)
	}
	return list, nil
}

// deliveries returns the deliveries that the rows hold, even if their recipients were
// registered through another replica.
func (s *Store) deliveries(ctx context.Context, rows []store.DeliveryRow) ([]gateway.Delivery, error) {
	for i := range rows {
		if err := s.know(ctx, rows[i].Agent); err != nil {
			return nil, err
		}
	}
	return store.Deliveries(rows, s.dir), nil
}

// Messages lists messages, newest first.
func (s *Store) Messages(ctx context.Context, by gateway.Reader,
	f gateway.MessageFilter) (page gateway.MessagePage, err error) {
	release, err := s.lists.Take(ctx, s.dir.Caller(gateway.Acting{Agent: by.Agent, Key: by.Key}))
	if err != nil {
		return page, err
	}
	defer release()
	if !f.Sender.IsZero() || !f.Recipient.IsZero() { // so that the list has every agent that had the address
		if err := s.catchUp(ctx); err != nil {
			return page, err
		}
	}
	var found []recordRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		c = c.by(by.Acting())
		var rows []int64
		if rows, page, err = s.selected(ctx, c, by, f); err == nil {
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

// selected returns the rows on a page, and the page's description of the rest.
func (s *Store) selected(ctx context.Context, c conn, by gateway.Reader, f gateway.MessageFilter) (rows []int64,
	page gateway.MessagePage, err error) {
	l := store.Listing{Series: c.series(ctx, s.dir, by, f), Bounds: s.bounds}
	if !f.Since.IsZero() {
		if l.Floor, err = c.floor(ctx, f.Since); err != nil {
			return nil, page, err
		}
	}
	if f.Status != "" || !f.Since.IsZero() {
		l.Match = func(rows []int64) ([]bool, error) { return c.match(ctx, rows, f) }
	}
	return l.Page(f)
}

// Each series is read through its own index. Its ORDER BY is one that only this index
// has. Otherwise a server that expects the key in nearly all rows would go through the
// rows by their ids, and there may be a million.
const (
	sentBy = `SELECT id FROM message WHERE sender_agent >= $1 AND (sender_agent, id) < ($1, $2::bigint)
		ORDER BY sender_agent DESC, id DESC LIMIT $3`
	sentFrom = `SELECT id FROM message WHERE sender >= $1 AND (sender, id) < ($1, $2::bigint) ORDER BY sender DESC, id DESC LIMIT $3`

	receivedBy = `SELECT message FROM delivery WHERE agent <> 0 AND agent >= $1 AND (agent, message) < ($1, $2::bigint)
		ORDER BY agent DESC, message DESC LIMIT $3`
	sentTo = `SELECT message FROM delivery WHERE address IS NOT NULL AND lower(address) >= $1 AND (lower(address), message) < ($1, $2::bigint)
		ORDER BY lower(address) DESC, message DESC LIMIT $3`
)

// series returns the messages with the senders and recipients that the filter asks for.
func (c conn) series(ctx context.Context, dir *store.Directory, by gateway.Reader,
	f gateway.MessageFilter) store.Series {
	x := store.Indexes{
		All: store.Index(func(before int64, limit int) ([]int64, error) {
			return c.numbers(ctx, `SELECT id FROM message WHERE id < $1 ORDER BY id DESC LIMIT $2`, before, limit)
		}),
		SentBy: through[int64](ctx, c, sentBy), ReceivedBy: through[int64](ctx, c, receivedBy),
		SentFrom: through[string](ctx, c, sentFrom), SentTo: through[string](ctx, c, sentTo),
		Labelled: c.labelled(ctx, by.Agent),
	}
	return x.Select(dir, by, &f)
}

// through returns the series that a query finds for a key.
func through[K any](ctx context.Context, c conn, sql string) func(key K) store.Series {
	return func(key K) store.Series {
		return store.Index(func(before int64, limit int) ([]int64, error) {
			return c.numbers(ctx, sql, key, before, limit)
		})
	}
}

// floor returns the row of a message that was stored before all messages received since
// that time, 0 when none is known.
func (c conn) floor(ctx context.Context, since time.Time) (int64, error) {
	return c.number(ctx, `SELECT id FROM message WHERE received < $1 ORDER BY received DESC, id DESC LIMIT 1`,
		store.Micros(since)-store.SinceSlack)
}

// match reports which of the messages were received since the time of the filter and
// have its status.
func (c conn) match(ctx context.Context, rows []int64, f gateway.MessageFilter) ([]bool, error) {
	since := make(map[int64]bool, len(rows))
	var id, received int64
	err := c.query(ctx, `SELECT id, received FROM message WHERE id = ANY ($1::bigint[])`, []any{rows},
		[]any{&id, &received}, func() error {
			since[id] = f.Since.IsZero() || received >= store.Micros(f.Since)
			return nil
		})
	if err != nil {
		return nil, err
	}
	states := make(map[int64][]gateway.Delivery, len(rows))
	if f.Status != "" {
		var state int16
		err = c.query(ctx, `SELECT d.message, CASE WHEN d.state = 1 THEN coalesce(j.state, d.state) ELSE d.state END
				FROM delivery d `+itsJob+` WHERE d.message = ANY ($1::bigint[])`, []any{rows}, []any{&id, &state}, func() error {
			states[id] = append(states[id], gateway.Delivery{State: gateway.State(state)})
			return nil
		})
	}
	match := make([]bool, len(rows))
	for i, row := range rows {
		match[i] = since[row] && (f.Status == "" || gateway.InStatus(states[row], f.Status))
	}
	return match, err
}

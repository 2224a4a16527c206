package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// markItem is one acknowledgement or read mark.
type markItem struct {
	store.Marking
	by   gateway.Acting
	id   amtp.MessageID
	mark gateway.Mark
}

// inboxScan is the target of the columns of a delivery that is marked.
type inboxScan struct {
	store.InboxRow
	state, class int16
	uuid         []byte
}

func (r *inboxScan) into() []any {
	return []any{&r.Seq, &r.state, &r.Acked, &r.Read, &r.uuid, &r.Pushed, &r.class, &r.Sender,
		&r.Token, &r.Hidden, &r.Holder}
}

// read returns the row that was scanned last.
func (r *inboxScan) read() store.InboxRow {
	row := r.InboxRow
	row.State, row.Class, row.ID = gateway.State(r.state), gateway.Class(r.class), store.MessageID(r.uuid)
	return row
}

const inboxColumns = `d.seq, d.state, coalesce(d.acked, 0), coalesce(d.read, 0), m.uuid, d.pushed, m.class, coalesce(m.sender, ''),
	coalesce(d.token, 0), coalesce(d.hidden, 0), coalesce(d.holder, '')`

// Ack takes a message out of an inbox.
func (s *Store) Ack(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.AckTaken(ctx, by, gateway.Ticket{ID: id}, now)
}

// AckTaken is Ack by a caller that may show a lease.
func (s *Store) AckTaken(ctx context.Context, by gateway.Acting, t gateway.Ticket,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, &markItem{by: by, id: t.ID,
		Marking: store.Marking{Key: by.Key, Token: t.Token, At: store.Micros(now), Ack: true}})
}

// MarkRead marks a message in an inbox as read.
func (s *Store) MarkRead(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, &markItem{by: by, id: id, Marking: store.Marking{At: store.Micros(now)}})
}

func (s *Store) mark(ctx context.Context, m *markItem) (gateway.Mark, error) {
	switch err := s.marks.Do(ctx, m, 64); {
	case err == nil:
		return m.mark, nil
	case !errors.Is(err, errFallback):
		return gateway.Mark{}, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) (gateway.Mark, error) {
		t.conn = t.by(m.by)
		return t.mark(ctx, m)
	})
}

// storeMarks stores a batch. It looks up the deliveries by their messages' canonical
// ids, and marks those that are found in the expected state. Any other item is handled
// in its own transaction.
func (s *Store) storeMarks(batch []*store.Item[*markItem]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	var err error
	var done []bool
	for range tries {
		if err = s.noteJump(ctx); err == nil {
			err = s.borrow(ctx, func(c conn) (err error) {
				done, err = c.marks(ctx, batch)
				return err
			})
		}
		var b broken
		if !isConflict(err) && !(errors.As(err, &b) && s.pool.Ping(ctx) == nil) {
			break
		}
	}
	fault := s.fault(err)
	for i, item := range batch {
		switch {
		case err != nil && errors.Is(fault, gateway.ErrBusy):
			item.Err = fault
		case err != nil, !done[i]:
			item.Err = errFallback
		}
	}
}

// storeAcks changes only deliveries that are not acknowledged yet and that nobody has
// leased or given back since they were found, and storeReads only those that are not
// marked read. Receipts for other domains are written in the same
// statement.
const (
	findInboxRows = `SELECT u.item, ` + inboxColumns + `
		FROM unnest($1::int[], $2::bytea[], $3::bigint[], $4::text[]) u (item, uuid, agent, key)
		JOIN agent a ON a.id = u.agent AND a.removed IS NULL
		JOIN message m ON m.uuid = u.uuid
		JOIN delivery d ON d.message = m.id AND d.agent = u.agent
		WHERE u.key = '' OR EXISTS (SELECT FROM agent_key k WHERE k.id = u.key AND ` + mayAct + `)`
	marksGiven = `(SELECT d.seq, u.at, u.domain, u.read, u.acked, u.due, u.token
			FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
				u (seq, at, domain, read, acked, due, token)
			JOIN delivery d ON d.seq = u.seq`
	storeAcks = `WITH held AS MATERIALIZED ` + marksGiven + `
			WHERE d.state = 5 AND coalesce(d.token, 0) = u.token ORDER BY d.seq FOR UPDATE OF d),
		marked AS (UPDATE delivery d SET state = 6, delivered = coalesce(d.delivered, d.changed), changed = held.at, acked = held.at
			FROM held WHERE d.seq = held.seq AND d.state = 5 RETURNING d.seq, d.message, d.agent), ` + storeOwed
	storeReads = `WITH held AS MATERIALIZED ` + marksGiven + `
			WHERE d.read IS NULL ORDER BY d.seq FOR UPDATE OF d),
		marked AS (UPDATE delivery d SET read = held.at FROM held WHERE d.seq = held.seq AND d.read IS NULL
			RETURNING d.seq, d.message, d.agent), ` + storeOwed
	storeOwed = `owed AS (INSERT INTO receipt AS r (message, agent, domain, read, acked, due)
			SELECT marked.message, marked.agent, held.domain, nullif(held.read, 0), nullif(held.acked, 0), held.due
			FROM marked JOIN held ON held.seq = marked.seq WHERE held.domain <> '' ORDER BY marked.message, marked.agent
			ON CONFLICT (message, agent) DO UPDATE SET read = coalesce(r.read, excluded.read), acked = coalesce(r.acked, excluded.acked))
		SELECT seq FROM marked`
)

// marks stores a batch and reports which of its items are done.
func (c conn) marks(ctx context.Context, batch []*store.Item[*markItem]) (done []bool, err error) {
	var items []int32
	var uuids [][]byte
	var agents []int64
	var keys []string
	for i, item := range batch {
		if u, ok := item.Work.id.UUID(); ok {
			items, uuids = append(items, int32(i)), append(uuids, u[:])
			agents, keys = append(agents, int64(item.Work.by.Agent)), append(keys, item.Work.by.Key)
		}
	}
	done = make([]bool, len(batch))
	found := make([]store.InboxRow, len(batch))
	var b inboxScan
	var i int32
	err = c.query(ctx, findInboxRows, []any{items, uuids, agents, keys}, append([]any{&i}, b.into()...), func() error {
		found[i] = b.read()
		return nil
	})
	if err != nil {
		return nil, err
	}
	acks, reads := pending{item: map[int64]int{}}, pending{item: map[int64]int{}}
	for i, item := range batch {
		m := item.Work
		mark, err := found[i].Mark(m.Marking)
		m.mark = mark.Mark
		switch {
		case err != nil: // its own transaction finds the error
		case !mark.Due:
			done[i] = true
		case m.Ack:
			acks.add(i, &found[i], m.At, &mark.Owed)
		default:
			reads.add(i, &found[i], m.At, &mark.Owed)
		}
	}
	if err := c.settleMarks(ctx, storeReads, &reads, done); err != nil {
		return nil, err
	}
	return done, c.settleMarks(ctx, storeAcks, &acks, done)
}

// pending are deliveries to be marked. A second mark of one delivery falls back to its
// own transaction.
type pending struct {
	seq, at          []int64
	domain           []string
	read, acked, due []int64
	token            []int64 // of the lease that was found
	item             map[int64]int
}

func (p *pending) add(i int, row *store.InboxRow, at int64, owed *store.ReceiptRow) {
	if _, twice := p.item[row.Seq]; !twice {
		p.seq, p.at, p.domain = append(p.seq, row.Seq), append(p.at, at), append(p.domain, string(owed.Domain))
		p.read, p.acked, p.due = append(p.read, owed.Read), append(p.acked, owed.Acked), append(p.due, owed.Due)
		p.token = append(p.token, row.Token)
		p.item[row.Seq] = i
	}
}

func (p *pending) args() []any {
	return []any{p.seq, p.at, p.domain, p.read, p.acked, p.due, p.token}
}

func (c conn) settleMarks(ctx context.Context, sql string, p *pending, done []bool) error {
	if len(p.seq) == 0 {
		return nil
	}
	var seq int64
	return c.query(ctx, sql, p.args(), []any{&seq}, func() error {
		done[p.item[seq]] = true
		return nil
	})
}

// mark finds a delivery by any id that its agent may use, and marks it.
func (t *tx) mark(ctx context.Context, m *markItem) (gateway.Mark, error) {
	var scan inboxScan
	message, err := t.find(ctx, gateway.Reader{Agent: m.by.Agent}, m.id)
	if err != nil {
		return gateway.Mark{}, err
	}
	err = t.query(ctx, `SELECT `+inboxColumns+`
			FROM delivery d JOIN message m ON m.id = d.message JOIN agent a ON a.id = d.agent AND a.removed IS NULL
			WHERE d.message = $1 AND d.agent = $2 FOR UPDATE OF d`, []any{message, int64(m.by.Agent)},
		scan.into(), func() error { return nil })
	if err != nil {
		return gateway.Mark{}, err
	}
	row := scan.read()
	mark, err := row.Mark(m.Marking)
	if err != nil || !mark.Due {
		return mark.Mark, err
	}
	sql := storeReads
	if m.Ack {
		sql = storeAcks
	}
	p := pending{item: map[int64]int{}}
	p.add(0, &row, m.At, &mark.Owed)
	_, err = t.change(ctx, sql, p.args()...)
	return mark.Mark, err
}

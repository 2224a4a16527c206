package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// marking is one acknowledgement or read mark.
type marking struct {
	agent gateway.AgentID
	id    amtp.MessageID
	key   string // by which it is made, "" for none
	at    int64
	ack   bool
	mark  gateway.Mark
	owed  store.ReceiptRow // what is told of it elsewhere
}

// boxed is one delivery to an agent, as acknowledging and marking look at it.
type boxed struct {
	seq, acked, read int64
	state            int16
	uuid             []byte
	pushed           bool
	class            int16
	sender           string // of another domain
}

func (b *boxed) into() []any {
	return []any{&b.seq, &b.state, &b.acked, &b.read, &b.uuid, &b.pushed, &b.class, &b.sender}
}

const boxedColumns = `d.seq, d.state, coalesce(d.acked, 0), coalesce(d.read, 0), m.uuid, d.pushed, m.class, coalesce(m.sender, '')`

// Ack takes a message out of an inbox.
func (s *Store) Ack(ctx context.Context, agent gateway.AgentID, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, &marking{agent: agent, id: id, at: store.Micros(now), ack: true})
}

// MarkRead marks a message in an inbox as read.
func (s *Store) MarkRead(ctx context.Context, agent gateway.AgentID, id amtp.MessageID,
	now time.Time) (gateway.Mark, error) {
	return s.mark(ctx, &marking{agent: agent, id: id, at: store.Micros(now)})
}

func (s *Store) mark(ctx context.Context, m *marking) (gateway.Mark, error) {
	_, m.key = gateway.KeyShown(ctx)
	switch err := s.marks.Do(ctx, m, 64); {
	case err == nil:
		return m.mark, nil
	case !errors.Is(err, errAlone):
		return gateway.Mark{}, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) (gateway.Mark, error) { return t.mark(ctx, m) })
}

// storeMarks stores a batch: it looks for the deliveries under their messages'
// canonical ids, and marks those that are found as they should be. Whatever is
// otherwise is looked at alone.
func (s *Store) storeMarks(batch []*store.Item[*marking]) {
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
		if !met(err) && !(errors.As(err, &b) && s.pool.Ping(ctx) == nil) {
			break
		}
	}
	fault := s.fault(err)
	for i, item := range batch {
		switch {
		case err != nil && errors.Is(fault, gateway.ErrBusy):
			item.Err = fault
		case err != nil, !done[i]:
			item.Err = errAlone
		}
	}
}

// Acknowledging changes only what nobody else has acknowledged meanwhile, and
// marking only what nobody else has marked. What other domains are to be told of
// it is written in the same statement.
const (
	findBoxed = `SELECT u.item, ` + boxedColumns + `
		FROM unnest($1::int[], $2::bytea[], $3::bigint[], $4::text[]) u (item, uuid, agent, key)
		JOIN agent a ON a.id = u.agent AND a.removed IS NULL
		JOIN message m ON m.uuid = u.uuid
		JOIN delivery d ON d.message = m.id AND d.agent = u.agent
		WHERE u.key = '' OR EXISTS (SELECT FROM agent_key k WHERE k.id = u.key)`
	marksGiven = `(SELECT d.seq, u.at, u.domain, u.read, u.acked, u.due
			FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) u (seq, at, domain, read, acked, due)
			JOIN delivery d ON d.seq = u.seq`
	storeAcks = `WITH held AS MATERIALIZED ` + marksGiven + `
			WHERE d.state = 5 ORDER BY d.seq FOR UPDATE OF d),
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

// marks stores a batch and reports which of it is done.
func (c conn) marks(ctx context.Context, batch []*store.Item[*marking]) (done []bool, err error) {
	var items []int32
	var uuids [][]byte
	var agents []int64
	var keys []string
	for i, item := range batch {
		if u, ok := item.Work.id.UUID(); ok {
			items, uuids = append(items, int32(i)), append(uuids, u[:])
			agents, keys = append(agents, int64(item.Work.agent)), append(keys, item.Work.key)
		}
	}
	done = make([]bool, len(batch))
	found := make([]boxed, len(batch))
	var b boxed
	var i int32
	err = c.query(ctx, findBoxed, []any{items, uuids, agents, keys}, append([]any{&i}, b.into()...), func() error {
		found[i] = b
		return nil
	})
	if err != nil {
		return nil, err
	}
	acks, reads := pending{item: map[int64]int{}}, pending{item: map[int64]int{}}
	for i, item := range batch {
		mark, due, err := found[i].marked(item.Work)
		switch {
		case err != nil: // alone finds out what is wrong
		case !due:
			item.Work.mark, done[i] = mark, true
		case item.Work.ack:
			acks.add(i, found[i].seq, item.Work)
		default:
			reads.add(i, found[i].seq, item.Work)
		}
		item.Work.mark = mark
	}
	if err := c.settleMarks(ctx, storeReads, &reads, done); err != nil {
		return nil, err
	}
	return done, c.settleMarks(ctx, storeAcks, &acks, done)
}

// pending are deliveries to be marked. The second mark of one waits for the next
// look at it.
type pending struct {
	seq, at          []int64
	domain           []string
	read, acked, due []int64
	item             map[int64]int
}

func (p *pending) add(i int, seq int64, m *marking) {
	if _, twice := p.item[seq]; !twice {
		p.seq, p.at, p.domain = append(p.seq, seq), append(p.at, m.at), append(p.domain, string(m.owed.Domain))
		p.read, p.acked, p.due = append(p.read, m.owed.Read), append(p.acked, m.owed.Acked), append(p.due, m.owed.Due)
		p.item[seq] = i
	}
}

func (p *pending) args() []any { return []any{p.seq, p.at, p.domain, p.read, p.acked, p.due} }

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

// marked returns the mark that a delivery gets, and whether it has yet to be
// stored.
func (b *boxed) marked(m *marking) (mark gateway.Mark, due bool, err error) {
	if b.seq == 0 {
		return mark, false, gateway.ErrNotFound
	}
	mark = gateway.Mark{ID: store.MessageID(b.uuid), At: store.FromMicros(m.at)}
	m.owed = store.NewReceipt(gateway.Class(b.class), b.sender, b.read, m.at, m.ack)
	if !m.ack {
		if gateway.State(b.state) != gateway.Delivered || b.pushed {
			return mark, false, gateway.ErrNotFound
		}
		if b.read != 0 {
			mark.At = store.FromMicros(b.read)
		}
		return mark, b.read == 0, nil
	}
	next, err := gateway.Next(gateway.State(b.state), gateway.Ack)
	if err != nil {
		return mark, false, gateway.ErrNotFound // it never entered the inbox
	}
	if next == gateway.State(b.state) {
		mark.At = store.FromMicros(b.acked)
		return mark, false, nil
	}
	return mark, true, nil
}

// mark finds a delivery under whatever id its agent knows it and marks it.
func (t *tx) mark(ctx context.Context, m *marking) (gateway.Mark, error) {
	var b boxed
	row, err := t.find(ctx, gateway.Reader{Agent: m.agent}, m.id)
	if err != nil {
		return gateway.Mark{}, err
	}
	err = t.query(ctx, `SELECT `+boxedColumns+`
			FROM delivery d JOIN message m ON m.id = d.message JOIN agent a ON a.id = d.agent AND a.removed IS NULL
			WHERE d.message = $1 AND d.agent = $2 FOR UPDATE OF d`, []any{row, int64(m.agent)},
		b.into(), func() error { return nil })
	if err != nil {
		return gateway.Mark{}, err
	}
	mark, due, err := b.marked(m)
	if err != nil || !due {
		return mark, err
	}
	sql := storeReads
	if m.ack {
		sql = storeAcks
	}
	p := pending{item: map[int64]int{}}
	p.add(0, b.seq, m)
	_, err = t.change(ctx, sql, p.args()...)
	return mark, err
}

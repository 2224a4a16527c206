package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// searchSetting is the row of setting that keeps the place of the search index.
const searchSetting = "search"

// indexPlace is how far the search index has come. Deliveries do not become visible in the
// order of their numbers: one with a lower number may be committed later. So the index has
// two numbers. It has every delivery up to Done, whatever was under way. It has seen those
// up to Mark that were visible then. Done becomes Mark when every transaction has ended that
// was under way when Mark was set: those before Xact, the first number of a transaction that
// was not given out yet. A transaction has its number before it numbers a delivery, because
// it has stored or locked the message.
type indexPlace struct{ Done, Mark, Xact int64 }

func (p indexPlace) String() string { return fmt.Sprintf("%d %d %d", p.Done, p.Mark, p.Xact) }

// passed reports whether all transactions have ended that were under way when the mark was
// set. oldest is the oldest one that is under way, next the next that begins. In a database
// that was copied into another server, numbers of transactions begin anew.
func (p indexPlace) passed(oldest, next int64) bool { return oldest >= p.Xact || p.Xact > next }

// indexPlace reads the place of the index. lock is "" or FOR UPDATE.
func (c conn) indexPlace(ctx context.Context, lock string) (p indexPlace, err error) {
	var stored string
	err = c.query(ctx, `SELECT value FROM setting WHERE name = $1 `+lock, []any{searchSetting}, []any{&stored},
		func() error {
			_, err := fmt.Sscan(stored, &p.Done, &p.Mark, &p.Xact)
			return err
		})
	return p, err
}

// unindexed is the deliveries d behind a place whose message m is not in the index, or is
// there without one of its recipients.
const unindexed = `FROM delivery d JOIN message m ON m.id = d.message LEFT JOIN search s ON s.message = d.message
	WHERE d.seq > $1 AND m.body IS NOT NULL
		AND (s.message IS NULL OR s.deliveries <> (SELECT count(*) FROM delivery c WHERE c.message = d.message))`

// behindIndex counts the agent's messages among the next that the index takes up.
func (c conn) behindIndex(ctx context.Context, agent gateway.AgentID) (int, error) {
	place, err := c.indexPlace(ctx, "")
	if err != nil {
		return 0, err
	}
	n, err := c.number(ctx, `SELECT count(DISTINCT message) FROM (SELECT d.message, d.agent, m.sender_agent `+unindexed+`
			ORDER BY d.seq LIMIT $2) next WHERE agent = $3 OR sender_agent = $3`,
		place.Done, gateway.MaxBehind, int64(agent))
	return int(n), err
}

const newestDelivery = `SELECT coalesce(max(seq), 0) FROM delivery`

// IndexMail takes the next messages into the index. Of several processes one at a time does
// so.
func (s *Store) IndexMail(ctx context.Context, limit int) (done gateway.Indexed, err error) {
	idle := false
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		place, err := c.indexPlace(ctx, "")
		if err == nil {
			done.Newest, err = c.number(ctx, newestDelivery)
		}
		idle = place.Done == done.Newest
		return err
	})
	if err != nil || idle {
		return done, err
	}
	return write(ctx, s, func(ctx context.Context, t *tx) (gateway.Indexed, error) {
		return t.indexMail(ctx, limit)
	})
}

// indexMail makes one step. The order of its statements matters: see indexPlace.
func (t *tx) indexMail(ctx context.Context, limit int) (done gateway.Indexed, err error) {
	if _, err := t.change(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		searchSetting, indexPlace{}.String()); err != nil {
		return done, err
	}
	place, err := t.indexPlace(ctx, `FOR UPDATE`)
	if err != nil {
		return done, err
	}
	oldest, err := t.number(ctx, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint`)
	if err == nil {
		done.Newest, err = t.number(ctx, newestDelivery)
	}
	var next waiting
	if err == nil {
		next, err = t.waiting(ctx, place.Done, limit)
	}
	if err != nil {
		return done, err
	}
	xact, err := t.number(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`)
	if err == nil {
		err = t.takeUp(ctx, next.messages)
	}
	if err != nil {
		return done, err
	}
	done.Messages, done.More = len(next.messages), next.more
	was := place
	if place.passed(oldest, xact) && next.first > place.Mark {
		place = indexPlace{Done: place.Mark, Mark: max(place.Mark, min(done.Newest, next.until)), Xact: xact}
	}
	if place.Done == was.Done && place.Mark == was.Mark {
		return done, nil
	}
	_, err = t.change(ctx, `UPDATE setting SET value = $2 WHERE name = $1`, searchSetting, place.String())
	return done, err
}

// waiting is the next messages that the index takes up.
type waiting struct {
	messages []int64
	first    int64 // the first delivery that waits
	until    int64 // of the deliveries up to here that were visible none waits after these messages
	more     bool  // others wait
}

// recipientsEach is how many deliveries are read for each message that may be taken up.
const recipientsEach = 4

func (t *tx) waiting(ctx context.Context, after int64, limit int) (next waiting, err error) {
	next = waiting{first: math.MaxInt64, until: math.MaxInt64}
	has := make(map[int64]bool, limit)
	var seq, row, last int64
	var size, bytes, rows int
	err = t.query(ctx, `SELECT d.seq, d.message, octet_length(m.body) `+unindexed+` ORDER BY d.seq LIMIT $2`,
		[]any{after, recipientsEach * limit}, []any{&seq, &row, &size}, func() error {
			rows++
			next.first, last = min(next.first, seq), seq
			switch {
			case next.more || has[row]:
			case len(has) == limit || bytes > store.IndexBytes:
				next.more, next.until = true, seq-1
			default:
				has[row] = true
				next.messages, bytes = append(next.messages, row), bytes+size
			}
			return nil
		})
	if rows == recipientsEach*limit && !next.more {
		next.more, next.until = true, last
	}
	return next, err
}

// takeUp writes messages into the index, in place of what it has of them.
func (t *tx) takeUp(ctx context.Context, rows []int64) error {
	if len(rows) == 0 {
		return nil
	}
	var ids []int64
	var deliveries []int32
	var vectors []string
	var row int64
	var count int32
	var body []byte
	var owners []int64
	err := t.query(ctx, `SELECT m.id, m.body, (SELECT count(*) FROM delivery d WHERE d.message = m.id)::int,
			array_remove(array(SELECT d.agent FROM delivery d WHERE d.message = m.id) || coalesce(m.sender_agent, 0), 0)
			FROM message m WHERE m.id = ANY ($1::bigint[]) AND m.body IS NOT NULL`,
		[]any{rows}, []any{&row, &body, &count, &owners}, func() error {
			d := store.NewSearchDocument(row, owners, body)
			ids, deliveries, vectors = append(ids, row), append(deliveries, count), append(vectors, vector(&d))
			return nil
		})
	if err != nil {
		return err
	}
	// The lock keeps the purge from deleting the body before the words are in the index,
	// which it would then not find there.
	_, err = t.change(ctx, `INSERT INTO search (message, deliveries, words) SELECT u.message, u.deliveries, u.words::tsvector
			FROM (SELECT id FROM message WHERE id = ANY ($1::bigint[]) AND body IS NOT NULL ORDER BY id FOR SHARE) m
			JOIN unnest($1::bigint[], $2::int[], $3::text[]) u (message, deliveries, words) ON u.message = m.id
			ON CONFLICT (message) DO UPDATE SET deliveries = excluded.deliveries, words = excluded.words`,
		ids, deliveries, vectors)
	return err
}

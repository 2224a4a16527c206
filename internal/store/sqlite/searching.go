package sqlite

import (
	"bytes"
	"context"
	"errors"
	"math"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Search finds messages of an agent by their words.
func (s *Store) Search(ctx context.Context, by gateway.Acting, f gateway.SearchFilter) (page gateway.SearchPage,
	err error) {
	release, err := s.searches.Take(ctx, s.dir.Caller(by))
	if err != nil {
		return page, err
	}
	defer release()
	limited, cancel := context.WithTimeoutCause(ctx, s.searchTime, gateway.ErrSlow)
	defer cancel()
	err = s.search.find(limited, func(c *statements, place searchPlace) error {
		p := proposals{index: s.search, conn: c, expression: matching(by.Agent, &f)}
		// The first look at the index is the long one. No snapshot of the messages is held
		// meanwhile, for which the writer or a reader of an inbox would wait.
		if err := p.prepare(&f); err != nil {
			return err
		}
		return s.readBy(limited, by, func(r *reader) (err error) {
			page, err = s.searchPage(&p, place, r, by, &f)
			return err
		})
	})
	switch {
	case err != nil && ctx.Err() == nil && limited.Err() != nil:
		return gateway.SearchPage{}, gateway.ErrSlow
	case err != nil:
		return gateway.SearchPage{}, err
	}
	return page, nil
}

// searchPage reads one page.
func (s *Store) searchPage(p *proposals, place searchPlace, r *reader, by gateway.Acting,
	f *gateway.SearchFilter) (page gateway.SearchPage, err error) {
	var rows []int64
	if p.conn != nil {
		lookup := store.Lookup{Index: p.during(r), Bounds: s.bounds,
			Match: func(rows []int64) ([]bool, error) { return r.found(by, f, rows) }, Sizes: r.bodySizes}
		if !f.From.IsZero() {
			lookup.From = r.series(s.dir, gateway.Reader{Everyone: true}, gateway.MessageFilter{Sender: f.From})
		}
		if !f.Since.IsZero() {
			if lookup.Floor, err = r.floor(f.Since); err != nil {
				return page, err
			}
		}
		if rows, page, err = lookup.Page(f); err != nil {
			return page, err
		}
	}
	for _, row := range rows {
		rec, err := r.record(s.dir, gateway.Reader{Agent: by.Agent}, row, true)
		if err != nil {
			return page, err
		}
		page.Messages = append(page.Messages, store.NewFound(rec, f.Query))
	}
	page.Behind, err = r.behindIndex(by.Agent, place.seq)
	return page, err
}

// proposals are the messages in the index that match an expression.
type proposals struct {
	index      *searchIndex
	conn       *statements // nil before there is an index
	expression string

	// The first of them: up to limit, below before.
	before int64
	limit  int
	rows   []int64
}

// prepare reads the first proposals.
func (p *proposals) prepare(f *gateway.SearchFilter) (err error) {
	if p.conn == nil {
		return nil
	}
	p.before, p.limit = f.Before, store.FirstFound(f)
	if p.before == 0 {
		p.before = math.MaxInt64
	}
	p.rows, err = p.read(p.before, p.limit)
	return err
}

func (p *proposals) read(before int64, limit int) ([]int64, error) {
	rows, err := p.conn.numbers(`SELECT rowid FROM entry WHERE entry MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?`,
		p.expression, before, limit)
	if err != nil {
		return nil, p.index.unreadable(p.conn.conn.GetInterrupt(), err)
	}
	return rows, nil
}

// during returns the proposals while r has a snapshot. What ends the read on r, as the
// writer may, ends a look at the index too.
func (p *proposals) during(r *reader) store.Fetch {
	return func(before int64, limit int) ([]int64, error) {
		if before == p.before && limit == p.limit {
			return p.rows, nil
		}
		defer p.conn.conn.SetInterrupt(p.conn.conn.SetInterrupt(r.conn.GetInterrupt()))
		return p.read(before, limit)
	}
}

// found reports which of the messages that the index proposes are found.
func (c *statements) found(by gateway.Acting, f *gateway.SearchFilter, rows []int64) ([]bool, error) {
	found := make([]bool, len(rows))
	for i, row := range rows {
		err := c.query(`SELECT coalesce(m.sender_agent = ?2, false), d.seq IS NOT NULL, m.body IS NOT NULL, m.received, m.uuid,
				CASE WHEN m.sender_agent = ?2 THEN m.thread ELSE d.thread END
				FROM message m LEFT JOIN delivery d INDEXED BY delivery_message ON d.message = m.id AND d.agent = ?2
				WHERE m.id = ?1 LIMIT 1`, func(s *sqlite3.Stmt) error {
			is := store.Candidate{ID: store.MessageID(s.ColumnRawBlob(4)), Own: s.ColumnBool(0) || s.ColumnBool(1),
				Body: s.ColumnBool(2), Received: s.ColumnInt64(3)}
			is.Thread = store.Thread(s.ColumnText(5), is.ID)
			found[i] = is.Found(f)
			return nil
		}, row, int64(by.Agent))
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// bodySizes returns the bytes of the messages' bodies.
func (c *statements) bodySizes(rows []int64) (map[int64]int, error) {
	sizes := make(map[int64]int, len(rows))
	for _, row := range rows {
		size, err := c.bodySize(row)
		if err != nil {
			return nil, err
		}
		sizes[row] = size
	}
	return sizes, nil
}

// behindIndex counts the agent's messages among the next that the index takes up.
func (c *statements) behindIndex(agent gateway.AgentID, seq int64) (n int, err error) {
	err = c.query(`SELECT count(DISTINCT m.id) FROM (SELECT message AS next, agent FROM delivery WHERE seq > ?1 ORDER BY seq LIMIT ?2)
			JOIN message m ON m.id = next WHERE (agent = ?3 OR m.sender_agent = ?3) AND m.body IS NOT NULL`,
		func(s *sqlite3.Stmt) error {
			n = s.ColumnInt(0)
			return nil
		}, seq, gateway.MaxBehind, int64(agent))
	return n, err
}

// IndexMail takes the next messages into the index.
func (s *Store) IndexMail(ctx context.Context, limit int) (done gateway.Indexed, err error) {
	x := s.search
	x.filling.Lock()
	defer x.filling.Unlock()
	select {
	case <-s.closed:
		return done, gateway.ErrClosed
	default:
	}
	err = x.open(func(p searchPlace) (known bool, err error) {
		err = s.read(ctx, func(r *reader) error {
			known, err = r.knows(p)
			return err
		})
		return known, err
	})
	if err != nil {
		return done, err
	}
	place, err := x.writer.searchPlace()
	if err != nil {
		return done, x.failed(err)
	}
	var batch indexBatch
	err = s.read(ctx, func(r *reader) (err error) {
		batch, err = r.indexBatch(place, limit)
		return err
	})
	if err != nil {
		return done, err
	}
	done = gateway.Indexed{More: batch.more, Newest: batch.newest}
	if len(batch.list) == 0 && len(batch.noted) == 0 && batch.place.seq == place.seq {
		return done, nil
	}
	if err := x.room(); err != nil {
		return done, err
	}
	list := batch.documents()
	if err := x.fill(list, batch.gone, batch.place); err != nil {
		return done, err
	}
	done.Messages = len(list)
	return done, s.leftIndex(ctx, batch.noted)
}

// leftIndex notes that messages are not in the index any more.
func (s *Store) leftIndex(ctx context.Context, gone []int64) error {
	if len(gone) == 0 {
		return nil
	}
	return s.writeBackground(ctx, 16*len(gone), func(w *writer) error {
		w.keepsPrefetch = true
		for _, row := range gone {
			if _, err := w.exec(`DELETE FROM search_gone WHERE message = ?`, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// knows reports whether a place of the index is one that these messages led to. A database
// that was replaced by an earlier copy has fewer deliveries, or others.
func (c *statements) knows(p searchPlace) (known bool, err error) {
	err = c.query(`SELECT coalesce(max(seq), 0) >= ? FROM delivery`, func(s *sqlite3.Stmt) error {
		known = s.ColumnBool(0)
		return nil
	}, p.seq)
	if err != nil || !known {
		return false, err
	}
	err = c.query(`SELECT m.uuid FROM delivery d JOIN message m ON m.id = d.message WHERE d.seq = ?`,
		func(s *sqlite3.Stmt) error {
			known = bytes.Equal(s.ColumnRawBlob(0), p.uuid)
			return nil
		}, p.seq)
	return known, err
}

// indexBatch is what one step changes in the index.
type indexBatch struct {
	list   []indexRow
	noted  []int64     // messages whose bodies were deleted at some time
	gone   []int64     // those whose bodies are still deleted
	place  searchPlace // of the index after the step
	more   bool
	newest int64
}

// indexRow is a message that the index takes up.
type indexRow struct {
	message int64
	owners  []int64
	body    []byte
}

// documents returns what the index takes up.
func (b *indexBatch) documents() []store.SearchDocument {
	list := make([]store.SearchDocument, len(b.list))
	for i, row := range b.list {
		list[i] = store.NewSearchDocument(row.message, row.owners, row.body)
	}
	return list
}

// indexBatch reads the messages behind the place, and those whose bodies were deleted.
func (r *reader) indexBatch(place searchPlace, limit int) (b indexBatch, err error) {
	b.place = place
	err = r.query(`SELECT g.message, m.body IS NULL FROM search_gone g LEFT JOIN message m ON m.id = g.message
			WHERE g.message > 0 ORDER BY g.message LIMIT ?`, func(s *sqlite3.Stmt) error {
		b.noted = append(b.noted, s.ColumnInt64(0))
		if s.ColumnBool(1) { // no retry brought the body back
			b.gone = append(b.gone, s.ColumnInt64(0))
		}
		return nil
	}, limit)
	if err != nil {
		return b, err
	}
	b.more = len(b.noted) == limit
	seen, size := map[int64]bool{}, 0
	var last int64 // a message behind the place
	err = r.query(`SELECT seq, message FROM delivery WHERE seq > ? ORDER BY seq`, func(s *sqlite3.Stmt) error {
		seq, row := s.ColumnInt64(0), s.ColumnInt64(1)
		if !seen[row] {
			if len(seen) == limit || size > store.IndexBytes {
				b.more = true
				return errEnough
			}
			seen[row] = true
			if err := r.indexRow(&b, row); err != nil {
				return err
			}
			if n := len(b.list); n > 0 && b.list[n-1].message == row {
				size += len(b.list[n-1].body)
			}
		}
		b.place.seq, last = seq, row
		return nil
	}, place.seq)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && last != 0 {
		err = r.query(`SELECT uuid FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
			b.place.uuid = s.ColumnBlob(0, nil)
			return nil
		}, last)
	}
	if err != nil {
		return b, err
	}
	return b, r.query(`SELECT coalesce(max(seq), 0) FROM delivery`, func(s *sqlite3.Stmt) error {
		b.newest = s.ColumnInt64(0)
		return nil
	})
}

// indexRow adds a message to the batch, if its body is stored.
func (r *reader) indexRow(b *indexBatch, message int64) error {
	row, sender := indexRow{message: message}, int64(0)
	err := r.query(`SELECT body, sender_agent FROM message WHERE id = ? AND body IS NOT NULL`,
		func(s *sqlite3.Stmt) error {
			row.body, sender = s.ColumnBlob(0, nil), s.ColumnInt64(1)
			return nil
		}, message)
	if err != nil || row.body == nil {
		return err
	}
	row.owners, err = r.numbers(`SELECT agent FROM delivery INDEXED BY delivery_message WHERE message = ? AND agent <> 0`,
		message)
	if sender != 0 {
		row.owners = append(row.owners, sender)
	}
	b.list = append(b.list, row)
	return err
}

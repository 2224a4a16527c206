package sqlite

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Thread returns a page of one thread.
func (s *Store) Thread(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	f gateway.ThreadFilter) (page gateway.ThreadPage, err error) {
	release, err := s.boxes.Take(ctx, int64(by.Agent))
	if err != nil {
		return page, err
	}
	defer release()
	err = s.readBy(ctx, by, func(r *reader) error {
		thread, root, err := r.threadNamed(by.Agent, id)
		if err != nil {
			return err
		}
		page = gateway.ThreadPage{ID: thread, Next: f.After}
		pager := store.Pager{Limit: max(f.Limit, 1), Scan: s.bounds.Scan, MaxBytes: f.MaxBytes, Next: f.After}
		rows, err := r.threadAfter(by.Agent, thread, f.After, pager.Limit+1)
		if err != nil {
			return err
		}
		if root > f.After {
			rows = store.Merge(pager.Limit+1, rows, []int64{root})
		}
		for _, row := range rows {
			size, err := r.bodySize(row)
			if err != nil {
				return err
			}
			if !pager.Look(row, size, true) {
				break
			}
			rec, err := r.record(s.dir, gateway.Reader{Agent: by.Agent}, row, true)
			if err != nil {
				return err
			}
			page.Messages = append(page.Messages, rec)
		}
		page.Next, page.HasMore = pager.Next, pager.HasMore
		return nil
	})
	return page, err
}

// threadNamed returns the thread that an agent means by the id of the thread or of a
// message in it. root is the message whose id the thread has, 0 when the mailbox lacks it.
func (c *statements) threadNamed(agent gateway.AgentID, id amtp.MessageID) (thread amtp.MessageID, root int64,
	err error) {
	by := gateway.Reader{Agent: agent}
	row, err := c.find(by, id)
	if err != nil {
		return "", 0, err
	}
	some, err := c.threadAfter(agent, id, 0, 1)
	switch {
	case err != nil:
		return "", 0, err
	case len(some) > 0:
		return id, row, nil
	case row == 0:
		return "", 0, gateway.ErrNotFound
	}
	if thread, err = c.threadOf(agent, row); err == nil {
		root, err = c.find(by, thread)
	}
	return thread, root, err
}

// threadOf returns the thread of a message in the agent's mailbox.
func (c *statements) threadOf(agent gateway.AgentID, row int64) (thread amtp.MessageID, err error) {
	err = c.query(`SELECT m.uuid, CASE WHEN m.sender_agent = ?1 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d INDEXED BY delivery_message WHERE d.message = m.id AND d.agent = ?1) END
			FROM message m WHERE m.id = ?2`, func(s *sqlite3.Stmt) error {
		thread = store.Thread(s.ColumnText(1), store.MessageID(s.ColumnRawBlob(0)))
		return nil
	}, int64(agent), row)
	return thread, err
}

// threadAfter returns the first messages after a number that joined a thread of the
// agent's mailbox.
func (c *statements) threadAfter(agent gateway.AgentID, thread amtp.MessageID, after int64,
	limit int) ([]int64, error) {
	sent, err := c.numbers(`SELECT id FROM message INDEXED BY message_thread
			WHERE sender_agent = ? AND thread = ? AND id > ? ORDER BY id LIMIT ?`, int64(agent), string(thread), after, limit)
	if err != nil {
		return nil, err
	}
	received, err := c.numbers(`SELECT message FROM delivery INDEXED BY delivery_thread
			WHERE agent = ? AND thread = ? AND message > ? ORDER BY message LIMIT ?`, int64(agent), string(thread), after, limit)
	return store.Merge(limit, sent, received), err
}

// bodySize returns the number of bytes of a message, 0 when its body was purged.
func (c *statements) bodySize(row int64) (size int, err error) {
	err = c.query(`SELECT length(body) FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		size = s.ColumnInt(0)
		return nil
	}, row)
	return size, err
}

// Threads lists the threads of a mailbox.
func (s *Store) Threads(ctx context.Context, by gateway.Acting,
	f gateway.ThreadsFilter) (list gateway.ThreadList, err error) {
	release, err := s.lists.Take(ctx, s.dir.Caller(by))
	if err != nil {
		return list, err
	}
	defer release()
	err = s.readBy(ctx, by, func(r *reader) error {
		mailbox := r.series(s.dir, gateway.Reader{Agent: by.Agent}, gateway.MessageFilter{})
		l := store.ThreadListing(mailbox, func(rows []int64) ([]bool, error) {
			return r.newestInThreads(by.Agent, rows)
		}, s.bounds)
		rows, page, err := l.Page(gateway.MessageFilter{Before: f.Before, Limit: max(f.Limit, 1)})
		if err != nil {
			return err
		}
		list = gateway.ThreadList{HasMore: page.HasMore, Next: page.Next, Incomplete: page.Incomplete}
		for _, row := range rows {
			t, err := r.describeThread(s.dir, by.Agent, row)
			if err != nil {
				return err
			}
			list.Threads = append(list.Threads, t)
		}
		return nil
	})
	return list, err
}

// newestInThreads reports which messages of a mailbox are the newest of their threads.
func (c *statements) newestInThreads(agent gateway.AgentID, rows []int64) ([]bool, error) {
	in := make([]amtp.MessageID, len(rows))
	for i, row := range rows {
		var err error
		if in[i], err = c.threadOf(agent, row); err != nil {
			return nil, err
		}
	}
	return store.ThreadNewest(rows, in, func(threads []amtp.MessageID) (map[amtp.MessageID]store.ThreadRows, error) {
		found := make(map[amtp.MessageID]store.ThreadRows, len(threads))
		for _, t := range threads {
			var err error
			if found[t], err = c.threadRows(agent, t, 1); err != nil {
				return nil, err
			}
		}
		return found, nil
	})
}

// threadRows returns the newest messages of a thread in the agent's mailbox, up to limit
// sent ones and limit received ones, and the one that began it.
func (c *statements) threadRows(agent gateway.AgentID, thread amtp.MessageID, limit int) (rows store.ThreadRows,
	err error) {
	add := func(s *sqlite3.Stmt) error {
		rows = append(rows, store.ThreadRow{Row: s.ColumnInt64(0), Unread: s.ColumnBool(1)})
		return nil
	}
	err = c.query(`SELECT id, 0 FROM message INDEXED BY message_thread
			WHERE sender_agent = ? AND thread = ? ORDER BY id DESC LIMIT ?`, add, int64(agent), string(thread), limit)
	if err == nil {
		err = c.query(`SELECT message, state = 5 AND pushed IS NULL AND read IS NULL FROM delivery INDEXED BY delivery_thread
				WHERE agent = ? AND thread = ? ORDER BY message DESC LIMIT ?`, add, int64(agent), string(thread), limit)
	}
	u, ok := thread.UUID()
	if err != nil || !ok {
		return rows, err
	}
	err = c.query(`SELECT m.id, coalesce(d.state = 5 AND d.pushed IS NULL AND d.read IS NULL, 0)
			FROM message m LEFT JOIN delivery d INDEXED BY delivery_message ON d.message = m.id AND d.agent = ?1
			WHERE m.uuid = ?2 AND CASE WHEN m.sender_agent = ?1 THEN m.thread ELSE d.thread END IS NULL
				AND (m.sender_agent = ?1 OR d.seq IS NOT NULL)`, add, int64(agent), u[:])
	return rows, err
}

// describeThread describes the thread whose newest message is given.
func (c *statements) describeThread(dir *store.Directory, agent gateway.AgentID, newest int64) (t gateway.Thread,
	err error) {
	if t.ID, err = c.threadOf(agent, newest); err != nil {
		return t, err
	}
	rows, err := c.threadRows(agent, t.ID, store.Counted)
	if err != nil {
		return t, err
	}
	rows.Describe(&t)
	first := rows.Oldest()
	if t.Capped {
		some, err := c.threadAfter(agent, t.ID, 0, 1)
		if err != nil {
			return t, err
		}
		first = store.Merge(1, some, []int64{first})[0]
	}
	if t.Last, err = c.envelope(dir, agent, newest); err != nil {
		return t, err
	}
	err = c.query(`SELECT subject FROM message WHERE id = ?`, func(s *sqlite3.Stmt) error {
		t.Subject = s.ColumnText(0)
		return nil
	}, first)
	return t, err
}

// envelope reads the envelope of a message as the agent sees it.
func (c *statements) envelope(dir *store.Directory, agent gateway.AgentID, row int64) (e gateway.Envelope, err error) {
	err = c.query(`SELECT `+envelopeColumns+`, `+isFirst+`?2) FROM message m WHERE m.id = ?1`,
		func(s *sqlite3.Stmt) error {
			e = scanEnvelope(dir, s, s.ColumnBool(afterEnvelope))
			return nil
		}, row, int64(agent))
	return e, err
}

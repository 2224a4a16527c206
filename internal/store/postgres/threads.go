package postgres

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// Thread returns a page of one thread.
func (s *Store) Thread(ctx context.Context, by gateway.Acting, id amtp.MessageID,
	f gateway.ThreadFilter) (page gateway.ThreadPage, err error) {
	release, err := s.boxes.Take(ctx, int64(by.Agent))
	if err != nil {
		return page, err
	}
	defer release()
	var found []recordRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) error {
		c = c.by(by)
		thread, root, err := c.threadNamed(ctx, by.Agent, id)
		if err != nil {
			return err
		}
		page = gateway.ThreadPage{ID: thread, Next: f.After}
		pager := store.Pager{Limit: max(f.Limit, 1), Scan: s.bounds.Scan, MaxBytes: f.MaxBytes, Next: f.After}
		rows, err := c.threadAfter(ctx, by.Agent, thread, f.After, pager.Limit+1)
		if err != nil {
			return err
		}
		if root > f.After {
			rows = store.Merge(pager.Limit+1, rows, []int64{root})
		}
		sizes, err := c.bodySizes(ctx, rows)
		if err != nil {
			return err
		}
		n := 0
		for n < len(rows) && pager.Look(rows[n], sizes[rows[n]], true) {
			n++
		}
		page.Next, page.HasMore = pager.Next, pager.HasMore
		found, err = c.records(ctx, gateway.Reader{Agent: by.Agent}, rows[:n], true)
		return err
	})
	if err != nil {
		return gateway.ThreadPage{}, err
	}
	page.Messages, err = s.records(ctx, found)
	return page, err
}

// threadNamed returns the thread that an agent means by the id of the thread or of a
// message in it. root is the message whose id the thread has, 0 when the mailbox lacks it.
func (c conn) threadNamed(ctx context.Context, agent gateway.AgentID, id amtp.MessageID) (thread amtp.MessageID,
	root int64, err error) {
	by := gateway.Reader{Agent: agent}
	row, err := c.find(ctx, by, id)
	if err != nil {
		return "", 0, err
	}
	some, err := c.threadAfter(ctx, agent, id, 0, 1)
	switch {
	case err != nil:
		return "", 0, err
	case len(some) > 0:
		return id, row, nil
	case row == 0:
		return "", 0, gateway.ErrNotFound
	}
	in, err := c.threadsOf(ctx, agent, []int64{row})
	if err != nil {
		return "", 0, err
	}
	root, err = c.find(ctx, by, in[0])
	return in[0], root, err
}

// threadsOf returns the threads of messages in the agent's mailbox.
func (c conn) threadsOf(ctx context.Context, agent gateway.AgentID, rows []int64) ([]amtp.MessageID, error) {
	in := make(map[int64]amtp.MessageID, len(rows))
	var row int64
	var id, thread []byte
	err := c.query(ctx, `SELECT m.id, m.uuid, CASE WHEN m.sender_agent = $1 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d WHERE d.message = m.id AND d.agent = $1) END
			FROM message m WHERE m.id = ANY ($2::bigint[])`, []any{int64(agent), rows},
		[]any{&row, &id, &thread}, func() error {
			in[row] = store.Thread(string(thread), store.MessageID(id))
			return nil
		})
	list := make([]amtp.MessageID, len(rows))
	for i, row := range rows {
		list[i] = in[row]
	}
	return list, err
}

// threadAfter returns the first messages after a number that joined a thread of the
// agent's mailbox. The order is one that only the index of threads has: see sentBy.
func (c conn) threadAfter(ctx context.Context, agent gateway.AgentID, thread amtp.MessageID, after int64,
	limit int) ([]int64, error) {
	sent, err := c.numbers(ctx, `SELECT id FROM message WHERE sender_agent = $1 AND thread <= $2 AND (thread, id) > ($2, $3::bigint)
			ORDER BY thread, id LIMIT $4`, int64(agent), []byte(thread), after, limit)
	if err != nil {
		return nil, err
	}
	received, err := c.numbers(ctx, `SELECT message FROM delivery WHERE agent = $1 AND thread <= $2 AND (thread, message) > ($2, $3::bigint)
			ORDER BY thread, message LIMIT $4`, int64(agent), []byte(thread), after, limit)
	return store.Merge(limit, sent, received), err
}

// bodySizes returns the numbers of bytes of messages, 0 for a body that was purged.
func (c conn) bodySizes(ctx context.Context, rows []int64) (map[int64]int, error) {
	sizes := make(map[int64]int, len(rows))
	var row int64
	var size int
	err := c.query(ctx, `SELECT id, coalesce(length(body), 0) FROM message WHERE id = ANY ($1::bigint[])`, []any{rows},
		[]any{&row, &size}, func() error {
			sizes[row] = size
			return nil
		})
	return sizes, err
}

// Threads lists the threads of a mailbox.
func (s *Store) Threads(ctx context.Context, by gateway.Acting,
	f gateway.ThreadsFilter) (list gateway.ThreadList, err error) {
	release, err := s.lists.Take(ctx, s.dir.Caller(by))
	if err != nil {
		return list, err
	}
	defer release()
	var last []store.EnvelopeRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) error {
		c = c.by(by)
		mailbox := c.series(ctx, s.dir, gateway.Reader{Agent: by.Agent}, gateway.MessageFilter{})
		l := store.ThreadListing(mailbox, func(rows []int64) ([]bool, error) {
			return c.newestInThreads(ctx, by.Agent, rows)
		}, s.bounds)
		rows, page, err := l.Page(gateway.MessageFilter{Before: f.Before, Limit: max(f.Limit, 1)})
		if err != nil {
			return err
		}
		list = gateway.ThreadList{HasMore: page.HasMore, Next: page.Next, Incomplete: page.Incomplete}
		list.Threads, last, err = c.describeThreads(ctx, by.Agent, rows)
		return err
	})
	if err != nil {
		return gateway.ThreadList{}, err
	}
	for i := range list.Threads {
		if list.Threads[i].Last, err = s.envelope(ctx, last[i]); err != nil {
			return gateway.ThreadList{}, err
		}
	}
	return list, nil
}

// newestInThreads reports which messages of a mailbox are the newest of their threads.
func (c conn) newestInThreads(ctx context.Context, agent gateway.AgentID, rows []int64) ([]bool, error) {
	in, err := c.threadsOf(ctx, agent, rows)
	if err != nil {
		return nil, err
	}
	return store.ThreadNewest(rows, in, func(threads []amtp.MessageID) (map[amtp.MessageID]store.ThreadRows, error) {
		return c.threadRows(ctx, agent, threads, 1)
	})
}

// The newest messages that joined threads, and the messages that began them. The order is
// one that only the index of threads has: see sentBy.
const (
	joinedThreads = `SELECT q.thread, x.id, x.unread FROM unnest($2::bytea[]) q (thread) CROSS JOIN LATERAL (
		(SELECT id, false AS unread FROM message WHERE sender_agent = $1 AND thread >= q.thread
			AND (thread, id) < (q.thread, 9223372036854775807) ORDER BY thread DESC, id DESC LIMIT $3)
		UNION ALL
		(SELECT message, state = 5 AND NOT pushed AND read IS NULL FROM delivery WHERE agent = $1 AND thread >= q.thread
			AND (thread, message) < (q.thread, 9223372036854775807) ORDER BY thread DESC, message DESC LIMIT $3)) x`

	beganThreads = `SELECT q.thread, m.id, coalesce(d.state = 5 AND NOT d.pushed AND d.read IS NULL, false)
		FROM unnest($2::bytea[], $3::bytea[]) q (thread, uuid) JOIN message m ON m.uuid = q.uuid
		LEFT JOIN LATERAL (SELECT * FROM delivery WHERE message = m.id AND agent = $1 LIMIT 1) d ON true
		WHERE CASE WHEN m.sender_agent = $1 THEN m.thread ELSE d.thread END IS NULL
			AND (m.sender_agent = $1 OR d.seq IS NOT NULL)`
)

// threadRows returns the newest messages of threads in the agent's mailbox, up to limit
// sent ones and limit received ones of each, and the ones that began them.
func (c conn) threadRows(ctx context.Context, agent gateway.AgentID, threads []amtp.MessageID,
	limit int) (map[amtp.MessageID]store.ThreadRows, error) {
	all, began, uuids := make([][]byte, len(threads)), [][]byte{}, [][]byte{}
	for i, t := range threads {
		all[i] = []byte(t)
		if u, ok := t.UUID(); ok {
			began, uuids = append(began, all[i]), append(uuids, u[:])
		}
	}
	rows := make(map[amtp.MessageID]store.ThreadRows, len(threads))
	var thread []byte
	var r store.ThreadRow
	into := []any{&thread, &r.Row, &r.Unread}
	add := func() error {
		rows[amtp.MessageID(thread)] = append(rows[amtp.MessageID(thread)], r)
		return nil
	}
	err := c.query(ctx, joinedThreads, []any{int64(agent), all, limit}, into, add)
	if err == nil {
		err = c.query(ctx, beganThreads, []any{int64(agent), began, uuids}, into, add)
	}
	return rows, err
}

// describeThreads describes the threads whose newest messages are given, and returns the
// envelopes of these.
func (c conn) describeThreads(ctx context.Context, agent gateway.AgentID, newest []int64) ([]gateway.Thread,
	[]store.EnvelopeRow, error) {
	in, err := c.threadsOf(ctx, agent, newest)
	if err != nil {
		return nil, nil, err
	}
	rows, err := c.threadRows(ctx, agent, in, store.Counted)
	if err != nil {
		return nil, nil, err
	}
	list, first := make([]gateway.Thread, len(in)), make([]int64, len(in))
	for i, thread := range in {
		list[i].ID = thread
		rows[thread].Describe(&list[i])
		first[i] = rows[thread].Oldest()
		if list[i].Capped {
			some, err := c.threadAfter(ctx, agent, thread, 0, 1)
			if err != nil {
				return nil, nil, err
			}
			first[i] = store.Merge(1, some, first[i:i+1])[0]
		}
	}
	last, err := c.envelopes(ctx, agent, newest)
	if err != nil {
		return nil, nil, err
	}
	begins, err := c.envelopes(ctx, agent, first)
	for i := range begins {
		list[i].Subject = begins[i].Subject
	}
	return list, last, err
}

// envelopes reads the envelopes of messages as the agent sees them.
func (c conn) envelopes(ctx context.Context, agent gateway.AgentID, rows []int64) ([]store.EnvelopeRow, error) {
	found := make(map[int64]store.EnvelopeRow, len(rows))
	var e envelope
	var row int64
	err := c.query(ctx, `SELECT `+envelopeColumns+`, m.id, `+isFirst+`$2) FROM message m WHERE m.id = ANY ($1::bigint[])`,
		[]any{rows, int64(agent)}, append(e.into(), &row, &e.row.First), func() error {
			found[row] = e.read()
			return nil
		})
	list := make([]store.EnvelopeRow, len(rows))
	for i, row := range rows {
		list[i] = found[row]
	}
	return list, err
}

package postgres

import (
	"context"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// boxStep is how many messages one query reads, when a filter may leave out any of
// them.
const boxStep = 1000

// inboxEntry is a message of an inbox, before its body is read.
type inboxEntry struct {
	seq, read, leases, row, received, size int64
	priority                               int
	uuid, thread, answers, sender          []byte
	labelled                               bool
}

// senderOf is the address of a message's sender.
const senderOf = `convert_to(coalesce(m.sender, (SELECT a.folded FROM agent a WHERE a.id = m.sender_agent)), 'UTF8')`

// Inbox returns a page of an agent's inbox. It chooses the messages on the page by the
// lengths of their bodies, and reads only the bodies that it returns.
func (s *Store) Inbox(ctx context.Context, by gateway.Acting,
	f gateway.InboxFilter) (page gateway.InboxPage, err error) {
	release, err := s.boxes.Take(ctx, int64(by.Agent))
	if err != nil {
		return gateway.InboxPage{Next: f.After}, err
	}
	defer release()
	var chosen []inboxEntry
	var envelopes map[int64]bodyRow
	err = s.read(ctx, func(ctx context.Context, c conn) (err error) {
		page = gateway.InboxPage{Next: f.After} // the read may run again
		c = c.by(by)
		if chosen, err = c.inboxPage(ctx, by.Agent, f, s.bounds.Scan, &page); err != nil || len(chosen) == 0 {
			return err
		}
		envelopes, err = c.bodies(ctx, by.Agent, chosen)
		return err
	})
	if err != nil {
		return gateway.InboxPage{Next: f.After}, err
	}
	if len(chosen) > 0 {
		s.saw(chosen[len(chosen)-1].seq)
		page.Items = make([]gateway.InboxItem, 0, len(chosen))
	}
	for _, n := range chosen {
		row, there := envelopes[n.row]
		if !there {
			continue // it was acknowledged long ago, and just forgotten
		}
		item := gateway.InboxItem{Seq: n.seq, ReadAt: store.FromMicros(n.read), DeliveryCount: int(n.leases),
			Body: row.body, Labels: store.Labels(row.labels)}
		if item.Envelope, err = s.envelope(ctx, row.EnvelopeRow); err != nil {
			return gateway.InboxPage{Next: f.After}, err
		}
		item.Thread = store.Thread(string(n.thread), item.ID)
		page.Items = append(page.Items, item)
	}
	return page, nil
}

// envelope returns the envelope that a row holds, even if its sender was registered
// through another replica.
func (s *Store) envelope(ctx context.Context, row store.EnvelopeRow) (gateway.Envelope, error) {
	if err := s.know(ctx, row.SenderAgent); err != nil {
		return gateway.Envelope{}, err
	}
	return row.Envelope(s.dir), nil
}

// The entries that wait in an inbox after a number, and those of them that are unread. No
// index but that of the inbox has the order of the first.
const (
	inBox = `SELECT * FROM delivery WHERE (agent, pushed, state, seq) > ($1, false, 5, $2::bigint) AND (agent, pushed, state) <= ($1, false, 5)
		AND agent <> 0 ORDER BY agent, pushed, state, seq LIMIT $3`

	unreadInBox = `SELECT * FROM delivery WHERE agent <= $1 AND (agent, seq + 0) > ($1, $2::bigint) AND agent <> 0 AND NOT pushed AND state = 5
		AND read IS NULL ORDER BY agent, seq + 0 LIMIT $3`
)

// inboxPage chooses the messages on a page, and notes in it where the next page begins.
// It looks at no more than scan messages that do not match.
func (c conn) inboxPage(ctx context.Context, agent gateway.AgentID, f gateway.InboxFilter, scan int,
	page *gateway.InboxPage) (chosen []inboxEntry, err error) {
	box, step := inBox, min(boxStep, scan+f.Offset+max(f.Limit, 1)+1)
	if f.Unread {
		box = unreadInBox
	}
	if f.Limit > 0 && !f.Urgent && !f.Read && f.Since.IsZero() && !f.Names() && f.Label == "" {
		step = min(f.Offset+f.Limit+1, boxStep)
	}
	at, err := c.behind(ctx, f)
	if err != nil {
		return nil, err
	}
	match, err := c.inboxMatch(ctx, agent, f)
	if err != nil {
		return nil, err
	}
	newest, mail := int64(0), `NULL::bytea`
	if f.Unread { // read before the list, so that it passes no message that enters meanwhile
		if newest, err = c.lastEntry(ctx, agent); err != nil {
			return nil, err
		}
	}
	if f.Names() {
		mail = senderOf
	}
	urgent := store.NewUrgent[inboxEntry](&f, scan)
	pager := store.Pager{Limit: f.Limit, Scan: scan, Offset: f.Offset, MaxBytes: f.MaxBytes, Next: page.Next}
	for {
		var n inboxEntry
		found, full := 0, false
		err := c.query(ctx,
			`SELECT d.seq, coalesce(d.read, 0), coalesce(d.leases, 0), d.thread, d.message, m.received, coalesce(length(m.body), 0),
				m.uuid, m.in_reply_to, `+mail+`,
				$4 <> '' AND EXISTS (SELECT FROM label l WHERE l.message = m.id AND l.agent = $1 AND l.name = $4),
				coalesce(m.priority, 0)
				FROM (`+box+`) d JOIN message m ON m.id = d.message ORDER BY d.seq`, []any{int64(agent), at, step, f.Label},
			[]any{&n.seq, &n.read, &n.leases, &n.thread, &n.row, &n.received, &n.size, &n.uuid,
				&n.answers, &n.sender, &n.labelled, &n.priority}, func() error {
				found++
				switch matches := match.Matches(n.entry()); {
				case f.Urgent:
					full, at = !urgent.Look(n.seq, int(n.size), n.priority, n, matches), n.seq
				case pager.Look(n.seq, int(n.size), matches):
					chosen = append(chosen, n)
				}
				return nil
			})
		page.Next, page.HasMore, page.Incomplete = pager.Next, pager.HasMore, pager.Incomplete
		at = max(at, pager.Next)
		switch {
		case err != nil:
			return nil, err
		case found == step && !full && !page.HasMore:
			continue
		case f.Urgent:
			return urgent.Page(page), nil
		case page.HasMore:
			return chosen, nil
		case f.Unread: // the rest of the inbox is marked read, so the page has seen all of it
			page.Next = max(page.Next, newest)
		}
		return chosen, nil
	}
}

// entry returns what a filter looks at.
func (n *inboxEntry) entry() *store.InboxEntry {
	return &store.InboxEntry{Read: n.read, Received: n.received, Sender: string(n.sender),
		InReplyTo: string(n.answers), Thread: string(n.thread), UUID: n.uuid, Labelled: n.labelled}
}

// inboxMatch returns the filter with the messages that it names, as the agent knows
// them.
func (c conn) inboxMatch(ctx context.Context, agent gateway.AgentID, f gateway.InboxFilter) (*store.InboxMatch,
	error) {
	answered, err := c.meant(ctx, agent, f.InReplyTo)
	if err != nil {
		return nil, err
	}
	thread, err := c.meant(ctx, agent, f.Thread)
	return store.NewInboxMatch(f, answered, thread), err
}

// meant returns the message that the agent means by id, nil for none.
func (c conn) meant(ctx context.Context, agent gateway.AgentID, id amtp.MessageID) (*store.MeantRow, error) {
	if id == "" {
		return nil, nil
	}
	row, err := c.find(ctx, gateway.Reader{Agent: agent}, id)
	if err != nil || row == 0 {
		return nil, err
	}
	var n store.MeantRow
	var given, thread, alias []byte
	err = c.query(ctx, `SELECT m.uuid, m.given_id, CASE WHEN m.sender_agent = $2 THEN m.thread
			ELSE (SELECT d.thread FROM delivery d WHERE d.message = m.id AND d.agent = $2 LIMIT 1) END
			FROM message m WHERE m.id = $1`, []any{row, int64(agent)}, []any{&n.UUID, &given, &thread},
		func() error { return nil })
	if err != nil {
		return nil, err
	}
	n.GivenID, n.Thread = string(given), string(thread)
	err = c.query(ctx, `SELECT id FROM alias WHERE message = $1`, []any{row}, []any{&alias}, func() error {
		n.Aliases = append(n.Aliases, string(alias))
		return nil
	})
	return &n, err
}

// Newest returns the number of the last message that waits in an agent's inbox.
func (s *Store) Newest(ctx context.Context, by gateway.Acting) (seq int64, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) (err error) {
		seq, err = c.by(by).lastEntry(ctx, by.Agent)
		return err
	})
	return seq, err
}

func (c conn) lastEntry(ctx context.Context, agent gateway.AgentID) (seq int64, err error) {
	return c.number(ctx,
		`SELECT seq FROM delivery WHERE agent = $1 AND agent <> 0 AND NOT pushed AND state = 5 ORDER BY seq DESC LIMIT 1`,
		int64(agent))
}

// behind returns the sequence number after which the filter may match. A message that
// was received since a time entered the inbox after those that were accepted long
// before that time.
func (c conn) behind(ctx context.Context, f gateway.InboxFilter) (after int64, err error) {
	if f.Since.IsZero() {
		return f.After, nil
	}
	row, err := c.floor(ctx, f.Since)
	if err != nil || row == 0 {
		return f.After, err
	}
	first, err := c.number(ctx, `SELECT coalesce(min(coalesce(place, seq)), 0) FROM delivery WHERE message = $1`, row)
	return max(f.After, first-1), err
}

// bodyRow is an envelope with its body, as they are stored.
type bodyRow struct {
	store.EnvelopeRow
	body   []byte
	labels string // as store.Labels reads them
}

// bodies reads the chosen messages, as they are in the inbox of the agent.
func (c conn) bodies(ctx context.Context, agent gateway.AgentID, chosen []inboxEntry) (map[int64]bodyRow, error) {
	rows := make([]int64, len(chosen))
	for i := range chosen {
		rows[i] = chosen[i].row
	}
	found := make(map[int64]bodyRow, len(rows))
	var e envelope
	var row int64
	var body []byte
	var labels string
	err := c.query(ctx, `SELECT `+envelopeColumns+`, m.id, m.body, `+isFirst+`$2), `+labelsOf+
		`$2) FROM message m WHERE m.id = ANY ($1::bigint[])`, []any{rows, int64(agent)},
		append(e.into(), &row, &body, &e.row.First, &labels), func() error {
			found[row] = bodyRow{e.read(), body, labels}
			return nil
		})
	return found, err
}

// Depth counts an agent's inbox, up to limit each.
func (s *Store) Depth(ctx context.Context, by gateway.Acting, limit int) (unread, pending int, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		return c.by(by).query(ctx, `SELECT
				(SELECT count(*) FROM (SELECT 1 FROM delivery WHERE agent = $1 AND agent <> 0 AND NOT pushed AND state = 5 LIMIT $2) a),
				(SELECT count(*) FROM (SELECT 1 FROM delivery WHERE agent <= $1 AND agent >= $1 AND agent <> 0 AND NOT pushed AND state = 5
					AND read IS NULL ORDER BY agent, seq + 0 LIMIT $2) b)`,
			[]any{int64(by.Agent), limit}, []any{&pending, &unread}, func() error { return nil })
	})
	return unread, pending, err
}

package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// takeColumns are the columns that scanTakeRow reads, from column 0, of a delivery d and
// its message m.
const takeColumns = inboxColumns +
	`, m.sender_agent, coalesce(length(m.body), -1), d.leases, d.refused, d.thread, m.in_reply_to, d.reason, d.agent`

func scanTakeRow(s *sqlite3.Stmt) store.TakeRow {
	return store.TakeRow{
		InboxRow: scanInboxRow(s), SenderAgent: gateway.AgentID(s.ColumnInt64(afterInbox)),
		Size: s.ColumnInt64(afterInbox + 1), Leases: s.ColumnInt64(afterInbox + 2),
		Refused: s.ColumnInt64(afterInbox + 3),
		Thread:  s.ColumnText(afterInbox + 4), InReplyTo: s.ColumnText(afterInbox + 5),
		Reason: s.ColumnText(afterInbox + 6), Agent: gateway.AgentID(s.ColumnInt64(afterInbox + 7)),
	}
}

// Entries that were read or taken before and that return up to a time, and the entries
// that were never read.
const (
	returnedToBox = `SELECT ` + takeColumns +
		` FROM delivery d INDEXED BY delivery_taken JOIN message m ON m.id = d.message WHERE` + inBox + `
		AND d.read IS NOT NULL AND (coalesce(d.hidden, d.read), d.seq) > (?2, ?3) AND coalesce(d.hidden, d.read) <= ?4
		ORDER BY coalesce(d.hidden, d.read), d.seq`
	freshInBox = `SELECT ` + takeColumns +
		` FROM delivery d INDEXED BY delivery_unread JOIN message m ON m.id = d.message WHERE` + inBox + `
		AND d.read IS NULL AND d.seq > ?2 ORDER BY d.seq`
)

// takeable shows the deliveries that may be taken to the taker.
func (c *statements) takeable(agent gateway.AgentID, k *store.Taker, now int64) error {
	more := true
	look := func(s *sqlite3.Stmt) bool {
		more = k.Look(scanTakeRow(s))
		return more
	}
	after := k.Want.After
	if !after.Fresh {
		if err := c.scan(returnedToBox, look, int64(agent), after.Due, after.Seq, now); err != nil || !more {
			return err
		}
		after.Seq = 0
	}
	return c.scan(freshInBox, look, int64(agent), after.Seq)
}

// Take leases messages that wait in an inbox. A filter may pass many of them. Then they
// are chosen before the writer takes them, and those that others took meanwhile are
// left out.
func (s *Store) Take(ctx context.Context, by gateway.Acting, t gateway.Take, now time.Time) (gateway.Taken, error) {
	if err := s.correctTimes(ctx, now); err != nil {
		return gateway.Taken{}, err
	}
	at := store.Micros(now)
	ahead := store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent)
	if ahead.Filters() {
		err := s.readBy(ctx, by, func(r *reader) (err error) {
			ahead = store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent) // the read may run again
			if ahead.Match, err = r.inboxMatch(by, ahead.Filter()); err != nil {
				return err
			}
			return r.takeable(by.Agent, ahead, at)
		})
		if err != nil || len(ahead.Chosen)+len(ahead.Spent) == 0 {
			return s.leased(ctx, by, ahead, nil, now, err)
		}
	}
	k, leases := ahead, []gateway.Lease(nil)
	err := s.writeBy(ctx, by, 128*t.Max, func(w *writer) (err error) {
		w.keepsPrefetch = true
		k, leases = store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent), nil
		if err := w.mayHold(by); err != nil {
			return err
		}
		if ahead.Filters() {
			err = w.chooseAgain(ahead, k, at)
		} else {
			err = w.takeable(by.Agent, k, at)
		}
		for i := 0; err == nil && i < len(k.Spent); i++ {
			var d store.DroppedRow
			if d, err = k.Spent[i].Spend(at, w.dir); err == nil {
				err = w.drop(&k.Spent[i], &d)
			}
		}
		for i := 0; err == nil && i < len(k.Chosen); i++ {
			var l gateway.Lease
			l, err = w.take(&k.Chosen[i], by, &t, at)
			leases = append(leases, l)
		}
		return err
	})
	return s.leased(ctx, by, k, leases, now, err)
}

// chooseAgain shows the deliveries that were chosen before to another taker, if they may
// still be taken.
func (w *writer) chooseAgain(before, k *store.Taker, now int64) error {
	for _, list := range [][]store.TakeRow{before.Chosen, before.Spent} {
		for i := range list {
			r, err := w.takeRow(list[i].Seq)
			if err != nil {
				return err
			}
			if r.Free(now) {
				k.Look(r)
			}
		}
	}
	k.Compare(before)
	return nil
}

// takeRow reads one delivery.
func (w *writer) takeRow(seq int64) (r store.TakeRow, err error) {
	err = w.query(`SELECT `+takeColumns+` FROM delivery d JOIN message m ON m.id = d.message WHERE d.seq = ?`,
		func(s *sqlite3.Stmt) error {
			r = scanTakeRow(s)
			return nil
		}, seq)
	return r, err
}

// take gives a reader the lease on a delivery.
func (w *writer) take(r *store.TakeRow, by gateway.Acting, t *gateway.Take, now int64) (gateway.Lease, error) {
	l, mark, err := r.Leased(t, now)
	if err != nil {
		return l, err
	}
	_,
		err = w.exec(`UPDATE delivery SET read = coalesce(read, ?1), leases = ?2, hidden = ?3, taken = ?1, token = ?4, holder = ?5
			WHERE seq = ?6`, now, l.Attempt, store.Micros(l.Until), int64(l.Token), by.Key, r.Seq)
	if err == nil && mark.Due {
		err = w.insertReceipt(&r.InboxRow, by.Agent, &mark.Owed)
	}
	return l, err
}

// drop takes a delivery out of an inbox without an acknowledgement.
func (w *writer) drop(r *store.TakeRow, d *store.DroppedRow) error {
	_,
		err := w.exec(`UPDATE delivery SET state = ?1, delivered = coalesce(delivered, changed), changed = ?2, code = ?3, reason = ?4,
			first_try = ?5, last_try = ?2, refused = ?6, dead = ?7 WHERE seq = ?8`,
		int64(d.State), d.Now, string(d.Code), d.Reason, optional(d.First), optional(d.Refused),
		optional(store.Bit(d.Dead)*d.Now), d.Seq)
	if err == nil {
		err = w.insertReceipt(&r.InboxRow, r.Agent, &d.Owed)
	}
	for i := 0; err == nil && i < len(d.Reports); i++ {
		err = w.report(&d.Reports[i])
	}
	if len(d.Reports) > 0 {
		w.work = append(w.work, gateway.Reports)
	}
	return err
}

// leased returns the messages that a taker leased. When there are none, it looks when the
// next one returns.
func (s *Store) leased(ctx context.Context, by gateway.Acting, k *store.Taker, leases []gateway.Lease, now time.Time,
	err error) (t gateway.Taken, _ error) {
	if err != nil {
		return t, err
	}
	err = s.read(ctx, func(r *reader) error {
		t = gateway.Taken{More: k.More, Next: k.Next}
		for i, l := range leases {
			row := &k.Chosen[i]
			var page gateway.InboxPage
			item := gateway.InboxItem{Seq: row.Seq, ReadAt: store.FromMicros(row.Read), DeliveryCount: l.Attempt,
				Thread: amtp.MessageID(row.Thread)}
			if item.ReadAt.IsZero() {
				item.ReadAt = now
			}
			if err := r.appendItem(s.dir, &page, item, inboxRef{row.Message, by.Agent}); err != nil {
				return err
			}
			for _, item := range page.Items {
				t.Items = append(t.Items, gateway.TakenItem{InboxItem: item, Lease: l})
			}
		}
		if len(t.Items) > 0 || t.More {
			return nil
		}
		return r.query(`SELECT coalesce(d.hidden, d.read) FROM delivery d INDEXED BY delivery_taken WHERE`+inBox+`
				AND d.read IS NOT NULL AND coalesce(d.hidden, d.read) > ?2 ORDER BY coalesce(d.hidden, d.read) LIMIT 1`,
			func(st *sqlite3.Stmt) error {
				t.Again = store.FromMicros(st.ColumnInt64(0))
				return nil
			}, int64(by.Agent), store.Micros(now))
	})
	return t, err
}

// Extend moves the end of a live lease.
func (s *Store) Extend(ctx context.Context, by gateway.Acting, t gateway.Ticket,
	until, now time.Time) (l gateway.Lease, err error) {
	return s.changeLease(ctx, by, t, now, func(w *writer, r *store.TakeRow) (gateway.Lease, error) {
		_, err := w.exec(`UPDATE delivery SET hidden = ?, taken = ? WHERE seq = ?`, store.Micros(until),
			store.Micros(now), r.Seq)
		return gateway.Lease{Token: t.Token, Until: until, Attempt: int(r.Leases)}, err
	})
}

// GiveBack ends a live lease.
func (s *Store) GiveBack(ctx context.Context, by gateway.Acting, t gateway.Ticket, g gateway.GivenBack,
	now time.Time) (l gateway.Lease, err error) {
	return s.changeLease(ctx, by, t, now, func(w *writer, r *store.TakeRow) (gateway.Lease, error) {
		_,
			err := w.exec(`UPDATE delivery SET hidden = ?, taken = ?, token = NULL, holder = NULL, reason = ? WHERE seq = ?`,
			store.Micros(g.Due), store.Micros(now), optional(g.Reason), r.Seq)
		w.rings = append(w.rings, store.Entry{Agent: by.Agent})
		return gateway.Lease{Until: g.Due, Attempt: int(r.Leases)}, err
	})
}

// changeLease changes the live lease of a ticket.
func (s *Store) changeLease(ctx context.Context, by gateway.Acting, t gateway.Ticket, now time.Time,
	change func(*writer, *store.TakeRow) (gateway.Lease, error)) (gateway.Lease, error) {
	var l gateway.Lease
	err := s.writeBy(ctx, by, 64, func(w *writer) error {
		w.keepsPrefetch = true
		r, err := w.ticketRow(by, t)
		if err == nil {
			err = r.Holds(t.Token, store.Micros(now))
		}
		if err != nil {
			return err
		}
		l, err = change(w, &r)
		return err
	})
	if err != nil {
		return gateway.Lease{}, err // the write may still change l
	}
	return l, nil
}

// ticketRow finds the delivery that a ticket names. Seq is 0 where there is none.
func (w *writer) ticketRow(by gateway.Acting, t gateway.Ticket) (store.TakeRow, error) {
	row, err := w.inboxRow(by.Agent, t.ID)
	if err != nil || row.Seq == 0 {
		return store.TakeRow{}, err
	}
	return w.takeRow(row.Seq)
}

// Reject refuses the work that a message asks for.
func (s *Store) Reject(ctx context.Context, by gateway.Acting, t gateway.Ticket, reason string,
	now time.Time) (gateway.Mark, error) {
	var mark gateway.Mark
	err := s.writeBy(ctx, by, 512, func(w *writer) error {
		w.keepsPrefetch = true
		r, err := w.ticketRow(by, t)
		if err != nil {
			return err
		}
		d, due, err := r.Reject(by.Key, t.Token, reason, store.Micros(now), w.dir)
		mark = gateway.Mark{ID: r.ID, At: store.FromMicros(d.Now)}
		if err != nil || !due {
			return err
		}
		return w.drop(&r, &d)
	})
	if err != nil {
		return gateway.Mark{}, err // the write may still change mark
	}
	return mark, nil
}

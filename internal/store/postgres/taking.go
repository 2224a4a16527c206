package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// takeColumns are the columns that are read into a takeScan, of a delivery d and its
// message m.
const takeColumns = inboxColumns + `, d.message, coalesce(m.sender_agent, 0), coalesce(length(m.body), -1), coalesce(d.leases, 0),
	coalesce(d.refused, 0), d.thread, m.in_reply_to, d.reason, d.agent`

// takenFrom joins deliveries with their messages, each by an index look-up.
const takenFrom = ` d CROSS JOIN LATERAL (SELECT uuid, class, sender_agent, sender, in_reply_to, body FROM message
	WHERE id = d.message LIMIT 1) m `

// Entries that were read or taken before and that return up to a time, and the entries
// that were never read. An entry that another transaction is changing is left out.
const (
	takeLock = ` FOR UPDATE SKIP LOCKED`

	returnedToBox = `SELECT * FROM delivery WHERE (agent, coalesce(hidden, read), seq) > ($1, $2::bigint, $3::bigint)
		AND (agent, coalesce(hidden, read)) <= ($1, $4::bigint) AND agent <> 0 AND NOT pushed AND state = 5 AND read IS NOT NULL
		ORDER BY agent, coalesce(hidden, read), seq LIMIT $5`
	freshInBox = `SELECT * FROM delivery WHERE agent <= $1 AND (agent, seq + 0) > ($1, $2::bigint) AND agent <> 0 AND NOT pushed AND state = 5
		AND read IS NULL ORDER BY agent, seq + 0 LIMIT $3`

	leaseDeliveries = `UPDATE delivery d SET read = coalesce(d.read, $1), leases = u.leases, hidden = $2, taken = $1, token = u.token, holder = $3
		FROM unnest($4::bigint[], $5::int[], $6::bigint[]) u (seq, leases, token) WHERE d.seq = u.seq`
	oweReceipts = `INSERT INTO receipt AS r (message, agent, domain, read, refused, due)
		SELECT message, agent, domain, nullif(read, 0), nullif(refused, 0), due
			FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) u (message, agent, domain, read, refused, due)
			ORDER BY message, agent
		ON CONFLICT (message, agent) DO UPDATE SET read = coalesce(r.read, excluded.read), refused = coalesce(r.refused, excluded.refused)`
	dropDeliveries = `UPDATE delivery d SET state = u.state, delivered = coalesce(d.delivered, d.changed), changed = u.now, code = u.code,
			reason = u.reason, first_try = nullif(u.first, 0), last_try = u.now, refused = nullif(u.refused, 0), dead = nullif(u.dead, 0)
		FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[])
			u (seq, state, now, code, reason, first, refused, dead) WHERE d.seq = u.seq`
)

// takeScan is the target of takeColumns.
type takeScan struct {
	inboxScan
	row                   store.TakeRow
	message, agent, to    int64
	thread, reply, reason []byte
}

func (r *takeScan) into() []any {
	return append(r.inboxScan.into(), &r.message, &r.agent, &r.row.Size, &r.row.Leases, &r.row.Refused, &r.thread,
		&r.reply, &r.reason, &r.to)
}

// read returns the row that was scanned last.
func (r *takeScan) read() store.TakeRow {
	row := r.row
	row.InboxRow = r.inboxScan.read()
	row.Message, row.Agent, row.SenderAgent = r.message, gateway.AgentID(r.to), gateway.AgentID(r.agent)
	row.Thread, row.InReplyTo, row.Reason = string(r.thread), string(r.reply), string(r.reason)
	return row
}

// takeRows calls row for the deliveries that a query finds.
func (c conn) takeRows(ctx context.Context, box, order string, args []any, row func(store.TakeRow)) error {
	var scan takeScan
	return c.query(ctx, `SELECT `+takeColumns+` FROM (`+box+`)`+takenFrom+order, args, scan.into(), func() error {
		row(scan.read())
		return nil
	})
}

// takeable shows the deliveries that may be taken to the taker. lock is takeLock or "".
// With a lock, untaken reports that it also locked deliveries that are not taken.
func (c conn) takeable(ctx context.Context, agent gateway.AgentID, k *store.Taker, now int64,
	lock string) (untaken bool, err error) {
	more, at := true, k.Want.After
	step := k.Want.Max
	if k.Filters() {
		step = min(boxStep, k.Scan+k.Want.Max+1)
	}
	for more {
		found := 0
		look := func(r store.TakeRow) {
			found++
			if more {
				more = k.Look(r)
				at = k.Next
				untaken = untaken || k.More
			} else {
				untaken = true
			}
		}
		if at.Fresh {
			err = c.takeRows(ctx, freshInBox+lock, `ORDER BY d.seq`, []any{int64(agent), at.Seq, step}, look)
		} else {
			err = c.takeRows(ctx, returnedToBox+lock, `ORDER BY coalesce(d.hidden, d.read), d.seq`,
				[]any{int64(agent), at.Due, at.Seq, now, step}, look)
		}
		switch {
		case err != nil:
			return untaken, err
		case found == step || !more:
		case at.Fresh:
			return untaken, nil
		default:
			at = gateway.TakePosition{Fresh: true}
		}
	}
	return untaken, nil
}

// Take leases messages that wait in an inbox. A filter may pass many of them. Then they
// are chosen before any is locked, and those that others took meanwhile are left out.
func (s *Store) Take(ctx context.Context, by gateway.Acting, t gateway.Take, now time.Time) (gateway.Taken, error) {
	if err := s.correctTimes(ctx, now); err != nil {
		return gateway.Taken{}, err
	}
	at := store.Micros(now)
	ahead := store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent)
	if ahead.Filters() {
		err := s.read(ctx, func(ctx context.Context, c conn) (err error) {
			ahead = store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent) // the read may run again
			c = c.by(by)
			if ahead.Match, err = c.inboxMatch(ctx, by.Agent, ahead.Filter()); err != nil {
				return err
			}
			_, err = c.takeable(ctx, by.Agent, ahead, at, "")
			return err
		})
		if err != nil || len(ahead.Chosen)+len(ahead.Spent) == 0 {
			return s.nothingTaken(ctx, by, ahead, now, err)
		}
	}
	k, err := write(ctx, s, func(ctx context.Context, x *tx) (k *taking, err error) {
		x.conn = x.leasing(by)
		k = &taking{Taker: store.NewTaker(&t, s.bounds.Scan, s.dir, by.Agent)}
		if ahead.Filters() {
			err = x.chooseAgain(ctx, ahead, k.Taker, at)
		} else {
			var untaken bool
			if untaken, err = x.takeable(ctx, by.Agent, k.Taker, at, takeLock); untaken {
				x.rings = append(x.rings, store.Entry{Agent: by.Agent}) // others passed what was locked
			}
		}
		if err == nil {
			err = x.take(ctx, by, k, at)
		}
		if err == nil && len(k.Chosen) > 0 {
			k.bodies, err = x.bodies(ctx, by.Agent, k.entries())
		}
		return k, err
	})
	if err != nil || len(k.Chosen) == 0 {
		if k == nil {
			return gateway.Taken{}, err
		}
		return s.nothingTaken(ctx, by, k.Taker, now, err)
	}
	return s.taken(ctx, k, now)
}

// taking is a taker with the leases that it gave.
type taking struct {
	*store.Taker
	leases []gateway.Lease
	bodies map[int64]bodyRow
}

func (k *taking) entries() []inboxEntry {
	return column(k.Chosen, func(r *store.TakeRow) inboxEntry { return inboxEntry{row: r.Message} })
}

// chooseAgain locks the deliveries that were chosen before, and shows them to another
// taker if they may still be taken.
func (t *tx) chooseAgain(ctx context.Context, before, k *store.Taker, now int64) error {
	seqs := append(column(before.Chosen, func(r *store.TakeRow) int64 { return r.Seq }),
		column(before.Spent, func(r *store.TakeRow) int64 { return r.Seq })...)
	err := t.takeRows(ctx, `SELECT * FROM delivery WHERE seq = ANY ($1::bigint[])`+takeLock,
		`ORDER BY coalesce(d.hidden, d.read) NULLS LAST, d.seq`, []any{seqs}, func(r store.TakeRow) {
			if r.Free(now) {
				k.Look(r)
			}
		})
	k.Compare(before)
	return err
}

// take writes the leases on the chosen deliveries, and drops the spent ones, in one
// round trip.
func (t *tx) take(ctx context.Context, by gateway.Acting, k *taking, now int64) error {
	b := &pgx.Batch{}
	var owed receiptRows
	k.leases = nil
	for i := range k.Chosen {
		l, mark, err := k.Chosen[i].Leased(k.Want, now)
		if err != nil {
			return err
		}
		k.leases = append(k.leases, l)
		if mark.Due {
			owed.add(k.Chosen[i].Message, by.Agent, &mark.Owed)
		}
	}
	if len(k.Chosen) > 0 {
		b.Queue(leaseDeliveries, now, store.Micros(k.Want.Until), by.Key,
			column(k.Chosen, func(r *store.TakeRow) int64 { return r.Seq }),
			column(k.leases, func(l *gateway.Lease) int32 { return int32(l.Attempt) }),
			column(k.leases, func(l *gateway.Lease) int64 { return int64(l.Token) }))
	}
	var dropped []store.DroppedRow
	for i := range k.Spent {
		d, err := k.Spent[i].Spend(now, t.dir)
		if err != nil {
			return err
		}
		dropped = append(dropped, d)
	}
	t.queueDropped(b, dropped)
	owed.queue(b)
	return t.SendBatch(ctx, b).Close()
}

// queueDropped takes deliveries out of an inbox without an acknowledgement.
func (t *tx) queueDropped(b *pgx.Batch, list []store.DroppedRow) {
	if len(list) == 0 {
		return
	}
	b.Queue(dropDeliveries,
		column(list, func(d *store.DroppedRow) int64 { return d.Seq }),
		column(list, func(d *store.DroppedRow) int16 { return int16(d.State) }),
		column(list, func(d *store.DroppedRow) int64 { return d.Now }),
		column(list, func(d *store.DroppedRow) string { return string(d.Code) }),
		column(list, func(d *store.DroppedRow) []byte { return blob(d.Reason) }),
		column(list, func(d *store.DroppedRow) int64 { return d.First }),
		column(list, func(d *store.DroppedRow) int64 { return d.Refused }),
		column(list, func(d *store.DroppedRow) int64 { return store.Bit(d.Dead) * d.Now }))
	var reports settlementRows
	var owed receiptRows
	for i := range list {
		owed.add(list[i].Message, list[i].Agent, &list[i].Owed)
		reports.Reports = append(reports.Reports, list[i].Reports...)
	}
	if len(reports.Reports) > 0 {
		reports.queueReports(b)
		t.work = append(t.work, gateway.Reports)
	}
	owed.queue(b)
}

// receiptRows are receipts that are owed.
type receiptRows struct {
	message, agent, read, refused, due []int64
	domain                             []string
}

func (r *receiptRows) add(message int64, agent gateway.AgentID, owed *store.ReceiptRow) {
	if owed.Domain == "" {
		return
	}
	r.message, r.agent = append(r.message, message), append(r.agent, int64(agent))
	r.domain = append(r.domain, string(owed.Domain))
	r.read, r.refused, r.due = append(r.read, owed.Read), append(r.refused, owed.Refused), append(r.due, owed.Due)
}

func (r *receiptRows) queue(b *pgx.Batch) {
	if len(r.message) > 0 {
		b.Queue(oweReceipts, r.message, r.agent, r.domain, r.read, r.refused, r.due)
	}
}

// taken returns the messages that a taker leased.
func (s *Store) taken(ctx context.Context, k *taking, now time.Time) (t gateway.Taken, err error) {
	t.More, t.Next = k.More, k.Next
	for i := range k.Chosen {
		r := &k.Chosen[i]
		body, there := k.bodies[r.Message]
		if !there {
			continue
		}
		item := gateway.InboxItem{Seq: r.Seq, ReadAt: store.FromMicros(r.Read), DeliveryCount: k.leases[i].Attempt,
			Body: body.body, Labels: store.Labels(body.labels)}
		if item.ReadAt.IsZero() {
			item.ReadAt = now
		}
		if item.Envelope, err = s.envelope(ctx, body.EnvelopeRow); err != nil {
			return gateway.Taken{}, err
		}
		item.Thread = store.Thread(r.Thread, item.ID)
		t.Items = append(t.Items, gateway.TakenItem{InboxItem: item, Lease: k.leases[i]})
	}
	return t, nil
}

// lookAgain is when a reader looks again at an entry that was locked.
const lookAgain = 20 * time.Millisecond

// nothingTaken finds when the next message returns. An entry that may be taken now was
// locked a moment ago, perhaps by a transaction that does not take it.
func (s *Store) nothingTaken(ctx context.Context, by gateway.Acting, k *store.Taker, now time.Time,
	err error) (gateway.Taken, error) {
	t := gateway.Taken{More: k.More, Next: k.Next}
	if err != nil || t.More {
		return t, err
	}
	after := now
	if !k.Filters() {
		after = time.Time{}
	}
	var again int64
	err = s.read(ctx, func(ctx context.Context, c conn) (err error) {
		again, err = c.by(by).number(ctx, `SELECT coalesce(hidden, read) FROM delivery
			WHERE agent <= $1 AND (agent, coalesce(hidden, read)) > ($1, $2::bigint) AND agent <> 0 AND NOT pushed AND state = 5
				AND read IS NOT NULL ORDER BY agent, coalesce(hidden, read), seq LIMIT 1`, int64(by.Agent), store.Micros(after))
		if err != nil || k.Filters() {
			return err
		}
		fresh, err := c.number(ctx, `SELECT count(*) FROM (`+freshInBox+`) d`, int64(by.Agent), int64(0), 1)
		if fresh > 0 {
			again = 1
		}
		return err
	})
	if t.Again = store.FromMicros(again); again != 0 && t.Again.Before(now.Add(lookAgain)) {
		t.Again = now.Add(lookAgain)
	}
	return t, err
}

// Extend moves the end of a live lease.
func (s *Store) Extend(ctx context.Context, by gateway.Acting, t gateway.Ticket,
	until, now time.Time) (gateway.Lease, error) {
	return s.changeLease(ctx, by, t, now, func(ctx context.Context, x *tx, r *store.TakeRow) (gateway.Lease, error) {
		_, err := x.change(ctx, `UPDATE delivery SET hidden = $1, taken = $2 WHERE seq = $3`, store.Micros(until),
			store.Micros(now), r.Seq)
		return gateway.Lease{Token: t.Token, Until: until, Attempt: int(r.Leases)}, err
	})
}

// GiveBack ends a live lease.
func (s *Store) GiveBack(ctx context.Context, by gateway.Acting, t gateway.Ticket, g gateway.GivenBack,
	now time.Time) (gateway.Lease, error) {
	return s.changeLease(ctx, by, t, now, func(ctx context.Context, x *tx, r *store.TakeRow) (gateway.Lease, error) {
		_, err := x.change(ctx, `UPDATE delivery SET hidden = $1, taken = $2, token = NULL, holder = NULL, reason = $3 WHERE seq = $4`,
			store.Micros(g.Due), store.Micros(now), blob(g.Reason), r.Seq)
		x.rings = append(x.rings, store.Entry{Agent: by.Agent})
		return gateway.Lease{Until: g.Due, Attempt: int(r.Leases)}, err
	})
}

// changeLease changes the live lease of a ticket.
func (s *Store) changeLease(ctx context.Context, by gateway.Acting, t gateway.Ticket, now time.Time,
	change func(context.Context, *tx, *store.TakeRow) (gateway.Lease, error)) (gateway.Lease, error) {
	return write(ctx, s, func(ctx context.Context, x *tx) (l gateway.Lease, err error) {
		x.conn = x.by(by)
		r, err := x.ticketRow(ctx, by, t)
		if err == nil {
			err = r.Holds(t.Token, store.Micros(now))
		}
		if err != nil {
			return l, err
		}
		return change(ctx, x, &r)
	})
}

// ticketRow finds and locks the delivery that a ticket names. Seq is 0 where there is
// none.
func (t *tx) ticketRow(ctx context.Context, by gateway.Acting, k gateway.Ticket) (r store.TakeRow, err error) {
	message, err := t.find(ctx, gateway.Reader{Agent: by.Agent}, k.ID)
	if err != nil {
		return r, err
	}
	err = t.takeRows(ctx, `SELECT d.* FROM delivery d JOIN agent a ON a.id = d.agent AND a.removed IS NULL
			WHERE d.message = $1 AND d.agent = $2 FOR UPDATE OF d`, ``, []any{message, int64(by.Agent)},
		func(row store.TakeRow) { r = row })
	return r, err
}

// Reject refuses the work that a message asks for.
func (s *Store) Reject(ctx context.Context, by gateway.Acting, t gateway.Ticket, reason string,
	now time.Time) (gateway.Mark, error) {
	return write(ctx, s, func(ctx context.Context, x *tx) (mark gateway.Mark, err error) {
		x.conn = x.by(by)
		r, err := x.ticketRow(ctx, by, t)
		if err != nil {
			return mark, err
		}
		if err := s.know(ctx, r.SenderAgent); err != nil {
			return mark, err
		}
		d, due, err := r.Reject(by.Key, t.Token, reason, store.Micros(now), x.dir)
		mark = gateway.Mark{ID: r.ID, At: store.FromMicros(d.Now)}
		if err != nil || !due {
			return mark, err
		}
		b := &pgx.Batch{}
		x.queueDropped(b, []store.DroppedRow{d})
		return mark, x.SendBatch(ctx, b).Close()
	})
}

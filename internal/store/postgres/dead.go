package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// DeadLetters lists dead letters.
func (s *Store) DeadLetters(ctx context.Context, f gateway.DeadFilter) (page gateway.DeadPage, err error) {
	release, err := s.lists.Take(ctx, everybody)
	if err != nil {
		return page, err
	}
	defer release()
	var rows []deadRow
	err = s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		var ids []int64
		if ids, page, err = c.deadPage(ctx, f, s.bounds.Scan); err == nil {
			rows, err = c.deadLetters(ctx, ids, false)
		}
		return err
	})
	if err == nil {
		page.Letters, err = s.deadLetters(ctx, rows)
	}
	if err != nil {
		return gateway.DeadPage{}, err
	}
	return page, nil
}

// DeadLetter returns one dead letter with its body.
func (s *Store) DeadLetter(ctx context.Context, id gateway.DeliveryID) (gateway.DeadLetter, error) {
	var rows []deadRow
	err := s.read(ctx, func(ctx context.Context, c conn) (err error) {
		rows, err = c.deadLetters(ctx, []int64{int64(id)}, true)
		return err
	})
	if err == nil && len(rows) == 0 {
		err = gateway.ErrNotFound
	}
	if err != nil {
		return gateway.DeadLetter{}, err
	}
	list, err := s.deadLetters(ctx, rows)
	if err != nil {
		return gateway.DeadLetter{}, err
	}
	return list[0], nil
}

// deadRow is a dead letter as it is stored.
type deadRow struct {
	envelope                  store.EnvelopeRow
	delivery                  store.DeliveryRow
	body                      []byte
	size                      int
	first, last, dead, driven int64
}

// deadLetters reads dead letters, in the order of their ids.
func (c conn) deadLetters(ctx context.Context, ids []int64, body bool) (rows []deadRow, err error) {
	var e envelope
	var d delivery
	var r deadRow
	into := slices.Concat(e.into(), d.into(), []any{&r.size, &r.first, &r.last, &r.dead, &r.driven, &r.body})
	err = c.query(ctx, `SELECT `+envelopeColumns+`, `+deliveryColumns+
		`, coalesce(length(m.body), 0), coalesce(d.first_try, 0), coalesce(d.last_try, 0),
			d.dead, coalesce(d.generation, 0), CASE WHEN $2 THEN m.body END
			FROM delivery d JOIN message m ON m.id = d.message `+itsJob+` WHERE d.seq = ANY ($1::bigint[]) AND d.dead IS NOT NULL ORDER BY d.seq`,
		[]any{ids, body}, into, func() error {
			r.envelope, r.delivery = e.read(), d.read()
			rows = append(rows, r)
			return nil
		})
	return rows, err
}

// deadLetters returns the dead letters that the rows hold.
func (s *Store) deadLetters(ctx context.Context, rows []deadRow) (list []gateway.DeadLetter, err error) {
	for i := range rows {
		r := &rows[i]
		l := gateway.DeadLetter{
			Body: r.body, Size: r.size, FirstTry: store.FromMicros(r.first), LastTry: store.FromMicros(r.last),
			At: store.FromMicros(r.dead), Generation: int(r.driven),
		}
		l.Envelope, err = s.envelope(ctx, r.envelope)
		if err == nil {
			err = s.know(ctx, r.delivery.Agent)
		}
		if err == nil {
			l.Delivery = r.delivery.Delivery(s.dir)
		}
		if err != nil {
			return nil, err
		}
		l.ID, l.Destination = l.Delivery.ID, r.delivery.Destination()
		list = append(list, l)
	}
	return list, nil
}

// deadPage returns the delivery ids of the dead letters on a page. It looks at no more
// than scan letters that do not match.
func (c conn) deadPage(ctx context.Context, f gateway.DeadFilter, scan int) (ids []int64,
	page gateway.DeadPage, err error) {
	pager := store.Pager{Limit: f.Limit, Scan: scan, Next: int64(f.After)}
	step := min(boxStep, scan+max(f.Limit, 1)+1)
	if f.Limit > 0 && f.Code == "" && f.Before.IsZero() {
		step = min(f.Limit+1, boxStep)
	}
	for {
		w := deadSelection(f, pager.Next)
		w.add(` LIMIT %s`, step)
		var id, dead int64
		var code string
		looked := 0
		err := c.query(ctx, w.sql, w.args, []any{&id, &code, &dead}, func() error {
			looked++
			if pager.Look(id, 0, store.InDead(&f, code, dead)) {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil || pager.HasMore || looked < step {
			return ids, pager.DeadPage(), err
		}
	}
}

// deadSelection returns the query for the dead letters after one that may match, in the
// order of their ids. It reads their ids, codes and times of death. Its ORDER BY makes
// the server use the intended index, which alone has that order.
func deadSelection(f gateway.DeadFilter, after int64) where {
	w := where{sql: `SELECT d.seq, coalesce(d.code, ''), d.dead FROM delivery d WHERE d.dead IS NOT NULL`}
	order := ` ORDER BY d.seq`
	switch {
	case f.IDs != nil:
		w.and(`d.seq > %s`, after)
	case f.Message != "":
		w.and(`d.seq > %s`, after)
	case f.Destination != "":
		const key = `d.agent, coalesce(split_part(d.address, '@', 2), '')`
		domain := string(f.Destination.Domain())
		w.add(` AND (`+key+`) <= (%s::bigint`, f.Destination.Agent())
		w.add(`, %s)`, domain)
		w.add(` AND (`+key+`, d.seq) > (%s::bigint`, f.Destination.Agent())
		w.add(`, %s`, domain)
		w.add(`, %s::bigint)`, after)
		order = ` ORDER BY ` + key + `, d.seq`
	case f.Code != "":
		w.add(` AND d.code <= %s`, string(f.Code))
		w.add(` AND (d.code, d.seq) > (%s`, string(f.Code))
		w.add(`, %s::bigint)`, after)
		order = ` ORDER BY d.code, d.seq`
	default:
		w.and(`d.seq > %s`, after)
	}
	if f.IDs != nil {
		w.and(`d.seq = ANY (%s::bigint[])`, column(f.IDs, func(id *gateway.DeliveryID) int64 { return int64(*id) }))
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // no message has the zero UUID
		w.and(`d.message = (SELECT id FROM message WHERE uuid = %s)`, u[:])
	}
	if f.Destination != "" && (f.IDs != nil || f.Message != "") {
		w.and(`d.agent = %s`, f.Destination.Agent())
		w.and(`coalesce(split_part(d.address, '@', 2), '') = %s`, string(f.Destination.Domain()))
	}
	w.sql += order
	return w
}

// Redrive queues dead letters again.
func (s *Store) Redrive(ctx context.Context, f gateway.DeadFilter, now time.Time) (int, error) {
	times := s.watch.Times(now)
	return s.eachDead(ctx, f, func(ctx context.Context, t *tx, letters []int64) (int, error) {
		return t.redriveAll(ctx, letters, &times)
	})
}

// PurgeDead removes letters from the list of dead letters.
func (s *Store) PurgeDead(ctx context.Context, f gateway.DeadFilter) (int, error) {
	return s.eachDead(ctx, f, func(ctx context.Context, t *tx, letters []int64) (int, error) {
		n, err := t.change(ctx,
			`UPDATE delivery SET dead = NULL WHERE seq = ANY ($1::bigint[]) AND dead IS NOT NULL`, letters)
		return int(n), err
	})
}

// eachDead calls do for the dead letters that match, in transactions of bounded size.
// It returns the sum of the numbers that do returned.
func (s *Store) eachDead(ctx context.Context, f gateway.DeadFilter,
	do func(context.Context, *tx, []int64) (int, error)) (int, error) {
	return store.EachDead(f, func(f gateway.DeadFilter) (found []int64, page gateway.DeadPage, err error) {
		err = s.read(ctx, func(ctx context.Context, c conn) (err error) {
			found, page, err = c.deadPage(ctx, f, s.bounds.Scan)
			return err
		})
		return found, page, err
	}, func(letters []int64) (int, error) {
		return write(ctx, s, func(ctx context.Context, t *tx) (int, error) { return do(ctx, t, letters) })
	})
}

// redriveAll queues dead letters again. It locks their messages in the order of their
// ids until the commit, so that no other transaction creates a second job for a
// destination.
func (t *tx) redriveAll(ctx context.Context, letters []int64, times *store.Times) (int, error) {
	_,
		err := t.change(ctx,
		`SELECT m.id FROM message m WHERE m.id IN (SELECT message FROM delivery WHERE seq = ANY ($1::bigint[])) ORDER BY m.id FOR UPDATE`,
		letters)
	if err != nil {
		return 0, err
	}
	list, err := t.letters(ctx, letters)
	if err != nil {
		return 0, err
	}
	var again, messages []int64
	for i := range list {
		l := &list[i]
		r, ok := l.Redrive(t.dir, times)
		if !ok {
			continue
		}
		if err := t.redrive(ctx, l, &r, times.Now()); err != nil {
			return 0, err
		}
		again, messages = append(again, l.Seq), append(messages, l.Message)
	}
	return len(again), t.withdraw(ctx, messages, again)
}

// letters reads the parts of dead letters that redrive needs.
func (t *tx) letters(ctx context.Context, letters []int64) (list []store.LetterRow, err error) {
	var l store.LetterRow
	var agent, sender int64
	var state int16
	err = t.query(ctx,
		`SELECT d.seq, d.message, d.state, d.agent, coalesce(d.address, ''), m.received, length(m.body), m.uuid,
				coalesce(m.sender_agent, 0), coalesce(m.sender, ''), d.further, d.pushed
			FROM delivery d JOIN message m ON m.id = d.message
			WHERE d.seq = ANY ($1::bigint[]) AND d.dead IS NOT NULL AND m.body IS NOT NULL ORDER BY d.seq`, []any{letters},
		[]any{&l.Seq, &l.Message, &state, &agent, &l.Address, &l.Received, &l.Size, &l.UUID, &sender, &l.From,
			&l.Further, &l.Pushed},
		func() error {
			l.State, l.Agent, l.Sender = gateway.State(state), gateway.AgentID(agent), gateway.AgentID(sender)
			list = append(list, l)
			return nil
		})
	return list, err
}

// redrive queues one dead letter again.
func (t *tx) redrive(ctx context.Context, l *store.LetterRow, r *store.Redriven, now int64) error {
	if r.Inbox {
		return t.putBack(ctx, l, r, now)
	}
	job, err := t.joinJob(ctx, l.Message, r.Destination, now)
	if err == nil && job == 0 {
		job, err = t.insertJob(ctx, l.Message, r.Destination, r.Flow, now, l.Size)
	}
	for i := 0; err == nil && i < len(r.Names); i++ {
		_, err = t.change(ctx,
			`INSERT INTO alias (id, agent, sender, variant, message) VALUES ($1, $2, '', '', $3) ON CONFLICT DO NOTHING`,
			[]byte(r.Names[i]), int64(l.Sender), l.Message)
	}
	if err == nil && r.JobAsNew != 0 {
		_, err = t.change(ctx, `UPDATE job SET redriven = coalesce(redriven, $1) WHERE id = $2`, r.JobAsNew, int64(job))
	}
	if err != nil {
		return err
	}
	_,
		err = t.change(ctx,
		`UPDATE delivery SET state = $1, changed = $2, job = $3, attempts = NULL, code = NULL, reason = NULL, first_try = NULL,
			last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1, redriven = coalesce(nullif($5::bigint, 0), redriven)
			WHERE seq = $4`, int16(r.State), now, int64(job), l.Seq, r.AsNew)
	return err
}

// putBack puts a dead letter back into the inbox in which it was, after all entries that
// readers have seen.
func (t *tx) putBack(ctx context.Context, l *store.LetterRow, r *store.Redriven, now int64) error {
	_, err := t.change(ctx, lockInboxes, int32(inboxLock),
		boxes([]int64{int64(l.Agent)}, func(int) bool { return true }))
	if err != nil {
		return err
	}
	seq,
		err := t.number(ctx,
		`UPDATE delivery SET seq = nextval('delivery_seq'), place = coalesce(place, seq), state = $1, changed = $2,
			delivered = NULL, read = NULL, refused = NULL, leases = NULL, hidden = NULL, taken = NULL, token = NULL, holder = NULL,
			code = NULL, reason = NULL, first_try = NULL, last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1
			WHERE seq = $3 RETURNING seq`, int16(r.State), now, l.Seq)
	t.rings = append(t.rings, store.Entry{Agent: l.Agent, Seq: seq})
	return err
}

// withdraw removes deliveries that are redriven from the reports of their messages.
func (t *tx) withdraw(ctx context.Context, messages, again []int64) error {
	var reports []store.ReportJob
	var j store.ReportJob
	err := t.query(ctx,
		`SELECT id, coalesce(payload, '') FROM job WHERE message = ANY ($1::bigint[]) AND destination = $2
			ORDER BY id FOR UPDATE`, []any{messages, string(gateway.Reports)}, []any{&j.ID, &j.Payload}, func() error {
			reports = append(reports, j)
			return nil
		})
	gone, changed := store.Withdraw(reports, again)
	if err == nil && len(gone) > 0 {
		_, err = t.change(ctx, `DELETE FROM job WHERE id = ANY ($1::bigint[])`, gone)
	}
	if err == nil && len(changed) > 0 {
		_, err = t.change(ctx,
			`UPDATE job j SET payload = u.payload FROM unnest($1::bigint[], $2::text[]) u (id, payload)
				WHERE j.id = u.id`, column(changed, func(j *store.ReportJob) int64 { return j.ID }),
			column(changed, func(j *store.ReportJob) string { return j.Payload }))
	}
	return err
}

package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// deadStep is how many letters one transaction changes.
const deadStep = 256

// DeadLetters lists dead letters.
func (s *Store) DeadLetters(ctx context.Context, f gateway.DeadFilter) (page gateway.DeadPage, err error) {
	release, err := s.mayList(ctx)
	if err != nil {
		return page, err
	}
	defer release()
	limit := f.Limit
	if limit > 0 {
		f.Limit++
	}
	if page.Letters, err = s.deadLetters(ctx, f, false); err != nil {
		return gateway.DeadPage{}, err
	}
	if page.HasMore = limit > 0 && len(page.Letters) > limit; page.HasMore {
		page.Letters = page.Letters[:limit]
	}
	return page, nil
}

// DeadLetter returns one dead letter with its body.
func (s *Store) DeadLetter(ctx context.Context, id gateway.DeliveryID) (gateway.DeadLetter, error) {
	list, err := s.deadLetters(ctx, gateway.DeadFilter{IDs: []gateway.DeliveryID{id}}, true)
	if err == nil && len(list) == 0 {
		err = gateway.ErrNotFound
	}
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

func (s *Store) deadLetters(ctx context.Context, f gateway.DeadFilter, body bool) (list []gateway.DeadLetter, err error) {
	w := deadSelection(f)
	columns := `SELECT ` + envelopeColumns + `, ` + deliveryColumns + `, coalesce(length(m.body), 0), coalesce(d.first_try, 0), coalesce(d.last_try, 0),
		d.dead, coalesce(d.generation, 0), `
	if body {
		columns += `m.body`
	} else {
		columns += `NULL::bytea`
	}
	var rows []deadRow
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		rows = nil
		var e envelope
		var d delivery
		var r deadRow
		into := slices.Concat(e.into(), d.into(), []any{&r.size, &r.first, &r.last, &r.dead, &r.driven, &r.body})
		return c.query(ctx, columns+w.sql, w.args, into, func() error {
			r.envelope, r.delivery = e.read(), d.read()
			rows = append(rows, r)
			return nil
		})
	})
	for i := range rows {
		r := &rows[i]
		l := gateway.DeadLetter{
			Body: r.body, Size: r.size, FirstTry: store.FromMicros(r.first), LastTry: store.FromMicros(r.last),
			At: store.FromMicros(r.dead), Generation: int(r.driven),
		}
		if err == nil {
			l.Envelope, err = s.envelope(ctx, r.envelope)
		}
		if err == nil {
			err = s.know(ctx, r.delivery.Agent)
		}
		if err == nil {
			l.Delivery, err = r.delivery.Delivery(s.dir)
		}
		l.ID, l.Destination = l.Delivery.ID, store.DestinationOf(&l.Delivery)
		list = append(list, l)
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// deadSelection returns the rest of a query for the dead letters that match.
func deadSelection(f gateway.DeadFilter) where {
	w := where{sql: ` FROM delivery d JOIN message m ON m.id = d.message ` + itsJob + ` WHERE d.dead IS NOT NULL`}
	w.and(`d.seq > %s`, int64(f.After))
	if f.IDs != nil {
		w.and(`d.seq = ANY (%s::bigint[])`, column(f.IDs, func(id *gateway.DeliveryID) int64 { return int64(*id) }))
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // the zero UUID is no message's
		w.and(`d.message = (SELECT id FROM message WHERE uuid = %s)`, u[:])
	}
	if f.Destination != "" {
		if f.Destination.Kind() == gateway.KindRemote {
			w.and(`d.agent = 0 AND split_part(d.address, '@', 2) = %s`, string(f.Destination))
		} else {
			w.and(`'push:' || d.agent = %s`, string(f.Destination))
		}
	}
	if f.Code != "" {
		w.and(`d.code = %s`, string(f.Code))
	}
	if !f.Before.IsZero() {
		w.and(`d.dead < %s`, store.Micros(f.Before))
	}
	w.sql += ` ORDER BY d.seq`
	if f.Limit > 0 {
		w.add(` LIMIT %s`, f.Limit)
	}
	return w
}

// Redrive queues dead letters again.
func (s *Store) Redrive(ctx context.Context, f gateway.DeadFilter, now time.Time) (int, error) {
	times := s.watch.Times(now)
	return s.eachDead(ctx, f, func(ctx context.Context, t *tx, letters []int64) (int, error) {
		return t.redriveAll(ctx, letters, &times)
	})
}

// PurgeDead takes letters from the list.
func (s *Store) PurgeDead(ctx context.Context, f gateway.DeadFilter) (int, error) {
	return s.eachDead(ctx, f, func(ctx context.Context, t *tx, letters []int64) (int, error) {
		n, err := t.change(ctx, `UPDATE delivery SET dead = NULL WHERE seq = ANY ($1::bigint[]) AND dead IS NOT NULL`, letters)
		return int(n), err
	})
}

// eachDead does something to every dead letter that matches, in transactions of
// bounded size, and returns to how many it was done.
func (s *Store) eachDead(ctx context.Context, f gateway.DeadFilter, do func(context.Context, *tx, []int64) (int, error)) (done int, err error) {
	for rest := f.Limit; ; {
		if f.Limit = deadStep; rest > 0 {
			f.Limit = min(rest, deadStep)
		}
		w := deadSelection(f)
		var found []int64
		var seq int64
		err := s.read(ctx, func(ctx context.Context, c conn) error {
			found = nil
			return c.query(ctx, `SELECT d.seq`+w.sql, w.args, []any{&seq}, func() error {
				found = append(found, seq)
				return nil
			})
		})
		if err != nil || len(found) == 0 {
			return done, err
		}
		did, err := write(ctx, s, func(ctx context.Context, t *tx) (int, error) { return do(ctx, t, found) })
		if err != nil {
			return done, err
		}
		done += did
		f.After = gateway.DeliveryID(found[len(found)-1])
		if rest -= len(found); rest == 0 || len(found) < f.Limit {
			return done, nil
		}
	}
}

// buried is a dead letter as redrive looks at it.
type buried struct {
	seq, message int64
	report       int64 // the job that has yet to report it, or 0
	agent        int64
	address      string
	received     int64
	size         int
	state        int16
	uuid         []byte
	sender       int64  // the agent who wrote the message
	from         string // the address of who wrote it elsewhere
	further      bool
}

// redriveAll queues dead letters again. Their messages are held in the order of
// their ids until the commit: nobody gives one a second job for a destination.
func (t *tx) redriveAll(ctx context.Context, letters []int64, times *store.Times) (int, error) {
	var l buried
	var list []buried
	_, err := t.change(ctx, `SELECT m.id FROM message m WHERE m.id IN (SELECT message FROM delivery WHERE seq = ANY ($1::bigint[])) ORDER BY m.id FOR UPDATE`,
		letters)
	if err != nil {
		return 0, err
	}
	err = t.query(ctx, `SELECT d.seq, d.message, d.state, coalesce(d.job, 0), d.agent, coalesce(d.address, ''), m.received, length(m.body), m.uuid,
				coalesce(m.sender_agent, 0), coalesce(m.sender, ''), d.further
			FROM delivery d JOIN message m ON m.id = d.message
			WHERE d.seq = ANY ($1::bigint[]) AND d.dead IS NOT NULL AND m.body IS NOT NULL ORDER BY d.seq`, []any{letters},
		[]any{&l.seq, &l.message, &l.state, &l.report, &l.agent, &l.address, &l.received, &l.size, &l.uuid, &l.sender, &l.from, &l.further}, func() error {
			list = append(list, l)
			return nil
		})
	if err != nil {
		return 0, err
	}
	for i := range list {
		if err := t.redrive(ctx, &list[i], times); err != nil {
			return 0, err
		}
	}
	return len(list), nil
}

// redrive queues one dead letter again.
func (t *tx) redrive(ctx context.Context, l *buried, times *store.Times) error {
	now := times.Now()
	state, err := gateway.Next(gateway.State(l.state), gateway.Redrive)
	if err != nil {
		return err
	}
	row := store.DeliveryRow{Agent: gateway.AgentID(l.agent), Address: l.address, Further: l.further}
	d, err := row.Delivery(t.dir)
	if err != nil {
		return err
	}
	destination := store.DestinationOf(&d)
	job, err := t.joinJob(ctx, l.message, destination, now)
	if err == nil && job == 0 {
		job, err = t.insertJob(ctx, l.message, destination, store.FlowOf(gateway.AgentID(l.sender), l.from), now, l.size)
	}
	if err == nil && store.FromMicros(now).Sub(times.At(l.received, l.message)) >= gateway.Forgotten {
		d.Redriven = store.FromMicros(now)
		err = t.redriveLate(ctx, l, &d, job)
	}
	if err != nil {
		return err
	}
	_, err = t.change(ctx, `UPDATE delivery SET state = $1, changed = $2, job = $3, attempts = NULL, code = NULL, reason = NULL, first_try = NULL,
			last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1 WHERE seq = $4`, int16(state), now, int64(job), l.seq)
	if err != nil || l.report == 0 {
		return err
	}
	// What is tried again is not reported; a report of nothing else is gone.
	_, err = t.change(ctx, `DELETE FROM job WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM delivery WHERE message = $2 AND job = $1)`, l.report, l.message)
	return err
}

// redriveLate gives what other gateways may have forgotten a new id.
func (t *tx) redriveLate(ctx context.Context, l *buried, d *gateway.Delivery, job gateway.JobID) error {
	now := store.Micros(d.Redriven)
	for _, name := range store.Names(d, store.MessageID(l.uuid)) {
		if _, err := t.change(ctx, `INSERT INTO alias (id, agent, sender, variant, message) VALUES ($1, $2, '', '', $3) ON CONFLICT DO NOTHING`,
			[]byte(name), l.sender, l.message); err != nil {
			return err
		}
	}
	if d.Agent == 0 {
		if _, err := t.change(ctx, `UPDATE delivery SET redriven = $1 WHERE seq = $2`, now, l.seq); err != nil {
			return err
		}
	}
	_, err := t.change(ctx, `UPDATE job SET redriven = coalesce(redriven, $1) WHERE id = $2`, now, int64(job))
	return err
}

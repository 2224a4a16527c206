package sqlite

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// DeadLetters lists dead letters.
func (s *Store) DeadLetters(ctx context.Context, f gateway.DeadFilter) (page gateway.DeadPage, err error) {
	release, err := s.lists.Take(ctx, everybody)
	if err != nil {
		return page, err
	}
	defer release()
	err = s.read(ctx, func(r *reader) error {
		ids, found, err := r.deadPage(f, s.bounds.Scan)
		page = found
		for i := 0; err == nil && i < len(ids); i++ {
			var l gateway.DeadLetter
			l, err = r.deadLetter(s.dir, ids[i], false)
			page.Letters = append(page.Letters, l)
		}
		return err
	})
	return page, err
}

// DeadLetter returns one dead letter with its body.
func (s *Store) DeadLetter(ctx context.Context, id gateway.DeliveryID) (letter gateway.DeadLetter, err error) {
	err = s.read(ctx, func(r *reader) (err error) {
		letter, err = r.deadLetter(s.dir, int64(id), true)
		return err
	})
	return letter, err
}

// deadLetter reads one dead letter.
func (c *statements) deadLetter(dir *store.Directory, id int64, body bool) (l gateway.DeadLetter, err error) {
	err = gateway.ErrNotFound
	fault := c.query(`SELECT `+envelopeColumns+`, `+deliveryColumns+
		`, coalesce(length(m.body), 0), d.first_try, d.last_try, d.dead, d.generation,
			CASE WHEN ?2 THEN m.body END
			FROM delivery d JOIN message m ON m.id = d.message LEFT JOIN job j ON j.id = d.job WHERE d.seq = ?1 AND d.dead IS NOT NULL`,
		func(s *sqlite3.Stmt) error {
			const rest = afterEnvelope + afterDelivery
			row := scanDelivery(s, afterEnvelope)
			d := row.Delivery(dir)
			l = gateway.DeadLetter{
				ID: d.ID, Delivery: d, Destination: row.Destination(), Envelope: scanEnvelope(dir, s, false),
				Size:     s.ColumnInt(rest),
				FirstTry: store.FromMicros(s.ColumnInt64(rest + 1)), LastTry: store.FromMicros(s.ColumnInt64(rest + 2)),
				At: store.FromMicros(s.ColumnInt64(rest + 3)), Generation: s.ColumnInt(rest + 4),
				Body: s.ColumnBlob(rest+5, nil),
			}
			err = nil
			return nil
		}, id, body)
	if fault != nil {
		err = fault
	}
	return l, err
}

// deadPage returns the delivery ids of the dead letters on a page. It looks at no more
// than scan letters that do not match.
func (c *statements) deadPage(f gateway.DeadFilter, scan int) (ids []int64, page gateway.DeadPage, err error) {
	sql, args := deadSelection(f)
	pager := store.Pager{Limit: f.Limit, Scan: scan, Next: int64(f.After)}
	err = c.scan(sql, func(st *sqlite3.Stmt) bool {
		if pager.Look(st.ColumnInt64(0), 0, store.InDead(&f, st.ColumnText(1), st.ColumnInt64(2))) {
			ids = append(ids, st.ColumnInt64(0))
		}
		return !pager.HasMore
	}, args...)
	return ids, pager.DeadPage(), err
}

// deadSelection returns the query for the dead letters that may match, in the order of
// their ids. It reads their ids, codes and times of death. It uses the index that
// leaves out the most rows.
func deadSelection(f gateway.DeadFilter) (sql string, args []any) {
	index, where := `delivery_dead`, ` WHERE d.dead IS NOT NULL AND d.seq > ?`
	args = append(args, int64(f.After))
	if f.Code != "" && f.Destination == "" && f.Message == "" && f.IDs == nil {
		index = `delivery_dead_code`
		where += ` AND d.code = ?`
		args = append(args, string(f.Code))
	}
	if f.Destination != "" {
		index = `delivery_dead_to`
		agent, domain := deadTo(f.Destination)
		where += ` AND d.agent = ? AND substr(d.address, instr(d.address, '@') + 1) IS ?`
		args = append(args, agent, domain)
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // no message has the zero UUID
		index = `delivery_message`
		where += ` AND d.message = (SELECT id FROM message WHERE uuid = ?)`
		args = append(args, u[:])
	}
	if f.IDs != nil {
		ids, _ := json.Marshal(f.IDs) // numbers cannot fail
		index = `delivery_dead`
		where += ` AND d.seq IN (SELECT value FROM json_each(?))`
		args = append(args, string(ids))
	}
	return `SELECT d.seq, d.code, d.dead FROM delivery d INDEXED BY ` + index + where + ` ORDER BY d.seq`, args
}

// deadTo returns the values that the deliveries to a destination have: the agent, and
// the domain of the address, null for a local agent.
func deadTo(d gateway.Destination) (agent int64, domain any) {
	if remote := d.Domain(); remote != "" {
		return 0, string(remote)
	}
	return d.Agent(), null{}
}

// Redrive queues dead letters again.
func (s *Store) Redrive(ctx context.Context, f gateway.DeadFilter, now time.Time) (int, error) {
	times := s.watch.Times(now)
	return s.eachDead(ctx, f, func(w *writer, letters []int64) (int, error) { return w.redriveAll(letters, &times) })
}

// PurgeDead removes letters from the list of dead letters.
func (s *Store) PurgeDead(ctx context.Context, f gateway.DeadFilter) (int, error) {
	return s.eachDead(ctx, f, func(w *writer, letters []int64) (done int, err error) {
		for _, seq := range letters {
			n, err := w.exec(`UPDATE delivery SET dead = NULL WHERE seq = ? AND dead IS NOT NULL`, seq)
			if err != nil {
				return 0, err
			}
			done += int(n)
		}
		return done, nil
	})
}

// eachDead calls do for the dead letters that match, in transactions of bounded size. It
// returns the sum of the numbers that do returned.
func (s *Store) eachDead(ctx context.Context, f gateway.DeadFilter,
	do func(*writer, []int64) (int, error)) (int, error) {
	return store.EachDead(f, func(f gateway.DeadFilter) (found []int64, page gateway.DeadPage, err error) {
		err = s.read(ctx, func(r *reader) (err error) {
			found, page, err = r.deadPage(f, s.bounds.Scan)
			return err
		})
		return found, page, err
	}, func(letters []int64) (int, error) {
		var did int
		err := s.write(ctx, 256*len(letters), func(w *writer) (err error) {
			did, err = do(w, letters)
			return err
		})
		if err != nil {
			return 0, err // the write may still change did
		}
		return did, nil
	})
}

// redriveAll queues dead letters again. It returns how many there were.
func (w *writer) redriveAll(letters []int64, times *store.Times) (int, error) {
	var again, messages []int64
	for _, seq := range letters {
		l, err := w.letter(seq)
		if err != nil {
			return 0, err
		}
		r, ok := l.Redrive(w.dir, times)
		if l.Message == 0 || !ok {
			continue
		}
		if err := w.redrive(&l, &r, times.Now()); err != nil {
			return 0, err
		}
		again = append(again, seq)
		if !slices.Contains(messages, l.Message) {
			messages = append(messages, l.Message)
		}
	}
	for _, message := range messages {
		if err := w.withdraw(message, again); err != nil {
			return 0, err
		}
	}
	return len(again), nil
}

// letter reads the part of a dead letter that redrive needs. Message is 0 where the
// delivery is no longer a dead letter.
func (w *writer) letter(seq int64) (l store.LetterRow, err error) {
	err = w.query(`SELECT d.message, d.state, d.agent, d.address, m.received, length(m.body), m.uuid, m.sender_agent, d.further, m.sender, d.pushed
			FROM delivery d JOIN message m ON m.id = d.message WHERE d.seq = ? AND d.dead IS NOT NULL AND m.body IS NOT NULL`, func(s *sqlite3.Stmt) error {
		l = store.LetterRow{
			DeliveryRow: store.DeliveryRow{Seq: seq, State: gateway.State(s.ColumnInt64(1)),
				Agent: gateway.AgentID(s.ColumnInt64(2)), Address: s.ColumnText(3), Further: s.ColumnBool(8),
				Pushed: s.ColumnBool(10)},
			Message: s.ColumnInt64(0), Received: s.ColumnInt64(4), Size: s.ColumnInt(5), UUID: s.ColumnBlob(6, nil),
			Sender: gateway.AgentID(s.ColumnInt64(7)), From: s.ColumnText(9),
		}
		return nil
	}, seq)
	return l, err
}

// redrive queues one dead letter again.
func (w *writer) redrive(l *store.LetterRow, r *store.Redriven, now int64) error {
	if r.Inbox {
		return w.putBack(l, r, now)
	}
	job, err := w.joinJob(l.Message, r.Destination, store.FromMicros(now))
	if err == nil && job == 0 {
		job, err = w.insertJob(l.Message, r.Destination, r.Flow, store.FromMicros(now), l.Size, "")
	}
	for i := 0; err == nil && i < len(r.Names); i++ {
		err = w.name(alias{agent: l.Sender, variant: []byte{}, message: l.Message}, string(r.Names[i]))
	}
	if err == nil && r.JobAsNew != 0 {
		_, err = w.exec(`UPDATE job SET redriven = coalesce(redriven, ?) WHERE id = ?`, r.JobAsNew, int64(job))
	}
	if err != nil {
		return err
	}
	_,
		err = w.exec(`UPDATE delivery SET state = ?, changed = ?, job = ?, attempts = NULL, code = NULL, reason = NULL, first_try = NULL,
			last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1, redriven = coalesce(?, redriven) WHERE seq = ?`,
		int64(r.State), now, int64(job), optional(r.AsNew), l.Seq)
	return err
}

// putBack puts a dead letter back into the inbox in which it was, after all entries that
// readers have seen.
func (w *writer) putBack(l *store.LetterRow, r *store.Redriven, now int64) error {
	_, err := w.exec(`UPDATE delivery SET seq = ?1, place = coalesce(place, seq), state = ?2, changed = ?3, delivered = NULL, read = NULL,
			refused = NULL, leases = NULL, hidden = NULL, taken = NULL, token = NULL, holder = NULL, code = NULL, reason = NULL,
			first_try = NULL, last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1 WHERE seq = ?4`,
		w.next.delivery, int64(r.State), now, l.Seq)
	w.rings = append(w.rings, store.Entry{Agent: l.Agent, Seq: w.next.delivery})
	w.next.delivery++
	return err
}

// withdraw removes deliveries that are redriven from the reports of their message.
func (w *writer) withdraw(message int64, again []int64) error {
	var reports []store.ReportJob
	err := w.query(`SELECT id, payload FROM job INDEXED BY job_message WHERE message = ? AND destination = ?`,
		func(s *sqlite3.Stmt) error {
			reports = append(reports, store.ReportJob{ID: s.ColumnInt64(0), Payload: s.ColumnText(1)})
			return nil
		}, message, string(gateway.Reports))
	gone, changed := store.Withdraw(reports, again)
	for i := 0; err == nil && i < len(gone); i++ {
		_, err = w.exec(`DELETE FROM job WHERE id = ?`, gone[i])
	}
	for i := 0; err == nil && i < len(changed); i++ {
		_, err = w.exec(`UPDATE job SET payload = ? WHERE id = ?`, changed[i].Payload, changed[i].ID)
	}
	return err
}

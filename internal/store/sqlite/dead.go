package sqlite

import (
	"context"
	"encoding/json"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// deadStep is how many dead letters one transaction changes. Other writes wait for it.
const deadStep = 256

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
	page.Next, page.HasMore, page.Incomplete = gateway.DeliveryID(pager.Next), pager.HasMore, pager.Incomplete
	return ids, page, err
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
	return s.eachDead(ctx, f, func(w *writer, seq int64) (bool, error) { return w.redrive(seq, &times) })
}

// PurgeDead removes letters from the list of dead letters.
func (s *Store) PurgeDead(ctx context.Context, f gateway.DeadFilter) (int, error) {
	return s.eachDead(ctx, f, func(w *writer, seq int64) (bool, error) {
		n, err := w.exec(`UPDATE delivery SET dead = NULL WHERE seq = ? AND dead IS NOT NULL`, seq)
		return n == 1, err
	})
}

// eachDead calls do for every dead letter that matches, in transactions of bounded
// size. It returns for how many do returned true.
func (s *Store) eachDead(ctx context.Context, f gateway.DeadFilter,
	do func(*writer, int64) (bool, error)) (done int, err error) {
	for rest := f.Limit; ; {
		if f.Limit = deadStep; rest > 0 {
			f.Limit = min(rest, deadStep)
		}
		var found []int64
		var page gateway.DeadPage
		err := s.read(ctx, func(r *reader) (err error) {
			found, page, err = r.deadPage(f, s.bounds.Scan)
			return err
		})
		if err != nil || len(found) == 0 && !page.HasMore {
			return done, err
		}
		if f.After = page.Next; len(found) == 0 {
			continue
		}
		var did int
		err = s.write(ctx, 256*len(found), func(w *writer) error {
			did = 0
			for _, seq := range found {
				was, err := do(w, seq)
				if err != nil {
					return err
				}
				did += int(store.Bit(was))
			}
			return nil
		})
		if err != nil {
			return done, err // the write may still change did
		}
		done += did
		if rest -= len(found); rest == 0 || !page.HasMore {
			return done, nil
		}
	}
}

// deadDelivery is the part of a dead letter that redrive needs.
type deadDelivery struct {
	message     int64
	state       gateway.State
	destination gateway.Destination
	received    time.Time
	size        int
	id          amtp.MessageID
	sender      gateway.AgentID
	flow        gateway.Flow
	row         store.DeliveryRow // the columns from which its ids are computed
}

// redrive queues one dead letter again. It is false when the delivery is no longer a
// dead letter.
func (w *writer) redrive(seq int64, times *store.Times) (bool, error) {
	now := store.FromMicros(times.Now())
	var l deadDelivery
	err := w.query(`SELECT d.message, d.state, d.agent, d.address, m.received, length(m.body), m.uuid, m.sender_agent, d.further, m.sender
			FROM delivery d JOIN message m ON m.id = d.message WHERE d.seq = ? AND d.dead IS NOT NULL AND m.body IS NOT NULL`, func(s *sqlite3.Stmt) error {
		l = deadDelivery{message: s.ColumnInt64(0), state: gateway.State(s.ColumnInt64(1)),
			received: store.FromMicros(s.ColumnInt64(4)), size: s.ColumnInt(5),
			id: store.MessageID(s.ColumnRawBlob(6)), sender: gateway.AgentID(s.ColumnInt64(7)),
			flow: store.FlowOf(gateway.AgentID(s.ColumnInt64(7)), s.ColumnText(9)),
			row: store.DeliveryRow{Seq: seq, Agent: gateway.AgentID(s.ColumnInt64(2)), Address: s.ColumnText(3),
				Further: s.ColumnBool(8)}}
		l.destination = l.row.Destination()
		return nil
	}, seq)
	if err != nil || l.message == 0 {
		return false, err
	}
	state, err := gateway.Next(l.state, gateway.Redrive)
	if err != nil {
		return false, nil // its state is not a failure, though the row says that it is dead
	}
	job, err := w.joinJob(l.message, l.destination, now)
	if err == nil && job == 0 {
		job, err = w.insertJob(l.message, l.destination, l.flow, now, l.size, "")
	}
	if err == nil {
		err = w.redriveAsNew(&l, job, times)
	}
	if err != nil {
		return false, err
	}
	_,
		err = w.exec(`UPDATE delivery SET state = ?, changed = ?, job = ?, attempts = NULL, code = NULL, reason = NULL, first_try = NULL,
			last_try = NULL, dead = NULL, generation = coalesce(generation, 0) + 1 WHERE seq = ?`,
		int64(state), store.Micros(now), int64(job), seq)
	if err != nil {
		return true, err
	}
	return true, w.withdraw(l.message, seq)
}

// withdraw takes a delivery that is tried again out of the report of its failure that
// was not made yet.
func (w *writer) withdraw(message, seq int64) error {
	reports := make(map[gateway.JobID]string)
	err := w.query(`SELECT id, payload FROM job INDEXED BY job_message WHERE message = ? AND destination = ?`,
		func(s *sqlite3.Stmt) error {
			if rest, changed := store.Withdraw(s.ColumnText(1), seq); changed {
				reports[gateway.JobID(s.ColumnInt64(0))] = rest
			}
			return nil
		}, message, string(gateway.Reports))
	for id, rest := range reports {
		switch {
		case err != nil:
		case rest == "":
			_, err = w.exec(`DELETE FROM job WHERE id = ?`, int64(id))
		default:
			_, err = w.exec(`UPDATE job SET payload = ? WHERE id = ?`, rest, int64(id))
		}
	}
	return err
}

// redriveAsNew gives a message the id under which other gateways receive it, if they
// may have forgotten the message, now or later.
func (w *writer) redriveAsNew(l *deadDelivery, job gateway.JobID, times *store.Times) error {
	d, now := l.row.Delivery(w.dir), store.FromMicros(times.Now())
	late := now.Sub(times.At(store.Micros(l.received), l.message)) >= gateway.Forgotten
	if d.Agent == 0 && d.Damage == "" {
		d.Redriven = gateway.AsNew(l.received, now)
		if err := w.nameAbroad(l.message, l.sender, l.id, &d); err != nil {
			return err
		}
	}
	if !late {
		return nil
	}
	if d.Agent == 0 {
		if _, err := w.exec(`UPDATE delivery SET redriven = ? WHERE seq = ?`, store.Micros(now),
			l.row.Seq); err != nil {
			return err
		}
	}
	return w.redriven(job, store.Micros(now))
}

func (w *writer) redriven(job gateway.JobID, now int64) error {
	_, err := w.exec(`UPDATE job SET redriven = coalesce(redriven, ?) WHERE id = ?`, now, int64(job))
	return err
}

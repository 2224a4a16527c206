package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// jobColumns are the columns that scanJob reads, of a job j and its message m.
const jobColumns = `j.id, j.destination, j.state, j.fence, j.attempts, j.begun, j.first_try, j.last_try, j.due, j.lease, j.rekeys,
	j.redriven, j.size, j.code, j.reason, j.since, j.same, m.uuid, m.class, m.sender_agent, m.id, m.sender, j.troubles, j.payload`

func scanJob(s *sqlite3.Stmt) store.QueuedJob {
	at := func(column int) time.Time { return store.FromMicros(s.ColumnInt64(column)) }
	return store.QueuedJob{Row: s.ColumnInt64(20), Payload: s.ColumnText(23), Job: gateway.Job{
		ID:          gateway.JobID(s.ColumnInt64(0)),
		Destination: gateway.Destination(s.ColumnText(1)),
		State:       gateway.State(s.ColumnInt64(2)),
		Fence:       s.ColumnInt64(3),
		Attempts:    s.ColumnInt(4),
		Begun:       at(5), FirstTry: at(6), LastTry: at(7), Due: at(8), Lease: at(9),
		Rekeys:      s.ColumnInt(10),
		Redriven:    at(11),
		Size:        s.ColumnInt(12),
		Code:        amtp.Code(s.ColumnText(13)),
		Reason:      s.ColumnText(14),
		Since:       at(15),
		Same:        s.ColumnInt(16),
		Troubles:    s.ColumnText(22),
		Message:     store.MessageID(s.ColumnRawBlob(17)),
		Class:       gateway.Class(s.ColumnInt64(18)),
		SenderAgent: gateway.AgentID(s.ColumnInt64(19)),
		Flow:        store.FlowOf(gateway.AgentID(s.ColumnInt64(19)), s.ColumnText(21)),
	}}
}

// oneJob reads the first job that the query finds. Its ID is 0 when there is none.
func (c *statements) oneJob(sql string, args ...any) (j store.QueuedJob, err error) {
	err = c.query(sql, func(s *sqlite3.Stmt) error {
		j = scanJob(s)
		return nil
	}, args...)
	return j, err
}

// job reads one job.
func (c *statements) job(id gateway.JobID) (store.QueuedJob, error) {
	return c.oneJob(`SELECT `+jobColumns+` FROM job j JOIN message m ON m.id = j.message WHERE j.id = ?`, int64(id))
}

// jobFor returns the message's job for the destination, due at once: its existing job,
// or a new one.
func (w *writer) jobFor(to *addressing, d gateway.Destination) (id gateway.JobID, err error) {
	if id = to.jobs[d]; id != 0 {
		return id, nil
	}
	if to.known {
		if id, err = w.joinJob(to.message, d, to.ReceivedAt); err != nil {
			return 0, err
		}
	}
	if id == 0 {
		if id, err = w.insertJob(to.message, d, to.Flow(), to.ReceivedAt, len(to.Message.Raw()), ""); err != nil {
			return 0, err
		}
	}
	if to.jobs == nil {
		to.jobs = make(map[gateway.Destination]gateway.JobID, 1)
	}
	to.jobs[d] = id
	return id, nil
}

// insertJob adds a job that is due at that time. A job for which no delivery waits has a payload.
func (w *writer) insertJob(message int64, d gateway.Destination, flow gateway.Flow, due time.Time,
	size int, payload string) (gateway.JobID, error) {
	at := store.Micros(due)
	_,
		err := w.exec(`INSERT INTO job (destination, message, state, changed, fence, attempts, due, begun, rekeys, size, same, turn, payload)
			VALUES (?, ?, ?, ?, 0, 0, ?, ?, 0, ?, 0, ?, ?)`,
		string(d), message, int64(gateway.Queued), at, at, at, size, int64(gateway.TurnOf(flow, 0)), optional(payload))
	w.work = append(w.work, d)
	return gateway.JobID(w.conn.LastInsertRowID()), err
}

// joinJob makes the message's existing job for the destination due now, and returns 0
// when there is none. A leased job has to be settled first; it then stays for the
// recipients that joined it.
func (w *writer) joinJob(message int64, d gateway.Destination, now time.Time) (id gateway.JobID, err error) {
	err = w.query(`SELECT id FROM job INDEXED BY job_message WHERE message = ? AND destination = ?`,
		func(s *sqlite3.Stmt) error {
			id = gateway.JobID(s.ColumnInt64(0))
			return nil
		}, message, string(d))
	if err != nil || id == 0 {
		return 0, err
	}
	w.work = append(w.work, d)
	_, err = w.exec(`UPDATE job SET due = min(due, ?1) WHERE id = ?2 AND (lease IS NULL OR lease <= ?1)`,
		store.Micros(now), int64(id))
	return id, err
}

// Parcel returns a leased job with its message.
func (s *Store) Parcel(ctx context.Context, job gateway.JobID, fence int64) (p gateway.Parcel, err error) {
	defer func() { s.correctParcel(&p) }()
	if p, ok := s.writer.prefetched.take(job, fence); ok {
		return p, nil
	}
	err = s.read(ctx, func(r *reader) error {
		j, err := r.job(job)
		if err != nil {
			return err
		}
		if !j.LeasedUnder(fence) {
			return gateway.ErrStale
		}
		p, err = r.parcel(s.dir, j, true)
		return err
	})
	return p, err
}

// parcel completes a job with its message and recipients.
func (c *statements) parcel(dir *store.Directory, j store.QueuedJob, body bool) (gateway.Parcel, error) {
	p := gateway.Parcel{Job: j.Job, At: j.At()}
	err := c.query(`SELECT `+envelopeColumns+`, CASE WHEN ?1 THEN m.body END, `+isFirst+
		`?3) FROM message m WHERE m.id = ?2`, func(s *sqlite3.Stmt) error {
		p.Envelope = scanEnvelope(dir, s, s.ColumnBool(afterEnvelope+1))
		p.Body = s.ColumnBlob(afterEnvelope, nil)
		return nil
	}, body, j.Row, j.Destination.Agent())
	if err != nil {
		return p, err
	}
	if body {
		if err := c.nameAnswered(dir, &p); err != nil {
			return p, err
		}
	}
	if !j.Destination.Kind().Decides() {
		rows, err := c.deliveryRows(`SELECT `+deliveryColumns+` FROM delivery d INDEXED BY delivery_message
				LEFT JOIN job j ON j.id = d.job WHERE d.message = ? ORDER BY d.seq`, j.Row)
		p.Recipients = store.Deliveries(j.Carried(rows), dir)
		return p, err
	}
	rows, err := c.deliveryRows(`SELECT `+deliveryColumns+` FROM delivery d INDEXED BY delivery_message
			LEFT JOIN job j ON j.id = d.job WHERE d.message = ? AND d.job = ? ORDER BY d.seq`, j.Row, int64(j.ID))
	p.Recipients = store.Deliveries(rows, dir)
	if err != nil || j.Destination.Agent() == 0 {
		return p, err
	}
	err = c.query(`SELECT thread FROM delivery d INDEXED BY delivery_message WHERE d.message = ? AND d.job = ?`,
		func(s *sqlite3.Stmt) error {
			p.Thread = store.Thread(s.ColumnText(0), p.Envelope.ID)
			return nil
		}, j.Row, int64(j.ID))
	return p, err
}

// nameAnswered notes, for a message that answers another, the id under which other
// gateways know the answered message. It is the id with which that message came, or
// else the id under which it was sent from here. Recipients that got it under other ids
// are noted as well. The id is "" when the sender does not have the message.
func (c *statements) nameAnswered(dir *store.Directory, p *gateway.Parcel) error {
	e := &p.Envelope
	if e.InReplyTo == "" || e.SenderAgent == 0 {
		return nil
	}
	row, err := c.find(gateway.Reader{Agent: e.SenderAgent}, e.InReplyTo)
	if err != nil || row == 0 {
		return err
	}
	var a store.AnsweredRow
	err = c.query(`SELECT uuid, given_id, sender_agent IS NOT NULL, sender FROM message WHERE id = ?`,
		func(s *sqlite3.Stmt) error {
			a = store.AnsweredRow{UUID: s.ColumnBlob(0, nil), GivenID: s.ColumnText(1), Local: s.ColumnBool(2),
				Sender: s.ColumnText(3)}
			return nil
		}, row)
	if err == nil && a.Local {
		err = c.query(`SELECT address, further, redriven FROM delivery INDEXED BY delivery_message
				WHERE message = ? AND agent = 0 AND (further IS NOT NULL OR redriven IS NOT NULL)`, func(s *sqlite3.Stmt) error {
			a.Copies = append(a.Copies, store.DeliveryRow{Address: s.ColumnText(0), Further: s.ColumnBool(1),
				Redriven: s.ColumnInt64(2)})
			return nil
		}, row)
	}
	if err == nil {
		p.InReplyTo, p.Answered = a.Answered(dir)
	}
	return err
}

// lapse ends the leases of a process that has ended: no other process has the database
// open. Their attempts count as failed, and the next ones follow.
func (w *writer) lapse() error {
	var leased []store.QueuedJob
	err := w.query(`SELECT `+jobColumns+
		` FROM job j INDEXED BY job_lease JOIN message m ON m.id = j.message WHERE j.lease IS NOT NULL`,
		func(s *sqlite3.Stmt) error {
			leased = append(leased, scanJob(s))
			return nil
		})
	if err != nil || len(leased) == 0 {
		return err
	}
	return w.transaction(func() error {
		for i := range leased {
			j := &leased[i]
			j.Lapse()
			_, err := w.exec(`UPDATE job SET state = ?, lease = NULL, due = ? WHERE id = ?`,
				int64(j.State), store.Micros(j.Due), int64(j.ID))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

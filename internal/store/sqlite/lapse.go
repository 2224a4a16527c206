package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Answerers returns the senders of the answers to a message of the agent.
func (s *Store) Answerers(ctx context.Context, by gateway.Acting, id amtp.MessageID) (list []amtp.Address, err error) {
	err = s.readBy(ctx, by, func(r *reader) error {
		list = nil
		thread, _, err := r.threadNamed(by.Agent, id)
		if err != nil {
			return err
		}
		match, err := r.inboxMatch(by, gateway.InboxFilter{InReplyTo: id})
		if err != nil {
			return err
		}
		answers := store.Answers{Match: match}
		err = r.query(`SELECT m.class, `+senderOf+`, m.in_reply_to FROM delivery d INDEXED BY delivery_thread
				JOIN message m ON m.id = d.message WHERE d.agent = ? AND d.thread = ? ORDER BY d.message LIMIT ?`,
			func(st *sqlite3.Stmt) error {
				answers.Look(gateway.Class(st.ColumnInt64(0)), st.ColumnText(1), st.ColumnText(2))
				return nil
			}, int64(by.Agent), string(thread), s.bounds.Scan)
		list = answers.Senders
		return err
	})
	return list, err
}

// EndMessage ends what a message still has before it.
func (s *Store) EndMessage(ctx context.Context, id amtp.MessageID, now time.Time) (open bool, err error) {
	err = s.writeBackground(ctx, 512, func(w *writer) error {
		open = false
		row, err := w.find(gateway.Reader{Everyone: true}, id)
		if err == nil && row == 0 {
			err = gateway.ErrNotFound
		}
		if err != nil {
			return err
		}
		boxed, err := w.numbers(`SELECT seq FROM delivery INDEXED BY delivery_message
				WHERE message = ? AND agent <> 0 AND pushed IS NULL AND state = ?`, row, int64(gateway.Delivered))
		if err != nil {
			return err
		}
		for _, seq := range boxed {
			if open, err = w.endBoxed(seq, store.Micros(now), open); err != nil {
				return err
			}
		}
		jobs, err := w.numbers(`SELECT id FROM job INDEXED BY job_message WHERE message = ? AND payload IS NULL`, row)
		for i := 0; err == nil && i < len(jobs); i++ {
			open, err = w.endJob(gateway.JobID(jobs[i]), now, open)
		}
		return err
	})
	return open, err
}

// endBoxed ends a delivery in an inbox. It returns true for one that a reader works on,
// and before otherwise.
func (w *writer) endBoxed(seq, now int64, before bool) (open bool, err error) {
	r, err := w.takeRow(seq)
	if err != nil {
		return before, err
	}
	d, open, err := r.End(now, w.dir)
	if err != nil || open {
		return true, err
	}
	return before, w.drop(&r, &d)
}

// endJob ends the deliveries that wait for a job. It returns true for a job under way,
// and before otherwise.
func (w *writer) endJob(id gateway.JobID, now time.Time, before bool) (open bool, err error) {
	j, err := w.idle(id, now)
	if errors.Is(err, gateway.ErrConflict) {
		return true, nil
	}
	if err != nil {
		return before, err
	}
	waiting, err := w.waiting(&j)
	if err != nil {
		return before, err
	}
	end := store.EndJob(j, waiting, now)
	return before, w.settle(&end, waiting)
}

package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// Answerers returns the senders of the answers to a message of the agent.
func (s *Store) Answerers(ctx context.Context, by gateway.Acting, id amtp.MessageID) (list []amtp.Address, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		c, list = c.by(by), nil
		thread, _, err := c.threadNamed(ctx, by.Agent, id)
		if err != nil {
			return err
		}
		match, err := c.inboxMatch(ctx, by.Agent, gateway.InboxFilter{InReplyTo: id})
		if err != nil {
			return err
		}
		answers := store.Answers{Match: match}
		var class int16
		var sender, reply []byte
		err = c.query(ctx, `SELECT m.class, coalesce(m.sender, (SELECT a.name || '@' || a.domain FROM agent a WHERE a.id = m.sender_agent)),
				m.in_reply_to FROM delivery d JOIN message m ON m.id = d.message
				WHERE d.agent = $1 AND d.agent <> 0 AND d.thread = $2 ORDER BY d.message LIMIT $3`,
			[]any{int64(by.Agent), []byte(thread), s.bounds.Scan}, []any{&class, &sender, &reply}, func() error {
				answers.Look(gateway.Class(class), string(sender), string(reply))
				return nil
			})
		list = answers.Senders
		return err
	})
	return list, err
}

// EndMessage ends what a message still has before it.
func (s *Store) EndMessage(ctx context.Context, id amtp.MessageID, now time.Time) (open bool, err error) {
	return write(ctx, s, func(ctx context.Context, t *tx) (open bool, err error) {
		row, err := t.find(ctx, gateway.Reader{Everyone: true}, id)
		if err == nil && row == 0 {
			err = gateway.ErrNotFound
		}
		if err != nil {
			return false, err
		}
		open, err = t.endBoxed(ctx, s, row, store.Micros(now))
		if err != nil {
			return false, err
		}
		found, err := t.jobs(ctx, jobsFrom+`WHERE j.message = ANY ($1::bigint[]) AND j.payload IS NULL ORDER BY j.id `+held,
			[]int64{row})
		if err != nil {
			return false, err
		}
		idle := slices.DeleteFunc(slices.Clone(found), func(j store.QueuedJob) bool { return j.Lease.After(now) })
		b := &pgx.Batch{}
		waiting := queueWaiting(b, column(idle, func(j *store.QueuedJob) int64 { return int64(j.ID) }))
		if err := t.SendBatch(ctx, b).Close(); err != nil {
			return false, err
		}
		ends := make([]store.Ending, len(idle))
		for i, j := range idle {
			ends[i] = store.EndJob(j, waiting[j.ID], now)
		}
		return open || len(idle) < len(found), t.settleJobs(ctx, ends, waiting)
	})
}

// endBoxed ends the deliveries of a message in inboxes. open says that a reader works on
// one of them.
func (t *tx) endBoxed(ctx context.Context, s *Store, message, now int64) (open bool, err error) {
	var rows []store.TakeRow
	err = t.takeRows(ctx, `SELECT d.* FROM delivery d WHERE d.message = $1 AND d.agent <> 0 AND NOT d.pushed AND d.state = 5
			ORDER BY d.seq FOR UPDATE OF d`, ``, []any{message}, func(row store.TakeRow) { rows = append(rows, row) })
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if err := s.know(ctx, rows[0].SenderAgent); err != nil {
		return false, err
	}
	var list []store.DroppedRow
	for i := range rows {
		d, held, err := rows[i].End(now, t.dir)
		if err != nil {
			return false, err
		}
		if open = open || held; !held {
			list = append(list, d)
		}
	}
	b := &pgx.Batch{}
	t.queueDropped(b, list)
	return open, t.SendBatch(ctx, b).Close()
}

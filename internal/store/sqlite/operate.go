package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// everybody is the caller for lists that only the operator reads.
const everybody = 0

// JobsPage lists jobs, oldest first.
func (s *Store) JobsPage(ctx context.Context, f gateway.JobFilter) (page gateway.JobPage, err error) {
	release, err := s.lists.Take(ctx, everybody)
	if err != nil {
		return page, err
	}
	defer release()
	sql, args := jobSelection(f)
	err = s.read(ctx, func(r *reader) error {
		var ids []int64
		pager := store.Pager{Limit: f.Limit, Scan: s.bounds.Scan, Next: int64(f.After)}
		err := r.scan(sql, func(st *sqlite3.Stmt) bool {
			if pager.Look(st.ColumnInt64(0), 0, store.InJobs(&f, gateway.State(st.ColumnInt64(1)))) {
				ids = append(ids, st.ColumnInt64(0))
			}
			return !pager.HasMore
		}, args...)
		page = pager.JobPage()
		if err != nil {
			return err
		}
		for _, id := range ids {
			j, err := r.job(gateway.JobID(id))
			if err != nil {
				return err
			}
			p, err := r.parcel(s.dir, j, false)
			if err != nil {
				return err
			}
			page.Jobs = append(page.Jobs, p)
		}
		return nil
	})
	return page, err
}

// jobSelection returns the query for the jobs that may match, oldest first, with their
// states. It uses the index that leaves out the most rows.
func jobSelection(f gateway.JobFilter) (sql string, args []any) {
	index, where := ``, ` WHERE id > ?`
	args = append(args, int64(f.After))
	if f.Destination != "" {
		index = ` INDEXED BY job_destination`
		where += ` AND destination = ?`
		args = append(args, string(f.Destination))
	}
	if f.State == gateway.Delivering { // there are few of them
		index = ` INDEXED BY job_lease`
		where += ` AND lease IS NOT NULL`
	}
	if f.Message != "" {
		u, _ := f.Message.UUID() // no message has the zero UUID
		index = ` INDEXED BY job_message`
		where += ` AND message = (SELECT id FROM message WHERE uuid = ?)`
		args = append(args, u[:])
	}
	return `SELECT id, state FROM job` + index + where + ` ORDER BY id`, args
}

// idle returns a job that exists and is not leased at now.
func (w *writer) idle(id gateway.JobID, now time.Time) (store.QueuedJob, error) {
	j, err := w.job(id)
	if err == nil {
		err = j.Idle(now)
	}
	return j, err
}

// MakeDue makes a job due.
func (s *Store) MakeDue(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.write(ctx, 64, func(w *writer) error {
		j, err := w.idle(job, now)
		if err != nil {
			return err
		}
		w.work = append(w.work, j.Destination)
		_, err = w.exec(`UPDATE job SET state = ?1, due = min(due, ?2), lease = NULL WHERE id = ?3`, int64(j.State),
			store.Micros(now), int64(job))
		return err
	})
}

// Cancel ends a job, and the deliveries that are not decided yet.
func (s *Store) Cancel(ctx context.Context, job gateway.JobID, now time.Time) error {
	return s.write(ctx, 256, func(w *writer) error {
		j, err := w.idle(job, now)
		if err != nil {
			return err
		}
		state, err := j.Cancelled()
		if err != nil {
			return err
		}
		if state != 0 {
			_,
				err = w.exec(`UPDATE delivery INDEXED BY delivery_message SET state = ?, changed = ?, attempts = ?, job = NULL WHERE message = ? AND job = ?`,
				int64(state), store.Micros(now), j.Attempts, j.Row, int64(job))
		}
		if err != nil {
			return err
		}
		_, err = w.exec(`DELETE FROM job WHERE id = ?`, int64(job))
		return err
	})
}

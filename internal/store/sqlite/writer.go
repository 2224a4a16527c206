package sqlite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// work is one write. It returns one of gateway's errors before its first change, or
// nil. Any other error is a fault.
type work func(*writer) error

// writer is the only connection that writes. One goroutine uses it.
type writer struct {
	statements
	dir     *store.Directory
	bells   *store.Bells
	keeper  *checkpointer
	reserve *reserve
	note    func(*writer) error // stores a jump of the clock, nil before the clock is known
	fail    func(error)         // tells the store why it can no longer be trusted
	broken  error               // the first I/O error; nothing is written after it
	guard   func() error        // returns why the commit cannot be relied on, else nil

	next          sequences // the numbers of the next rows
	prefetched    prefetched
	keepsPrefetch bool // set by work that does not change prefetched parcels
	pending
}

// pending are the effects that a transaction has after its commit.
type pending struct {
	rings        []store.Entry            // inbox entries whose bells ring
	work         []gateway.Destination    // destinations with a job that is due at once
	changes      []func(*store.Directory) // to the directory
	removed      []gateway.AgentID        // agents that no longer exist for the rest of the batch
	parcels      []gateway.Parcel         // of jobs that the batch leases
	staleParcels bool                     // prefetched parcels may be out of date
}

// sequences are the next numbers of message and delivery rows. They are in memory
// because only this goroutine inserts. A rollback resets them.
type sequences struct{ message, delivery int64 }

func newWriter(conn *sqlite3.Conn, fail func(error)) *writer {
	return &writer{statements: statements{conn: conn}, fail: fail, guard: func() error { return nil }}
}

// start completes the writer with the parts that were opened after it.
func (w *writer) start(dir *store.Directory, bells *store.Bells, keeper *checkpointer) error {
	w.dir, w.bells, w.keeper = dir, bells, keeper
	return w.query(`SELECT (SELECT coalesce(max(id), 0) FROM message), max((SELECT coalesce(max(seq), 0) FROM delivery),
			coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = '`+floorRow+`'), 0))`,
		func(s *sqlite3.Stmt) error {
			w.next = sequences{message: s.ColumnInt64(0) + 1, delivery: s.ColumnInt64(1) + 1}
			return nil
		})
}

// commit runs a batch. A defect in an item is an error of that item. A defect outside
// of the items leaves the connection in an unknown state: nothing is written after it.
func (w *writer) commit(batch []*store.Item[work]) {
	err := defect.Contain(func() error {
		w.commitBatch(batch)
		return nil
	})
	if err != nil {
		w.broken = err
		w.fail(err)
		finish(batch, gateway.ErrClosed)
	}
}

// commitBatch runs a batch in one transaction. When an item fails with a fault, the
// batch is rolled back and run again with a savepoint around each item. Then only that
// item fails.
func (w *writer) commitBatch(batch []*store.Item[work]) {
	if w.broken != nil {
		finish(batch, gateway.ErrClosed)
		return
	}
	if w.keeper.beforeBatch(w); w.broken != nil {
		finish(batch, gateway.ErrClosed)
		return
	}
	before := w.next
	err := w.transaction(func() error { return w.runAll(batch) })
	if err != nil && !isIO(err) && !errors.Is(err, sqlite3.BUSY) {
		w.next = before
		first := err
		err = w.transaction(func() error {
			if err := w.reserve.met(w, first); err != nil {
				return err
			}
			return w.runApart(batch)
		})
	}
	if err != nil {
		w.next = before
		finish(batch, w.fault(err))
		return
	}
	if w.broken = w.guard(); w.broken != nil {
		finish(batch, fmt.Errorf("%w: %w", gateway.ErrClosed, w.broken))
		return
	}
	w.published()
}

// signRow is the setting that distinguishes a database from every copy of it.
const signRow = "opened"

// sign writes a random word, which is in no other database, into the database file.
func (w *writer) sign() error {
	err := w.transaction(func() error {
		_,
			err := w.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
			signRow, rand.Text())
		return err
	})
	if err == nil {
		_, _, err = w.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	}
	if isFull(err) { // then a copy cannot be distinguished, and all else works
		return nil
	}
	return err
}

// transaction runs fn between BEGIN and COMMIT. After an error, all its changes are
// undone.
func (w *writer) transaction(fn func() error) error {
	w.pending = pending{}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := fn()
	if err == nil {
		_, err = w.exec("COMMIT")
	}
	if err == nil {
		return nil
	}
	w.pending = pending{}
	if w.conn.GetAutocommit() {
		return err // SQLite has rolled back by itself
	}
	_, rollback := w.exec("ROLLBACK")
	return errors.Join(err, rollback)
}

func (w *writer) runAll(batch []*store.Item[work]) error {
	for _, item := range batch {
		w.do(item)
		if item.Err != nil && !isRefusal(item.Err) {
			return item.Err
		}
	}
	return w.noted()
}

// noted stores a jump of the clock in the same transaction as the first write after it.
// So a crash never keeps only one of them.
func (w *writer) noted() error {
	if w.note == nil {
		return nil
	}
	return w.note(w)
}

// do does the work of one item.
func (w *writer) do(item *store.Item[work]) {
	w.keepsPrefetch = false
	if item.Err = defect.Contain(func() error { return item.Work(w) }); item.Err == nil && !w.keepsPrefetch {
		w.staleParcels = true
	}
}

// runApart runs the batch with a savepoint around every item.
func (w *writer) runApart(batch []*store.Item[work]) error {
	for _, item := range batch {
		if _, err := w.exec("SAVEPOINT item"); err != nil {
			return err
		}
		next, before := w.next, w.pending
		w.do(item)
		if item.Err != nil && !isRefusal(item.Err) {
			if isFull(item.Err) || isIO(item.Err) {
				return item.Err
			}
			w.next, w.pending = next, before
			if _, err := w.exec("ROLLBACK TO item"); err != nil {
				return err
			}
		}
		if _, err := w.exec("RELEASE item"); err != nil {
			return err
		}
	}
	return w.noted()
}

// lives reports whether the agent lives at this point of the batch.
func (w *writer) lives(id gateway.AgentID) bool {
	return w.dir.Lives(id) && !slices.Contains(w.removed, id)
}

// published applies the effects of a commit outside the database.
func (w *writer) published() {
	for _, change := range w.changes {
		change(w.dir)
	}
	if w.staleParcels {
		w.prefetched.clear()
	} else {
		w.prefetched.put(w.pending.parcels)
	}
	w.bells.Ring(w.rings)
	w.bells.RingWork(w.pending.work)
}

// fault returns the error that the items of a failed batch get. A full disk is
// temporary. After any other I/O error the state of the file is unknown, and a sync is
// never retried.
func (w *writer) fault(err error) error {
	switch {
	case isFull(err):
		return gateway.ErrFull
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("%w: another process holds the database", gateway.ErrBusy)
	case isIO(err):
		w.broken = err
		w.fail(err)
		return fmt.Errorf("%w: %w", gateway.ErrClosed, err)
	}
	return err
}

func finish(batch []*store.Item[work], err error) {
	for _, item := range batch {
		item.Err = err
	}
}

func isRefusal(err error) bool {
	var doubt needsCompare
	var change refusedChange
	return errors.As(err, &doubt) || errors.As(err, &change) || errors.Is(err, gateway.ErrNotFound) ||
		errors.Is(err, gateway.ErrExists) || errors.Is(err, gateway.ErrReused) ||
		errors.Is(err, gateway.ErrBusy) || errors.Is(err, gateway.ErrStale) || errors.Is(err, gateway.ErrConflict)
}

func isFull(err error) bool { return errors.Is(err, sqlite3.FULL) }

// isIO reports whether the state of the file is unknown after err.
func isIO(err error) bool {
	return errors.Is(err, sqlite3.IOERR) || errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) ||
		errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.PROTOCOL)
}

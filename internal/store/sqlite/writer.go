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

// work is one write. It returns one of gateway's errors before its first
// change, or nil; any other error is a fault.
type work func(*writer) error

// writer is the one connection that writes, used from one goroutine.
type writer struct {
	statements
	dir     *store.Directory
	bells   *store.Bells
	keeper  *checkpointer
	reserve *reserve
	note    func(*writer) error // stores a jump of the clock, nil before it is known
	fail    func(error)         // tells the store that it is no longer to be trusted, and why
	broken  error               // set by the first I/O error; nothing is written after it
	guard   func() error        // why what was committed is not to be answered for

	next          sequences // what the next rows are numbered
	prefetched    prefetched
	keepsPrefetch bool // set by work that changes nothing of prefetched parcels
	pending
}

// pending is what a transaction will have done when it is committed.
type pending struct {
	rings        []store.Entry            // whose bells ring
	work         []gateway.Destination    // for which something is due at once
	changes      []func(*store.Directory) // to the directory
	removed      []gateway.AgentID        // agents that are gone already for the rest of the batch
	parcels      []gateway.Parcel         // of what is leased
	staleParcels bool                     // prefetched parcels may be out of date
}

// sequences number the rows of message and delivery. They are kept in memory
// because only this goroutine inserts, and go back with a rollback.
type sequences struct{ message, delivery int64 }

func newWriter(conn *sqlite3.Conn, fail func(error)) *writer {
	return &writer{statements: statements{conn: conn}, fail: fail, guard: func() error { return nil }}
}

// start completes the writer with what was opened after it.
func (w *writer) start(dir *store.Directory, bells *store.Bells, keeper *checkpointer) error {
	w.dir, w.bells, w.keeper = dir, bells, keeper
	return w.query(`SELECT (SELECT coalesce(max(id), 0) FROM message), max((SELECT coalesce(max(seq), 0) FROM delivery),
			coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = '`+floorRow+`'), 0))`,
		func(s *sqlite3.Stmt) error {
			w.next = sequences{message: s.ColumnInt64(0) + 1, delivery: s.ColumnInt64(1) + 1}
			return nil
		})
}

// commit runs a batch. A defect in an item is an error of that item. One beside the
// items leaves the connection in a state that nobody knows: nothing is written
// after it.
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

// commitBatch runs a batch in one transaction. When an item fails by a fault of its
// own, the batch is rolled back and run again with a savepoint around each
// item, so that only that item fails.
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

// signRow is the setting by which a database differs from every copy of it.
const signRow = "opened"

// sign writes a word that stands nowhere else into the database itself.
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
	if isFull(err) { // then the copy is not told from it, and all else goes on
		return nil
	}
	return err
}

// transaction runs fn between BEGIN and COMMIT. After an error nothing of it
// remains.
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

// noted stores a jump of the clock with the first that is written after it: a
// crash must not leave the one without the other.
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

// runApart gives every item a savepoint of its own.
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

// lives reports whether the agent exists as far as the batch has come.
func (w *writer) lives(id gateway.AgentID) bool {
	return w.dir.Lives(id) && !slices.Contains(w.removed, id)
}

// published makes a commit visible outside the database.
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

// fault decides what a failed batch means. A full disk passes; after any other
// I/O error the state of the file is unknown, and a sync is never tried again.
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

// isIO reports whether err leaves the file in doubt.
func isIO(err error) bool {
	return errors.Is(err, sqlite3.IOERR) || errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB) ||
		errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.PROTOCOL)
}

package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/ncruces/go-sqlite3"
)

// Sizes of the WAL. When it is larger than walSoft, its bulk is copied into the
// database while the writer goes on. The writer itself copies the small rest, which was
// written during that copy, between two batches. Then the next batch restarts the WAL
// at its beginning, unless a reader needs its pages at that moment. Readers that
// overlap may always need some pages. Beyond walHard the writer therefore waits until
// the bulk is copied, and interrupts the running reads, which start again after it.
const (
	walSoft = 24 << 20 // bytes
	walHard = 64 << 20
)

// checkpointer keeps the WAL short. It has its own connection: a passive checkpoint
// blocks neither the writer nor a reader.
type checkpointer struct {
	conn *sqlite3.Conn
	wake chan struct{}
	stop chan struct{}

	soft, hard int // walSoft and walHard, or the values of a test

	fail    func(error)   // writer.fail
	quiesce func() func() // Store.quiesce

	mu     sync.Mutex
	idle   sync.Cond // signalled when busy ends
	ended  bool      // run has returned
	broken error     // the first I/O error, which is also the writer's
	copied bool      // the bulk is in the database; the writer copies the rest
	busy   bool      // the bulk is being copied
	pages  int       // length of the WAL after the last commit
	tried  int       // its length when the last copy could not empty it
}

func newCheckpointer(path string, w *writer, o Options) (*checkpointer, error) {
	conn, err := connect(path, readerCache)
	if err != nil {
		return nil, err
	}
	k := &checkpointer{conn: conn, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		fail: w.fail, soft: cmp.Or(o.walSoft, walSoft), hard: cmp.Or(o.walHard, walHard)}
	k.idle.L = &k.mu
	// A reader that held a snapshot for long made the journal long. SQLite truncates
	// the journal to this size when it restarts.
	if err := w.conn.Exec(fmt.Sprintf("PRAGMA journal_size_limit = %d", k.hard)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.conn.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		k.grown(pages)
		return nil
	})
	return k, nil
}

const pageSize = 8192

// grown is called with the length of the WAL, in pages, after every commit.
func (k *checkpointer) grown(pages int) {
	k.mu.Lock()
	k.pages = pages
	if pages < k.tried {
		k.tried = 0 // the WAL has restarted
	}
	start := (pages-k.tried)*pageSize > k.soft && !k.busy && !k.copied
	k.busy = k.busy || start
	k.mu.Unlock()
	if start {
		k.wake <- struct{}{}
	}
}

// run copies the bulk whenever grown asks for it, until close.
func (k *checkpointer) run() {
	for {
		select {
		case <-k.wake:
			err := defect.Contain(func() error {
				_, _, err := k.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
				return err
			})
			var met *defect.Error
			k.mu.Lock()
			// An error here loses no data: the WAL still has all of it. But a sync that
			// failed is not retried.
			k.busy, k.copied = false, err == nil
			if isIO(err) || errors.As(err, &met) {
				k.broken = err
				k.fail(err)
			}
			k.idle.Signal()
			k.mu.Unlock()
		case <-k.stop:
			k.mu.Lock()
			k.ended = true
			k.idle.Signal()
			k.mu.Unlock()
			return
		}
	}
}

// beforeBatch lets the writer copy the rest of the WAL, if it is due.
func (k *checkpointer) beforeBatch(w *writer) {
	k.mu.Lock()
	for k.pages*pageSize > k.hard && k.busy && !k.ended {
		k.idle.Wait()
	}
	// When another process needs the pages, interrupting our own reads does not help.
	// The copy is retried only after the WAL has grown by soft again.
	full := k.pages*pageSize > k.hard && (k.pages-k.tried)*pageSize > k.soft && !k.busy
	due := full || k.copied || w.reserve.short && k.pages*pageSize > shortWAL && !k.busy
	w.broken = k.broken
	k.mu.Unlock()
	if !due || w.broken != nil {
		return
	}
	if full {
		defer k.quiesce()()
	}
	left, done, err := w.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	if isIO(err) {
		w.broken = err
		w.fail(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.copied, k.tried = false, k.pages
	if err == nil && done >= left {
		k.pages, k.tried = 0, 0 // the next commit reports its real length
	}
}

func (k *checkpointer) close() { close(k.stop) }

// end stops all copying and writing, for the reason why.
func (k *checkpointer) end(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken == nil {
		k.broken = why
	}
}

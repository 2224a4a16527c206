package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/ncruces/go-sqlite3"
)

// Sizes of the WAL. Its bulk is copied into the database beside the writer once
// it is larger than walSoft. What came in during that copy, a small rest, the
// writer copies itself between two batches, so that the next batch starts the
// WAL anew if no reader needs its pages at that moment. Readers that overlap
// may always need some: beyond walHard the writer waits until the bulk is copied,
// and ends the reads that are under way, which begin again behind it.
const (
	walSoft = 24 << 20 // bytes
	walHard = 64 << 20
)

// checkpointer keeps the WAL short. It has a connection of its own: a passive
// checkpoint blocks neither the writer nor a reader.
type checkpointer struct {
	conn *sqlite3.Conn
	wake chan struct{}
	stop chan struct{}

	soft, hard int // walSoft and walHard, or what a test wants

	fail    func(error)   // as the writer's
	quiesce func() func() // Store.quiesce

	mu     sync.Mutex
	idle   sync.Cond // told when busy ends
	ended  bool      // run has returned
	broken error     // the first I/O error, which is the writer's too
	copied bool      // the bulk is in the database, the rest is the writer's
	busy   bool      // the bulk is being copied
	pages  int       // length of the WAL after the last commit
	tried  int       // its length when it was last copied in vain
}

func newCheckpointer(path string, w *writer, o Options) (*checkpointer, error) {
	conn, err := connect(path, readerCache)
	if err != nil {
		return nil, err
	}
	k := &checkpointer{conn: conn, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		fail: w.fail, soft: cmp.Or(o.walSoft, walSoft), hard: cmp.Or(o.walHard, walHard)}
	k.idle.L = &k.mu
	// Who held a snapshot for long made the journal long. It is cut when it begins anew.
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

// grown hears the length of the WAL, in pages, after every commit.
func (k *checkpointer) grown(pages int) {
	k.mu.Lock()
	k.pages = pages
	if pages < k.tried {
		k.tried = 0 // it began anew
	}
	start := (pages-k.tried)*pageSize > k.soft && !k.busy && !k.copied
	k.busy = k.busy || start
	k.mu.Unlock()
	if start {
		k.wake <- struct{}{}
	}
}

// run copies the bulk whenever it is asked to, until close.
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
			// An error here loses nothing: the WAL still has it all. But a
			// sync that failed is not tried again.
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

// beforeBatch lets the writer copy the rest of the WAL when it is time to.
func (k *checkpointer) beforeBatch(w *writer) {
	k.mu.Lock()
	for k.pages*pageSize > k.hard && k.busy && !k.ended {
		k.idle.Wait()
	}
	// Where another process needs the pages, ending our own reads is of no use: it is
	// tried again only after as much has come as is copied at once.
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
		k.pages, k.tried = 0, 0 // the next commit says how long it really is
	}
}

func (k *checkpointer) close() { close(k.stop) }

// end has nothing be copied or written any more, for the reason.
func (k *checkpointer) end(why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken == nil {
		k.broken = why
	}
}

// Package sqlite is gateway.Store on one SQLite file, the default.
//
// All writes go through one connection owned by one goroutine, which commits writes
// that wait together in one batch (store.Batcher). The journal is a WAL with
// synchronous=FULL: when a commit returns, its data is on the disk, and a crash at any
// moment keeps it. Every connection checks that setting, and the store does not open
// without it. After an I/O error the store no longer trusts itself: it fails every
// further write and closes Failed.
package sqlite

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/wallclock"
	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// FileName is the name of the database in its directory.
const FileName = "amtp.db"

// Options are where the store is and how it runs. Only Dir is required.
type Options struct {
	Dir     string          // an existing directory that only this process uses
	VFS     string          // the SQLite VFS to use; "" is the system's
	Log     *slog.Logger    // gets a line when the disk is full, and when it no longer is; nil means no log
	Readers int             // most reads at once; 0 is 4
	Reserve int64           // bytes reserved on the disk, which are used when it is full; 0 is 16 MiB
	Clock   wallclock.Clock // the machine's; the zero value is the system's

	// Watch makes the store check twice a second that its files are still the ones that
	// it opened. After a commit it checks in any case.
	Watch bool

	// For tests, in place of the constants, the system and the clock.
	walSoft, walHard int
	free             func(dir string) (bytes int64, known bool)
	now              func() time.Time
	bounds           store.Bounds
}

// Store is an open database.
type Store struct {
	path       string    // as SQLite opens it
	vfs        string    // its name
	written    *imprints // nil over a VFS other than the system's: then no file is watched
	files      watch
	taken      atomic.Pointer[taken]
	log        *slog.Logger
	dir        *store.Directory
	bells      *store.Bells
	batcher    *store.Batcher[work]
	writer     *writer
	readers    chan *reader
	opened     int // number of readers that were opened
	gate       gate
	lists      *store.Slots  // for calls that list messages
	searches   *store.Slots  // for calls that search
	searchTime time.Duration // gateway.SearchTime; tests have less
	boxes      *store.Slots  // for calls that read inboxes
	bounds     store.Bounds
	gone       store.AgentCursor // the last removed agent that the purge looked at
	closed     chan struct{}
	keeper     *checkpointer
	pause      pause
	search     *searchIndex
	clock      wallclock.Clock
	watch      *store.Watch
	expiry     store.Sweep
	peers      store.Sweep // of the domains, for the purge
	loops      sync.WaitGroup
	failed     chan struct{}
	failOnce   sync.Once
	failure    error // set before failed is closed
	closing    sync.Once
	closeErr   error
}

var (
	_ gateway.Store = (*Store)(nil)
)

// readerCount is how many reads run at once. It is more than the cores of a small
// machine, so that one long list does not delay an inbox.
const readerCount = 4

// listCount is how many of these reads may be lists of messages, which look at many
// rows. boxCount is how many may be of one agent's inbox, so that the inbox of another
// agent is always read at once.
const (
	listCount = 2
	boxCount  = 2
)

// readTime is how long one read may take. A snapshot that is held longer keeps the WAL
// from restarting at its beginning.
const readTime = 5 * time.Second

// readTries is how often a read starts when the writer interrupts it.
const readTries = 4

// Open creates or opens the database in o.Dir, brings its schema up to date and starts
// the writer. It refuses a database of a newer release.
func Open(o Options) (*Store, error) {
	name, written, err := useFilesystem(o.VFS)
	if err != nil {
		return nil, err
	}
	// SQLite does not follow a symbolic link to the file itself. The path to the
	// directory may contain any number of links.
	if o.Dir, err = filepath.EvalSymlinks(o.Dir); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	readers := cmp.Or(o.Readers, readerCount)
	s := &Store{
		bells: store.NewBells(), path: location(o.Dir, name), vfs: name, written: written, log: o.Log,
		lists: store.NewSlots(listCount, 1), searches: store.NewSlots(searchers, 1), searchTime: gateway.SearchTime,
		boxes:  store.NewSlots(readers, boxCount),
		bounds: store.DefaultBounds(), failed: make(chan struct{}), closed: make(chan struct{}),
		readers: make(chan *reader, readers),
	}
	s.gate.running = make(map[*reader]context.CancelCauseFunc)
	if o.bounds != (store.Bounds{}) {
		s.bounds = o.bounds
	}
	s.search = newSearchIndex(o)
	s.clock = o.Clock.Complete()
	s.watch = store.NewWatch(s.clock)
	if err := s.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("open the database in %s: %w", o.Dir, err), s.release())
	}
	s.loops.Go(s.batcher.Run)
	s.loops.Go(s.keeper.run)
	s.keep("activity", s.keepActivity)
	if o.Watch && s.written != nil {
		s.keep("watch", s.keepWatch)
	}
	return s, nil
}

// keep runs a loop until the store is closed, and restarts it after each defect.
func (s *Store) keep(name string, loop func()) {
	s.loops.Go(func() {
		_ = defect.Keep(func() error { loop(); return nil }, func(d *defect.Error) {
			s.log.Error("a loop of the store met a defect and was restarted", "part", name, "cause", d.Error(),
				"stack", string(d.Stack))
		})
	})
}

// Failed is closed when a write met an I/O error. No later write can be trusted, and
// the process should end.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Failure returns why the store failed, nil while it has not.
func (s *Store) Failure() error {
	select {
	case <-s.failed:
		return s.failure
	default:
		return nil
	}
}

func (s *Store) fail(why error) {
	s.failOnce.Do(func() {
		s.failure = why
		close(s.failed)
	})
}

// write runs fn in a batch of the writer and returns its error. fn has to return a
// refusal before its first change.
func (s *Store) write(ctx context.Context, size int, fn work) error {
	return s.batcher.Do(ctx, fn, size)
}

// writeBy is write for a caller with an acting key.
func (s *Store) writeBy(ctx context.Context, by gateway.Acting, size int, fn work) error {
	if err := s.dir.Ended(by); err != nil {
		return err
	}
	return s.write(ctx, size, fn)
}

// writeBackground is write for changes that come in large numbers and that no agent
// waits for: messages of other gateways, and results of attempts.
func (s *Store) writeBackground(ctx context.Context, size int, fn work) error {
	return s.batcher.DoBackground(ctx, fn, size)
}

// Close commits the work that waits, moves the journal into the database and closes all
// connections. Running reads end first.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.saveActivity(lastStep) // no other write waits for it now
		close(s.closed)
		s.batcher.Close()
		s.keeper.close()
		s.loops.Wait()
		s.writer.prefetched.clear()
		s.closeErr = errors.Join(s.search.end(), s.release())
	})
	return s.closeErr
}

// lastStep is how many agents and keys of the activity are stored at once when the
// store closes.
const lastStep = 8192

// keepActivity stores the activity of agents and keys at intervals, until Close.
func (s *Store) keepActivity() { store.KeepActivity(s.closed, s.flushActivity) }

// flushActivity stores the activity since the last call, in steps. Other writes run
// between the steps.
func (s *Store) flushActivity() { s.saveActivity(store.ActivityStep) }

func (s *Store) saveActivity(step int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.dir.SaveTouched(step, func(a *store.Activity) error {
		// A store that cannot write has already reported it.
		return s.writeBackground(ctx, 0, func(w *writer) error { return w.saveActivity(a) })
	})
}

// keepJournal makes closing the connections of a failed store leave the journal to the
// next process, which copies all of it again.
func (s *Store) keepJournal(conn *sqlite3.Conn) error {
	select {
	case <-s.failed:
		if s.taken.Load().saves() {
			return nil
		}
		_, err := conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
		return err
	default:
		return nil
	}
}

// release closes everything that open opened so far, and waits for the running reads.
func (s *Store) release() error {
	lost := s.taken.Load()
	errs := []error{s.beforeEnd(lost)}
	for range s.opened {
		r := <-s.readers
		errs = append(errs, s.keepJournal(r.conn), r.close())
	}
	if s.keeper != nil {
		errs = append(errs, s.keepJournal(s.keeper.conn), s.keeper.conn.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.keepJournal(s.writer.conn), s.writer.close())
	}
	s.afterEnd(lost)
	if s.written != nil {
		vfs.Unregister(s.vfs)
	}
	return errors.Join(append(errs, s.files.database.close())...)
}

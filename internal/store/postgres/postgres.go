// Package postgres is gateway.Store on PostgreSQL, for any number of processes that
// share one database and are one gateway.
//
// Concurrent writes go through batchers: a batch is one transaction of a few
// statements, each for all of its items. When a call returns, its commit is on the
// server's disk, and on its synchronous standbys if it has any. The store does not open
// on a server with weaker settings. Two replicas never store one message twice, because
// unique constraints decide that, and not earlier reads. When the result of a commit is
// not known, it is made again under the same ids. The constraints then show whether it
// was made before. While the database is unreachable, every call is gateway.ErrAway.
// The store continues by itself when the database is back.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/wallclock"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options are where the store is and how it runs. Only URL is required.
type Options struct {
	// postgres://… or keywords and values, as libpq knows them; with pgbouncer=true
	// behind a proxy that pools transactions
	URL string
	Log *slog.Logger // gets a line when the database is unreachable, and when it is back; nil means no log

	// Clock is the machine's; the zero value is the system's. Decisions use the
	// database's clock.
	Clock wallclock.Clock

	server func() time.Time // for tests: the database's clock, which is measured only when they ask for it
	deaf   bool             // for tests: it neither notifies other replicas nor listens to them
	bounds store.Bounds
}

// Store is the part of a gateway that one process runs on a database.
type Store struct {
	pool       *pgxpool.Pool
	reads      chan struct{} // bounded, so that writes always find a connection
	lists      *store.Slots  // for calls that list messages
	searches   *store.Slots  // for calls that search
	searchTime time.Duration // gateway.SearchTime; tests have less
	boxes      *store.Slots  // for calls that read inboxes
	bounds     store.Bounds
	gone       store.AgentCursor // the last removed agent that the purge looked at
	own        uuid.UUID         // this process, as the owner of leases and the author of notices
	log        *slog.Logger
	dir        *store.Directory
	bells      *store.Bells
	caught     catchUp
	clock      clock
	machine    wallclock.Clock
	shows      func() time.Time
	watch      *store.Watch
	expiry     store.Sweep
	peers      store.Sweep // of the domains, for the purge
	away       atomic.Bool
	paused     atomic.Int64 // since when, µs

	acceptances *store.Batcher[*acceptItem]
	marks       *store.Batcher[*markItem]
	settlements *store.Batcher[*settleItem]
	parcels     *store.Batcher[*parcelItem]
	notices     *noticeBoard
	heard       atomic.Bool            // the notices of the other replicas are received
	server      atomic.Pointer[string] // the server on which the database is, see sameServer
	highest     atomic.Int64           // the newest inbox sequence that was given out or shown here
	askedBoxes  atomic.Int64           // when the boxes were last polled, µs
	newestJob   int64                  // the newest job at the last poll without notices
	deadJobs    atomic.Int64           // dead rows of the queue left by this process since the last vacuum
	inFlight    sync.WaitGroup         // calls that Close waits for, even if their callers do not
	loops       sync.WaitGroup
	life        context.Context // ends with the store
	end         context.CancelFunc
	gate        sync.RWMutex // held shared to begin a call, and exclusively to close
	closed      bool
	closing     sync.Once
	closeErr    error
	failed      chan struct{}
}

var _ gateway.Store = (*Store)(nil)

// listCount is how many lists of messages, which look at many rows, are read at once.
// searchCount is how many searches run at once. boxCount is how many reads of one agent's
// inbox run at once.
const (
	listCount   = 2
	searchCount = 3
	boxCount    = 4
)

// Open connects to the database, brings its schema up to date and starts. It refuses a
// database that may lose commits, one of a newer release, and one whose clock is far
// from the machine's.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		own: uuid.New(), log: o.Log, dir: store.NewDirectory(), bells: store.NewBells(),
		lists: store.NewSlots(listCount, 1), searches: store.NewSlots(searchCount, 1), searchTime: gateway.SearchTime,
		bounds: store.DefaultBounds(), failed: make(chan struct{}),
		machine: o.Clock.Complete(), shows: o.server,
	}
	if o.bounds != (store.Bounds{}) {
		s.bounds = o.bounds
	}
	s.watch = store.NewWatch(s.machine)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.open(ctx, o); err != nil {
		s.end()
		if s.pool != nil {
			s.pool.Close()
		}
		return nil, fmt.Errorf("open the database: %w", err)
	}
	// One batch of each kind at a time: two would each be half as large, and each would
	// cost the database as much as one.
	s.loops.Go(s.acceptances.Run)
	s.loops.Go(s.marks.Run)
	s.loops.Go(s.settlements.Run)
	s.loops.Go(s.parcels.Run)
	s.keep("activity", s.keepActivity)
	s.keep("news", s.keepUp)
	s.keep("tidying", s.tidy)
	if !o.deaf {
		s.keep("listening", s.listen)
		s.keep("notices", s.notify)
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

func (s *Store) open(ctx context.Context, o Options) error {
	c, err := configure(o)
	if err != nil {
		return err
	}
	if err := migrate(ctx, c); err != nil {
		return err
	}
	c.pool.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := c.check(ctx, conn); err != nil {
			return err
		}
		return s.sameServer(ctx, conn)
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, c.pool); err != nil {
		return err
	}
	s.reads = make(chan struct{}, c.pool.MaxConns-reserved)
	s.boxes = store.NewSlots(int(c.pool.MaxConns-reserved), boxCount)
	s.notices = newNoticeBoard(c)
	if err := s.measureClock(ctx); err != nil {
		return err
	}
	if err := tooFar(s.clock.offset()); err != nil {
		return err
	}
	if err := errors.Join(s.catchUp(ctx), s.loadPause(ctx), s.openClock(ctx)); err != nil {
		return err
	}
	s.acceptances = store.NewBatcher(s.storeAcceptances)
	s.marks = store.NewBatcher(s.storeMarks)
	s.settlements = store.NewBatcher(s.storeSettlements)
	s.parcels = store.NewBatcher(s.storedParcels)
	return nil
}

// Failed is never closed: whatever happens to the database, a server that comes back
// has the valid data.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Failure returns nil.
func (s *Store) Failure() error { return nil }

// Close commits the work that waits, ends the leases of this process, and closes all
// connections. Running reads end first.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.flushActivity()
		s.gate.Lock()
		s.closed = true
		s.gate.Unlock()
		s.acceptances.Close()
		s.marks.Close()
		s.settlements.Close()
		s.parcels.Close()
		s.inFlight.Wait()
		s.end()
		s.loops.Wait()
		if err := s.lapse(); err != nil && !errors.Is(err, gateway.ErrAway) {
			s.closeErr = err // while the database is unreachable, the leases end by themselves
		}
		s.pool.Close()
	})
	return s.closeErr
}

// enter begins a call that Close waits for, until leave.
func (s *Store) enter() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return gateway.ErrClosed
	}
	s.inFlight.Add(1)
	return nil
}

func (s *Store) leave() { s.inFlight.Done() }

// Watch returns a channel that receives after a message entered the inbox, through any
// replica.
func (s *Store) Watch(agent gateway.AgentID) (<-chan struct{}, func()) { return s.bells.Watch(agent) }

// Work returns the bell of the queue.
func (s *Store) Work() gateway.WorkBell { return s.bells.Work() }

// Package postgres is gateway.Store on PostgreSQL, for any number of processes
// that share one database and are one gateway.
//
// What many write at once goes through batchers: a batch is one transaction of a
// few statements, each for all of its items. When a call returns, its commit is
// on the server's disk, and on its synchronous standbys where it has any; the
// store does not open where the server promises less. Two replicas never store
// one message twice, because unique constraints decide and not what either of
// them saw before. A commit of which nobody knows whether it was made is made
// again under the same ids, and the constraints tell. When the database is away
// every call is gateway.ErrAway, and the store goes on by itself when it is back.
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

// Options says where the store is and how it runs. Only URL is needed.
type Options struct {
	// postgres://… or keywords and values, as libpq knows them, and pgbouncer=true
	// behind a proxy that pools transactions
	URL string
	Log *slog.Logger // hears when the database is away and when it is back; nil is nobody

	// Clock is the machine's; the zero value is the system's. What is decided goes
	// by the database's.
	Clock wallclock.Clock

	server func() time.Time // for tests: what the database's clock shows, which is measured when they say
	deaf   bool             // for tests: it neither rings others nor hears them
	bounds store.Bounds
}

// Store is a gateway's share of a database.
type Store struct {
	pool    *pgxpool.Pool
	reads   chan struct{} // so many that write always find a connection
	lists   *store.Slots  // of who lists messages
	boxes   *store.Slots  // of who reads inboxes
	bounds  store.Bounds
	gone    store.AgentCursor // the last removed agent that the purge has looked at
	own     uuid.UUID         // this process, as the owner of leases and the author of notices
	log     *slog.Logger
	dir     *store.Directory
	bells   *store.Bells
	caught  catchUp
	clock   clock
	machine wallclock.Clock
	shows   func() time.Time
	watch   *store.Watch
	expiry  store.Sweep
	peers   store.Sweep // of the purge
	away    atomic.Bool
	paused  atomic.Int64 // since when, µs

	acceptances *store.Batcher[*acceptItem]
	marks       *store.Batcher[*markItem]
	settlements *store.Batcher[*settleItem]
	parcels     *store.Batcher[*parcelItem]
	notices     *noticeBoard
	heard       atomic.Bool            // the other replicas are listened to
	server      atomic.Pointer[string] // on which the database is, see sameServer
	highest     atomic.Int64           // the newest inbox sequence that was given or shown here
	newestJob   int64                  // when the queue was last looked at without hearing anything
	deadJobs    atomic.Int64           // rows of the queue that this process left dead since it was vacuumed
	inFlight    sync.WaitGroup         // writes that nobody may wait for any more
	loops       sync.WaitGroup
	life        context.Context // ends with the store
	end         context.CancelFunc
	gate        sync.RWMutex // held shared to begin something, and alone to close
	closed      bool
	closing     sync.Once
	closeErr    error
	failed      chan struct{}
}

var _ gateway.Store = (*Store)(nil)

// listCount is how many lists of messages are read at once, which look at many
// rows, and boxCount how many times the inbox of one agent.
const (
	listCount = 2
	boxCount  = 4
)

// Open connects to the database, brings its schema up to date and starts. It
// refuses a database that may lose what it committed, one of a newer release,
// and one whose clock is far from ours.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{
		own: uuid.New(), log: o.Log, dir: store.NewDirectory(), bells: store.NewBells(),
		lists: store.NewSlots(listCount, 1), bounds: store.DefaultBounds(), failed: make(chan struct{}),
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
	// One batch of a kind at a time: two would only be half as large, and cost the
	// database as much each.
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

// keep runs a loop until the store is closed, again after each defect.
func (s *Store) keep(name string, loop func()) {
	s.loops.Go(func() {
		_ = defect.Keep(func() error { loop(); return nil }, func(d *defect.Error) {
			s.log.Error("a part of the store met a defect and is begun again", "part", name, "cause", d.Error(),
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

// Failed is never closed: whatever happens to the database, a server that comes
// back is the one that holds the truth.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Failure returns nothing.
func (s *Store) Failure() error { return nil }

// Close commits what waits, gives back what this process has leased, and closes
// all connections. Reads that are under way end first.
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
			s.closeErr = err // when it is away the leases end by themselves
		}
		s.pool.Close()
	})
	return s.closeErr
}

// enter begins something that Close waits for, until leave.
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

// Watch returns a channel that receives after a message entered the inbox,
// through whichever replica.
func (s *Store) Watch(agent gateway.AgentID) (<-chan struct{}, func()) { return s.bells.Watch(agent) }

// Work returns the bell of the queue.
func (s *Store) Work() gateway.WorkBell { return s.bells.Work() }

// Package queue does what the gateway promised with its 202: it leases jobs,
// has a courier make an attempt at each, and settles what came of it.
//
// Everything that decides when a job is tried again is stored; what is kept here
// is only how each destination feels at the moment. A process that is killed
// at any line leaves jobs whose leases end, and they are tried again: the other
// side may see a message twice and recognises it by its id. A destination that
// does not answer costs one attempt now and then, and never delays another.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"golang.org/x/sync/semaphore"
)

// Store is what the queue needs of gateway.Store.
type Store interface {
	Work() gateway.WorkBell
	Waiting(ctx context.Context, after gateway.Destination, limit int) ([]gateway.Waiting, error)
	Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error)
	Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error)
	Settle(context.Context, gateway.Settlement) error
	JobsPage(context.Context, gateway.JobFilter) (gateway.JobPage, error)
	Hasten(ctx context.Context, job gateway.JobID, now time.Time) error
}

// Queue works on the jobs of one store. Run must be called once.
type Queue struct {
	store   Store
	courier gateway.Courier
	now     func() time.Time
	log     *slog.Logger
	lease   time.Duration

	lanes   lanes
	scanned gateway.Destination // up to which the store was asked, "" for all of it
	leased  int                 // jobs claimed and not yet settled
	memory  *semaphore.Weighted
	done    chan finished
	probes  chan gateway.Destination
	asked   chan chan<- []Lane
	crew    crew
	flying  sync.WaitGroup
}

// Options says how a queue works. All are needed.
type Options struct {
	Now   func() time.Time
	Log   *slog.Logger
	Lease time.Duration // for how long a job is leased, see attemptTime
}

// Bounds of what is leased at once.
const (
	maxLeased = 512
	maxMemory = 128 << 20 // bytes of messages in memory, all copies of them
	maxShare  = 32 << 20  // of these, for one destination: all copies of the largest message
	// pollTime is how often the store is asked for what no bell told of.
	pollTime = 10 * time.Second
	// graceTime is how long attempts may take once the queue is asked to stop.
	graceTime = 10 * time.Second
)

// attemptTime is how long an attempt may take. A lease is longer than any attempt:
// nobody else may begin while an answer can still come.
func (q *Queue) attemptTime() time.Duration { return q.lease / 4 * 3 }

// New returns a queue that Run starts.
func New(store Store, courier gateway.Courier, o Options) *Queue {
	return &Queue{
		store: store, courier: courier, now: o.Now, log: o.Log, lease: o.Lease,
		lanes: newLanes(), memory: semaphore.NewWeighted(maxMemory),
		done: make(chan finished, maxLeased), probes: make(chan gateway.Destination, 16),
		asked: make(chan chan<- []Lane), crew: newCrew(),
	}
}

// Probe has a destination tried at once, however it felt the last time.
func (q *Queue) Probe(d gateway.Destination) {
	select {
	case q.probes <- d:
	default: // somebody asked for many; the poll finds the rest
	}
}

// Run works until ctx ends. Then it claims nothing more and lets the attempts
// that are under way end, for a while; what is cut off is tried again by
// whoever runs next.
func (q *Queue) Run(ctx context.Context) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer q.crew.end()
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	wake := time.NewTimer(0)
	defer wake.Stop()
	bell := q.store.Work()
	q.scan(ctx)
	for {
		wake.Reset(q.dispatch(ctx, hard))
		select {
		case <-ctx.Done():
			late := time.AfterFunc(graceTime, cut)
			defer late.Stop()
			q.flying.Wait()
			return nil
		case <-bell.C():
			q.rang(ctx, bell)
		case f := <-q.done:
			q.finish(f)
			q.finishMore()
		case d := <-q.probes:
			q.lanes.reopen(d, q.now())
		case answer := <-q.asked:
			answer <- q.lanes.show()
		case <-poll.C:
			q.lanes.forget(q.now())
			q.scan(ctx)
		case <-wake.C:
		}
	}
}

// Lanes returns how the destinations feel, in the order of their names; nothing
// when ctx ends before the queue answers.
func (q *Queue) Lanes(ctx context.Context) []Lane {
	answer := make(chan []Lane, 1)
	select {
	case q.asked <- answer:
		return <-answer
	case <-ctx.Done():
		return nil
	}
}

// rang notes for which destinations there is something to do.
func (q *Queue) rang(ctx context.Context, bell gateway.WorkBell) {
	rang, all := bell.Take()
	now := q.now()
	for _, d := range rang {
		q.lanes.due(d, now, now)
	}
	if all {
		q.scan(ctx)
	}
}

// scan asks the store for destinations that have something to do: all of them,
// or, where there are very many, the next ones with every call.
func (q *Queue) scan(ctx context.Context) {
	const page, pages = 1000, 32
	for range pages {
		waiting, err := q.store.Waiting(ctx, q.scanned, page)
		if err != nil {
			q.complain(ctx, "the queue cannot be read", err)
			return
		}
		now := q.now()
		for _, w := range waiting {
			q.lanes.due(w.Destination, w.Due, now)
		}
		if len(waiting) < page {
			q.scanned = ""
			return
		}
		q.scanned = waiting[len(waiting)-1].Destination
	}
}

// dispatch claims what may be claimed and starts the attempts. It returns after
// how long there may be more to do, if nothing happens before.
func (q *Queue) dispatch(ctx, hard context.Context) time.Duration {
	for ctx.Err() == nil && q.leased < maxLeased {
		now := q.now()
		wanted := q.lanes.wanted(now, maxLeased-q.leased)
		if len(wanted) == 0 {
			return q.lanes.sleep(now)
		}
		claimed, err := q.store.Claim(hard, wanted, now, now.Add(q.lease))
		if err != nil {
			q.complain(ctx, "nothing can be claimed from the queue", err)
			q.lanes.refused(wanted, now.Add(retryStore))
			return retryStore
		}
		q.lanes.claimed(wanted, claimed, now)
		for _, c := range claimed {
			q.start(hard, c)
		}
		q.finishMore()
	}
	return pollTime // what ends an attempt wakes it before
}

func (q *Queue) start(ctx context.Context, c gateway.Claimed) {
	q.leased += len(c.Jobs)
	share := q.lanes.at(c.Destination, q.now()).share
	for _, job := range c.Jobs {
		q.flying.Add(1)
		q.crew.do(func() {
			defer q.flying.Done()
			q.done <- q.attempt(ctx, job, share)
		})
	}
}

// retryStore is how long the queue leaves a store alone that refused.
const retryStore = time.Second

// finishMore notes everything that has ended meanwhile.
func (q *Queue) finishMore() {
	for {
		select {
		case f := <-q.done:
			q.finish(f)
		default:
			return
		}
	}
}

func (q *Queue) finish(f finished) {
	q.leased--
	q.lanes.finish(f, q.now())
}

// complain logs what went wrong with the store, unless it was asked to stop or
// waits for its operator.
func (q *Queue) complain(ctx context.Context, what string, err error) {
	complain(ctx, q.log, what, err)
}

func complain(ctx context.Context, log *slog.Logger, what string, err error) {
	if ctx.Err() == nil && !errors.Is(err, gateway.ErrPaused) && !errors.Is(err, gateway.ErrClosed) {
		log.Warn(what, "cause", err)
	}
}

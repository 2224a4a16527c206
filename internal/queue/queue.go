// Package queue keeps the promise of the gateway's 202: it leases jobs, has a courier
// make an attempt at each, and settles the outcome.
//
// Everything that decides when a job is tried again is stored. The queue itself keeps
// only the health of each destination. A process that is killed at any line leaves jobs
// whose leases end, and they are tried again. The other side may then see a message
// twice and recognises it by its id.
//
// A destination that does not answer costs one attempt from time to time. It never
// delays a destination that answers by more than a second, and no sender delays another
// by more. New mail comes before mail that failed, senders take turns, and attempts
// that may get no answer have slots of their own. docs/decisions/031-turns.md has the
// reasons.
package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Store is what the queue needs of gateway.Store.
type Store interface {
	Work() gateway.WorkBell
	Waiting(ctx context.Context, after gateway.Destination, limit int) ([]gateway.Waiting, error)
	Claim(ctx context.Context, wanted []gateway.Claiming, now, lease time.Time) ([]gateway.Claimed, error)
	Parcel(ctx context.Context, job gateway.JobID, fence int64) (gateway.Parcel, error)
	Settle(context.Context, gateway.Settlement) error
	JobsPage(context.Context, gateway.JobFilter) (gateway.JobPage, error)
	MakeDue(ctx context.Context, job gateway.JobID, now time.Time) error
	Clock() gateway.ClockState
}

// Queue delivers the jobs of one store. Run must be called once.
type Queue struct {
	store   Store
	courier gateway.Courier
	now     func() time.Time
	log     *slog.Logger
	lease   time.Duration

	schedulers      map[gateway.Kind]*scheduler
	scanAfter       gateway.Destination  // the last destination that Waiting returned, "" to start again
	rescanFrom      *gateway.Destination // after which the next poll continues, because there was no room for more
	pagesLeft       int                  // how many pages the store is still asked for, -1 for all
	scanAgain       bool                 // the store is asked for all pages once more after these
	emptyClaims     int                  // claims in a row that leased nothing
	done            chan attemptResult
	probes          chan gateway.Destination
	heard           chan gateway.Destination
	backgroundSlots chan struct{} // one for each piece of work outside of the loop
	healthRequests  chan chan<- []gateway.DestinationHealth
	workers         workers
	clockJumps      int64 // of the clock, that the destinations know of
	lastTime        time.Time
	running         sync.WaitGroup
}

// Options configure a queue. All are required.
type Options struct {
	Now   func() time.Time
	Log   *slog.Logger
	Lease time.Duration // for how long a job is leased, see attemptTime
}

// How long things take.
const (
	// pollTime is how often the store is asked for jobs that no bell announced.
	pollTime = 10 * time.Second
	// graceTime is how long attempts may take once the queue is asked to stop.
	graceTime = 10 * time.Second
)

// attemptTime is how long an attempt at a small message may take. A lease is longer than
// any attempt, so that no other process begins one while an answer can still come.
func (q *Queue) attemptTime() time.Duration { return q.lease / 4 * 3 }

// New returns a queue that Run starts.
func New(store Store, courier gateway.Courier, o Options) *Queue {
	memory := newMemory()
	schedulers := make(map[gateway.Kind]*scheduler)
	for _, k := range gateway.Kinds() {
		schedulers[k] = newScheduler().sharing(memory)
	}
	return &Queue{
		// without the monotonic clock, because it is compared with stored times
		store: store, courier: courier, now: func() time.Time { return o.Now().Round(0) },
		log: o.Log, lease: o.Lease,
		schedulers: schedulers,
		done:       make(chan attemptResult, 3*maxLeased),
		probes:     make(chan gateway.Destination, 16), heard: make(chan gateway.Destination, 64),
		backgroundSlots: make(chan struct{}, 4),
		healthRequests:  make(chan chan<- []gateway.DestinationHealth), workers: newWorkers(),
	}
}

// Wake makes the queue try a destination at once, whatever its health.
func (q *Queue) Wake(d gateway.Destination) {
	select {
	case q.probes <- d:
	default: // many were asked for at once; the poll finds the rest
	}
}

// Run works until ctx ends. Then it claims no more jobs and gives the attempts under way
// some time to end. Jobs whose attempts are cut off are tried again by the process that
// runs next.
func (q *Queue) Run(ctx context.Context) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer q.workers.stop()
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	wake := time.NewTimer(0)
	defer wake.Stop()
	bell := q.store.Work()
	q.checkClock()
	q.pagesLeft = -1
	for ctx.Err() == nil {
		select {
		case <-bell.C(): // new jobs come before everything else
			q.takeBell(bell)
		default:
		}
		wait := q.dispatch(ctx, hard)
		if q.pagesLeft != 0 {
			wait = 0
		}
		wake.Reset(wait)
		select {
		case <-ctx.Done():
		case <-bell.C():
			q.takeBell(bell)
		case f := <-q.done:
			q.finish(ctx, &f)
			q.finishMore(ctx)
		case d := <-q.probes:
			q.schedulers[d.Kind()].reopen(d, q.now())
		case d := <-q.heard:
			q.hear(ctx, d)
		case answer := <-q.healthRequests:
			answer <- q.health()
		case <-poll.C:
			q.checkClock()
			q.poll()
		case <-wake.C:
			q.page(ctx)
		}
	}
	late := time.AfterFunc(graceTime, cut)
	defer late.Stop()
	q.running.Wait()
	return nil
}

// Destinations returns the health of the destinations in the order of their names. It
// returns none if ctx ends before the queue answers.
func (q *Queue) Destinations(ctx context.Context) []gateway.DestinationHealth {
	answer := make(chan []gateway.DestinationHealth, 1)
	select {
	case q.healthRequests <- answer:
		return <-answer
	case <-ctx.Done():
		return nil
	}
}

func (q *Queue) health() (list []gateway.DestinationHealth) {
	for _, s := range q.schedulers {
		list = s.health(list)
	}
	return list
}

// takeBell notes the destinations for which the bell rang.
func (q *Queue) takeBell(bell gateway.WorkBell) {
	rang, all := bell.Take()
	now := q.now()
	for _, d := range rang {
		q.schedulers[d.Kind()].arrived(d, now)
	}
	switch {
	case all && q.pagesLeft < 0:
		q.scanAgain = true
	case all:
		q.scanAfter, q.pagesLeft = "", -1
	}
}

// The store is asked for destinations with jobs one page at a time, so that the loop does
// other work between two pages.
const (
	pageSize  = 1000
	pollPages = 32 // with every poll; if there are more, the next poll continues
)

// poll starts to ask the store for jobs that no bell announced.
func (q *Queue) poll() {
	for _, s := range q.schedulers {
		s.forget(q.now())
	}
	if q.pagesLeft == 0 {
		q.pagesLeft = pollPages
	}
}

// page asks the store for one page of destinations with jobs.
func (q *Queue) page(ctx context.Context) {
	if q.pagesLeft == 0 {
		return
	}
	if q.pagesLeft > 0 {
		q.pagesLeft--
	}
	waiting, err := q.store.Waiting(ctx, q.scanAfter, pageSize)
	if err != nil {
		q.warn(ctx, "the queue cannot be read", err)
		q.pagesLeft = 0
		return
	}
	now := q.now()
	for _, w := range waiting {
		if !q.schedulers[w.Destination.Kind()].due(w, now) && q.rescanFrom == nil {
			q.rescanFrom = new(q.scanAfter)
		}
		q.scanAfter = w.Destination
	}
	if len(waiting) < pageSize {
		q.scanAfter, q.pagesLeft = "", 0
		if q.scanAgain {
			q.scanAgain, q.pagesLeft = false, -1
		}
	}
	if q.pagesLeft == 0 && q.rescanFrom != nil {
		q.scanAfter, q.rescanFrom = *q.rescanFrom, nil
	}
}

// dispatch claims once for every destination that may claim, and starts the attempts.
// It returns the time after which there may be more to do, if no event comes before. It
// does not repeat itself: where attempts fail as fast as they begin there is always
// more, and the loop must hear of new jobs.
func (q *Queue) dispatch(ctx, hard context.Context) time.Duration {
	now := q.now()
	claims, leased := 0, 0
	for _, s := range q.schedulers {
		wanted := s.wanted(now)
		if len(wanted) == 0 {
			continue
		}
		claims++
		list := make([]gateway.Claiming, len(wanted))
		for i := range wanted {
			list[i] = wanted[i].Claiming
		}
		claimed, err := q.store.Claim(hard, list, now, now.Add(q.lease))
		if err != nil {
			q.warn(ctx, "nothing can be claimed from the queue", err)
			s.claimFailed(wanted, now.Add(retryStore))
			continue
		}
		for _, f := range s.noteClaims(wanted, claimed, now) {
			leased++
			q.start(hard, f)
		}
	}
	q.finishMore(ctx)
	switch q.emptyClaims++; {
	case claims == 0:
		q.emptyClaims = 0
		return q.sleep() // after finishMore: each attempt that ended there may make room for a claim
	case leased > 0:
		q.emptyClaims = 0
	case q.emptyClaims >= maxEmptyClaims: // another claim would hardly do better now
		return emptyClaimPause
	}
	return 0
}

// sleep returns how long no scheduler has anything to claim.
func (q *Queue) sleep() time.Duration {
	wait, now := pollTime, q.now()
	for _, s := range q.schedulers {
		wait = min(wait, s.sleep(now))
	}
	return wait
}

func (q *Queue) start(ctx context.Context, f leasedJob) {
	q.running.Add(1)
	q.workers.do(func() {
		defer q.running.Done()
		q.done <- q.attemptContained(ctx, f)
	})
}

// After maxEmptyClaims claims in a row that leased no job, the queue waits for
// emptyClaimPause, or until the next event.
const (
	maxEmptyClaims  = 64
	emptyClaimPause = 100 * time.Millisecond
)

// retryStore is the pause after an error of the store.
const retryStore = time.Second

// finishMore handles all attempts that have ended meanwhile.
func (q *Queue) finishMore(ctx context.Context) {
	for {
		select {
		case f := <-q.done:
			q.finish(ctx, &f)
		default:
			return
		}
	}
}

func (q *Queue) finish(ctx context.Context, f *attemptResult) {
	q.schedulers[f.Destination.Kind()].finish(f, q.now())
	q.retryWaiting(ctx, f)
}

// warn logs an error of the store, unless the queue was asked to stop, or the store is
// closed or paused.
func (q *Queue) warn(ctx context.Context, what string, err error) {
	warn(ctx, q.log, what, err)
}

func warn(ctx context.Context, log *slog.Logger, what string, err error) {
	if ctx.Err() == nil && !errors.Is(err, gateway.ErrPaused) && !errors.Is(err, gateway.ErrClosed) {
		log.Warn(what, "cause", err)
	}
}

// Package queue does what the gateway promised with its 202: it leases jobs,
// has a courier make an attempt at each, and settles what came of it.
//
// Everything that decides when a job is tried again is stored; what is kept here
// is only how healthy each destination is now. A process that is killed
// at any line leaves jobs whose leases end, and they are tried again: the other
// side may see a message twice and recognises it by its id. A destination that
// does not answer costs one attempt now and then. It never delays one that does
// by more than a second, nor does a sender another, whatever waits: new mail comes
// before mail that failed, senders take turns, and what may not answer has slots
// of its own. docs/decisions/031-turns.md has the reasons.
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

// Queue works on the jobs of one store. Run must be called once.
type Queue struct {
	store   Store
	courier gateway.Courier
	now     func() time.Time
	log     *slog.Logger
	lease   time.Duration

	schedulers map[gateway.Kind]*scheduler
	scanned    gateway.Destination  // up to which the store was asked, "" for all of it
	missed     *gateway.Destination // behind which the next poll goes on, for there was no room for more
	pages      int                  // that it is still asked for, -1 for all of them
	whole      bool                 // all are asked for once more after these
	vain       int                  // claims in a row that leased nothing
	done       chan finished
	probes     chan gateway.Destination
	heard      chan gateway.Destination
	hands      chan struct{} // one for each piece of work beside the loop
	asked      chan chan<- []DestinationHealth
	crew       workers
	jumps      int64 // of the clock, that the destinations know of
	looked     time.Time
	flying     sync.WaitGroup
}

// Options says how a queue works. All are needed.
type Options struct {
	Now   func() time.Time
	Log   *slog.Logger
	Lease time.Duration // for how long a job is leased, see attemptTime
}

// How long things take.
const (
	// pollTime is how often the store is asked for what no bell told of.
	pollTime = 10 * time.Second
	// graceTime is how long attempts may take once the queue is asked to stop.
	graceTime = 10 * time.Second
)

// attemptTime is how long an attempt at a small message may take. A lease is longer
// than any attempt: nobody else may begin while an answer can still come.
func (q *Queue) attemptTime() time.Duration { return q.lease / 4 * 3 }

// New returns a queue that Run starts.
func New(store Store, courier gateway.Courier, o Options) *Queue {
	memory := newMemory()
	return &Queue{
		// compared with times that are stored
		store: store, courier: courier, now: func() time.Time { return o.Now().Round(0) },
		log: o.Log, lease: o.Lease,
		schedulers: map[gateway.Kind]*scheduler{
			gateway.KindRemote: newScheduler().sharing(memory), gateway.KindPush: newScheduler().sharing(memory),
			gateway.KindReport: newScheduler().sharing(memory),
		},
		done:   make(chan finished, 3*maxLeased),
		probes: make(chan gateway.Destination, 16), heard: make(chan gateway.Destination, 64),
		hands: make(chan struct{}, 4),
		asked: make(chan chan<- []DestinationHealth), crew: newWorkers(),
	}
}

// Wake has a destination tried at once, whatever its health.
func (q *Queue) Wake(d gateway.Destination) {
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
	q.follow()
	q.pages = -1
	for ctx.Err() == nil {
		select {
		case <-bell.C(): // what has come is heard of before everything else
			q.rang(bell)
		default:
		}
		wait := q.dispatch(ctx, hard)
		if q.pages != 0 {
			wait = 0
		}
		wake.Reset(wait)
		select {
		case <-ctx.Done():
		case <-bell.C():
			q.rang(bell)
		case f := <-q.done:
			q.finish(ctx, &f)
			q.finishMore(ctx)
		case d := <-q.probes:
			q.schedulers[d.Kind()].reopen(d, q.now())
		case d := <-q.heard:
			q.hear(ctx, d)
		case answer := <-q.asked:
			answer <- q.show()
		case <-poll.C:
			q.follow()
			q.poll()
		case <-wake.C:
			q.page(ctx)
		}
	}
	late := time.AfterFunc(graceTime, cut)
	defer late.Stop()
	q.flying.Wait()
	return nil
}

// Destinations returns the health of the destinations, in the order of their names; nothing
// when ctx ends before the queue answers.
func (q *Queue) Destinations(ctx context.Context) []DestinationHealth {
	answer := make(chan []DestinationHealth, 1)
	select {
	case q.asked <- answer:
		return <-answer
	case <-ctx.Done():
		return nil
	}
}

func (q *Queue) show() (list []DestinationHealth) {
	for _, s := range q.schedulers {
		list = s.show(list)
	}
	return list
}

// rang notes for which destinations there is something to do.
func (q *Queue) rang(bell gateway.WorkBell) {
	rang, all := bell.Take()
	now := q.now()
	for _, d := range rang {
		q.schedulers[d.Kind()].rang(d, now)
	}
	switch {
	case all && q.pages < 0:
		q.whole = true
	case all:
		q.scanned, q.pages = "", -1
	}
}

// The store is asked for destinations that have something to do a page at a time,
// and something else is done between two pages.
const (
	pageSize  = 1000
	pollPages = 32 // with every poll; where there are more, the next poll goes on
)

// poll has the store asked for what no bell told of.
func (q *Queue) poll() {
	for _, s := range q.schedulers {
		s.forget(q.now())
	}
	if q.pages == 0 {
		q.pages = pollPages
	}
}

// page asks for one page of what waits.
func (q *Queue) page(ctx context.Context) {
	if q.pages == 0 {
		return
	}
	if q.pages > 0 {
		q.pages--
	}
	waiting, err := q.store.Waiting(ctx, q.scanned, pageSize)
	if err != nil {
		q.warn(ctx, "the queue cannot be read", err)
		q.pages = 0
		return
	}
	now := q.now()
	for _, w := range waiting {
		if !q.schedulers[w.Destination.Kind()].due(w, now) && q.missed == nil {
			q.missed = new(q.scanned)
		}
		q.scanned = w.Destination
	}
	if len(waiting) < pageSize {
		q.scanned, q.pages = "", 0
		if q.whole {
			q.whole, q.pages = false, -1
		}
	}
	if q.pages == 0 && q.missed != nil {
		q.scanned, q.missed = *q.missed, nil
	}
}

// dispatch claims once for everything that may be claimed, and starts the attempts.
// It returns after how long there may be more to do, if nothing happens before. It
// does not go on by itself: where attempts fail as fast as they are begun there is
// always more, and what has just come is to be heard of.
func (q *Queue) dispatch(ctx, hard context.Context) time.Duration {
	now := q.now()
	wait := pollTime
	claims, leased := 0, 0
	for _, s := range q.schedulers {
		wanted := s.wanted(now)
		if len(wanted) == 0 {
			wait = min(wait, s.sleep(now))
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
			s.refused(wanted, now.Add(retryStore))
			continue
		}
		for _, f := range s.claimed(wanted, claimed, now) {
			leased++
			q.start(hard, f)
		}
	}
	q.finishMore(ctx)
	switch q.vain++; {
	case claims == 0:
		q.vain = 0
		return wait
	case leased > 0:
		q.vain = 0
	case q.vain >= mostVain: // another claim would hardly do better now
		return vainPause
	}
	return 0
}

func (q *Queue) start(ctx context.Context, f flight) {
	q.flying.Add(1)
	q.crew.do(func() {
		defer q.flying.Done()
		q.done <- q.contained(ctx, f)
	})
}

// After so many claims in a row that leased nothing the queue waits for vainPause, if
// nothing else happens.
const (
	mostVain  = 64
	vainPause = 100 * time.Millisecond
)

// retryStore is how long the queue leaves a store alone that refused.
const retryStore = time.Second

// finishMore notes everything that has ended meanwhile.
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

func (q *Queue) finish(ctx context.Context, f *finished) {
	q.schedulers[f.Destination.Kind()].finish(f, q.now())
	q.welcome(ctx, f)
}

// warn logs what went wrong with the store, unless it was asked to stop or
// waits for its operator.
func (q *Queue) warn(ctx context.Context, what string, err error) {
	warn(ctx, q.log, what, err)
}

func warn(ctx context.Context, log *slog.Logger, what string, err error) {
	if ctx.Err() == nil && !errors.Is(err, gateway.ErrPaused) && !errors.Is(err, gateway.ErrClosed) {
		log.Warn(what, "cause", err)
	}
}

package storetest

import (
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// takeMessages is the variable with the number of messages of takeAndStop. The figures of
// the project are of 100,000:
//
//	TAKE_MESSAGES=100000 go test -v ./internal/store/... -run '^TestStore$/^Take$/every_message'
const takeMessages = "TAKE_MESSAGES"

// takeAndStop lets eight readers work whose clock is the number of their steps. A reader
// stops at random while it holds a message, and comes back when its lease has ended.
func takeAndStop(w *world) {
	count := 60
	if text := os.Getenv(takeMessages); text != "" {
		n, err := strconv.Atoi(text)
		w.works(takeMessages, err)
		count = n
	}
	alice, bob := w.agent("alice"), w.agent("bob")
	f := &floor{world: w, bob: bob, leases: make(map[amtp.MessageID]map[int]span), acked: make(map[amtp.MessageID]int),
		count: count}
	together(8, func(i int) {
		for n := i; n < count; n += 8 {
			id := w.send(alice, bob)
			f.mu.Lock()
			f.leases[id] = make(map[int]span)
			f.mu.Unlock()
		}
	})
	seed, began := w.ticks.Load(), time.Now()
	together(8, func(i int) { f.work(rand.New(rand.NewPCG(uint64(seed), uint64(i)))) })
	took := time.Since(began)
	same(w, "messages", len(f.leases), count)
	given := 0
	for id, known := range f.leases {
		same(w, "acknowledgements of a message", f.acked[id], 1)
		given += len(known)
		for attempt, l := range known {
			if next, ok := known[attempt+1]; ok && next.from.Before(l.until) {
				w.Errorf("lease %d begins at %v, before lease %d ends at %v", attempt+1, next.from, attempt, l.until)
			}
		}
	}
	sameList(w, "inbox", w.inbox(bob), nil)
	w.Logf("8 readers handled %d messages under %d leases in %v: %d times a reader stopped, %d times a lease was refused "+
		"because it had ended, and no message was under two live leases", count, given, took.Round(time.Millisecond),
		f.stopped, f.refused)
}

// span is the time of a lease.
type span struct{ from, until time.Time }

// floor is the inbox at which the readers of takeAndStop work.
type floor struct {
	*world
	bob   person
	count int

	mu               sync.Mutex
	leases           map[amtp.MessageID]map[int]span // by attempt
	acked            map[amtp.MessageID]int
	stopped, refused int
}

// work is one reader, until every message is acknowledged.
func (f *floor) work(luck *rand.Rand) {
	for {
		f.mu.Lock()
		done, now := len(f.acked) == f.count, f.now()
		f.mu.Unlock()
		if done {
			return
		}
		for _, item := range f.tryTake(f.bob, 1+luck.IntN(3), now).Items {
			stops := luck.IntN(4) == 0
			f.mu.Lock()
			f.leases[item.ID][item.Lease.Attempt] = span{now, item.Lease.Until}
			if stops {
				f.stopped++
			}
			f.mu.Unlock()
			if stops {
				continue
			}
			at := now
			if luck.IntN(8) == 0 {
				at = item.Lease.Until // it was too slow
			}
			f.finish(item, at)
		}
	}
}

// finish acknowledges a message at that time.
func (f *floor) finish(item gateway.TakenItem, at time.Time) {
	_, err := f.store.AckTaken(f.ctx, gateway.Acting{Agent: f.bob.ID}, ticket(item), at)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.acked[item.ID]++
	case errors.Is(err, gateway.ErrStale):
		f.refused++
	default:
		f.Errorf("AckTaken = %v, want ErrStale or none", err)
	}
}

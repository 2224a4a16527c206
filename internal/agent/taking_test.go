package agent

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// bench is a store with one message, which may be taken from a time on.
type bench struct {
	gateway.Store
	bells *store.Bells

	mu    sync.Mutex
	from  time.Time // zero for never
	more  int       // calls that look at as many messages as they may
	calls int
}

func (b *bench) Watch(id gateway.AgentID) (<-chan struct{}, func()) { return b.bells.Watch(id) }

func (b *bench) Take(_ context.Context, _ gateway.Acting, _ gateway.Take, now time.Time) (gateway.Taken, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	switch {
	case b.more > 0:
		b.more--
		return gateway.Taken{More: true}, nil
	case b.from.IsZero():
		return gateway.Taken{}, nil
	case now.Before(b.from):
		return gateway.Taken{Again: b.from}, nil
	}
	b.from = time.Time{}
	return gateway.Taken{Items: make([]gateway.TakenItem, 1)}, nil
}

// put lets the message be taken from a time on, and rings.
func (b *bench) put(from time.Time) {
	b.mu.Lock()
	b.from = from
	b.mu.Unlock()
	b.bells.Ring([]store.Entry{{Agent: mine}})
}

func TestClaimWaits(t *testing.T) {
	const wait = 30 * time.Second
	for what, c := range map[string]struct {
		do    func(*bench, context.CancelFunc, chan struct{})
		found int
		after time.Duration
		calls int // at the most
	}{
		"a message that is there": {func(b *bench, _ context.CancelFunc,
			_ chan struct{}) {
			b.from = time.Now()
		}, 1, 0, 1},
		"no message": {func(*bench, context.CancelFunc, chan struct{}) {}, 0, wait, 1},
		"a lease that ends": {func(b *bench, _ context.CancelFunc, _ chan struct{}) {
			b.from = time.Now().Add(7 * time.Second)
		}, 1, 7 * time.Second, 2},
		"a message that enters": {func(b *bench, _ context.CancelFunc, _ chan struct{}) {
			time.AfterFunc(3*time.Second, func() { b.put(time.Now()) })
		}, 1, 3 * time.Second, 2},
		"a message that is given back with a delay": {func(b *bench, _ context.CancelFunc, _ chan struct{}) {
			time.AfterFunc(3*time.Second, func() { b.put(time.Now().Add(2 * time.Second)) })
		}, 1, 5 * time.Second, 3},
		"a filter that passes many": {func(b *bench, _ context.CancelFunc, _ chan struct{}) {
			b.more, b.from = 5, time.Now()
		}, 1, 0, 6},
		"a caller that goes away": {func(_ *bench, gone context.CancelFunc, _ chan struct{}) {
			time.AfterFunc(4*time.Second, gone)
		}, 0, 4 * time.Second, 1},
		"a gateway that stops": {func(_ *bench, _ context.CancelFunc, stopping chan struct{}) {
			time.AfterFunc(4*time.Second, func() { close(stopping) })
		}, 0, 4 * time.Second, 1},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, stopping := &bench{bells: store.NewBells()}, make(chan struct{})
				agents := &Agents{Store: b, Now: time.Now, Stopping: stopping}
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				c.do(b, gone, stopping)
				began := time.Now()
				items, err := agents.Claim(ctx, Mailbox{Acting: gateway.Acting{Agent: mine}}, Claiming{Wait: wait})
				if took := time.Since(began); err != nil || len(items) != c.found || took != c.after ||
					b.calls > c.calls {
					t.Errorf("Claim = %d messages, %v after %v and %d calls, want %d after %v and at most %d",
						len(items), err, took, b.calls, c.found, c.after, c.calls)
				}
			})
		})
	}
}

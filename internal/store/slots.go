package store

import (
	"context"
	"slices"
	"sync"
)

// Slots limits how much work runs at once, in all and for each caller. When all slots
// are taken, the waiting callers are served in turn, however many slots each of them
// wants. So one caller never delays another by more than one piece of work.
type Slots struct {
	mu    sync.Mutex
	free  int
	each  int
	taken map[int64]int
	waits map[int64][]chan struct{}
	order []int64 // callers that wait, the next one first
}

// NewSlots returns all slots, of which one caller may hold up to each.
func NewSlots(all, each int) *Slots {
	return &Slots{free: all, each: each, taken: make(map[int64]int), waits: make(map[int64][]chan struct{})}
}

// Take waits for a slot for the caller. release gives it back.
func (t *Slots) Take(ctx context.Context, caller int64) (release func(), err error) {
	t.mu.Lock()
	mine := make(chan struct{})
	t.waits[caller] = append(t.waits[caller], mine)
	if len(t.waits[caller]) == 1 {
		t.order = append(t.order, caller)
	}
	t.serve()
	t.mu.Unlock()
	release = sync.OnceFunc(func() { t.release(caller) })
	select {
	case <-mine:
		return release, nil
	case <-ctx.Done():
	}
	if !t.forget(caller, mine) { // the slot came at the same moment
		release()
	}
	return nil, ctx.Err()
}

// serve gives the free slots to waiting callers.
func (t *Slots) serve() {
	for t.free > 0 {
		// The callers skipped here hold slots up to their limit, so there are at most
		// as many as slots.
		i := slices.IndexFunc(t.order, func(caller int64) bool { return t.taken[caller] < t.each })
		if i < 0 {
			return
		}
		caller := t.order[i]
		close(t.waits[caller][0])
		t.waits[caller] = t.waits[caller][1:]
		t.taken[caller]++
		t.free--
		t.order = slices.Delete(t.order, i, i+1)
		if len(t.waits[caller]) > 0 {
			t.order = append(t.order, caller)
		} else {
			delete(t.waits, caller)
		}
	}
}

func (t *Slots) release(caller int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken[caller]--; t.taken[caller] == 0 {
		delete(t.taken, caller)
	}
	t.free++
	t.serve()
}

// forget takes a waiting call out of the queue. It is false when the call has its slot
// already.
func (t *Slots) forget(caller int64, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.waits[caller], mine)
	if i < 0 {
		return false
	}
	t.waits[caller] = slices.Delete(t.waits[caller], i, i+1)
	if len(t.waits[caller]) == 0 {
		delete(t.waits, caller)
		t.order = slices.DeleteFunc(t.order, func(c int64) bool { return c == caller })
	}
	return true
}

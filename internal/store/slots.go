package store

import (
	"context"
	"slices"
	"sync"
)

// Slots lets so many work at once, and of each caller so many. When all are
// taken the callers who wait are served in turn, however much each of them asks
// for: what one of them asks for never delays another by more than one piece of
// work.
type Slots struct {
	mu    sync.Mutex
	free  int
	each  int
	taken map[int64]int
	waits map[int64][]chan struct{}
	order []int64 // who waits, the next in front
}

// NewSlots returns slots for all at once, and each of one caller.
func NewSlots(all, each int) *Slots {
	return &Slots{free: all, each: each, taken: make(map[int64]int), waits: make(map[int64][]chan struct{})}
}

// Take waits for a slot of the caller. Release ends it.
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
	if !t.forget(caller, mine) { // it came at the same moment
		release()
	}
	return nil, ctx.Err()
}

// serve gives the slots that are free.
func (t *Slots) serve() {
	for t.free > 0 {
		// Those who have all that they may are at most as many as there are slots.
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

// forget takes a waiting one out of the queue, false when it is served.
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

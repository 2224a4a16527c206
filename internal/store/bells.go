package store

import (
	"maps"
	"slices"
	"sync"

	"github.com/amtp-go/amtp/internal/gateway"
)

// Bells wakes the readers that wait at an inbox, and the queue when a job is due.
type Bells struct {
	mu      sync.Mutex
	waiting map[gateway.AgentID]*watch
	work    workBell
}

// watch is the bells of one inbox, and the last entry for which they were rung.
type watch struct {
	bells []chan struct{}
	rang  int64
}

// Entry is a message that entered an inbox under a sequence number, or returned to it
// from a reader who had taken it: then Seq is 0.
type Entry struct {
	Agent gateway.AgentID
	Seq   int64
}

// NewBells returns bells without any waiting reader.
func NewBells() *Bells {
	return &Bells{
		waiting: make(map[gateway.AgentID]*watch),
		work:    workBell{c: make(chan struct{}, 1), rang: make(map[gateway.Destination]struct{})},
	}
}

// Watch returns a channel that receives after a message entered the inbox.
func (b *Bells) Watch(agent gateway.AgentID) (<-chan struct{}, func()) {
	bell := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[agent]
	if w == nil {
		w = new(watch)
		b.waiting[agent] = w
	}
	w.bells = append(w.bells, bell)
	return bell, func() { b.forget(agent, bell) }
}

func (b *Bells) forget(agent gateway.AgentID, bell chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[agent]
	if w == nil {
		return
	}
	w.bells = slices.DeleteFunc(w.bells, func(c chan struct{}) bool { return c == bell })
	if len(w.bells) == 0 {
		delete(b.waiting, agent)
	}
}

// Watched returns the agents whose inboxes have waiting readers.
func (b *Bells) Watched() []gateway.AgentID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.waiting))
}

// Ring wakes the readers that wait for the entries. A reader is not rung twice for an
// entry, nor for an earlier one: a reader that was rung for a later entry finds both. For
// a message that returned, every reader is rung.
func (b *Bells) Ring(entries []Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		w := b.waiting[e.Agent]
		if w == nil || e.Seq != 0 && w.rang >= e.Seq {
			continue
		}
		w.rang = max(w.rang, e.Seq)
		for _, bell := range w.bells {
			select {
			case bell <- struct{}{}:
			default:
			}
		}
	}
}

// maxRang is the most destinations that the bell of the queue notes. Beyond that it is
// quicker to look at all of them.
const maxRang = 1024

// workBell notes the destinations for which a job is due.
type workBell struct {
	c    chan struct{}
	mu   sync.Mutex
	rang map[gateway.Destination]struct{}
	all  bool
}

// Work returns the bell of the queue.
func (b *Bells) Work() gateway.WorkBell { return &b.work }

// RingWork notes that jobs are due for the destinations.
func (b *Bells) RingWork(due []gateway.Destination) { b.work.ring(due) }

// RingAll notes that the queue has to look at all destinations.
func (b *Bells) RingAll() { b.work.ringAll() }

// C receives when Take has something to return.
func (b *workBell) C() <-chan struct{} { return b.c }

// Take returns the destinations that were noted since the last call, in the order of
// their names.
func (b *workBell) Take() (rang []gateway.Destination, all bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rang, all = slices.Sorted(maps.Keys(b.rang)), b.all
	clear(b.rang)
	b.all = false
	return rang, all
}

func (b *workBell) ring(due []gateway.Destination) {
	if len(due) == 0 {
		return
	}
	b.mu.Lock()
	for _, d := range due {
		if b.all {
			break
		}
		if b.rang[d] = struct{}{}; len(b.rang) > maxRang {
			clear(b.rang)
			b.all = true
		}
	}
	b.mu.Unlock()
	select {
	case b.c <- struct{}{}:
	default:
	}
}

func (b *workBell) ringAll() {
	b.mu.Lock()
	clear(b.rang)
	b.all = true
	b.mu.Unlock()
	select {
	case b.c <- struct{}{}:
	default:
	}
}

package sqlite

import (
	"maps"
	"slices"
	"sync"

	"github.com/amtp-go/amtp/internal/gateway"
)

// bells wakes those who wait at an inbox, and who carries what is due.
type bells struct {
	mu      sync.Mutex
	waiting map[gateway.AgentID][]chan struct{}
	work    workBell
}

// Watch returns a channel that receives after a message entered the inbox.
func (s *Store) Watch(agent gateway.AgentID) (<-chan struct{}, func()) {
	bell := make(chan struct{}, 1)
	b := &s.bells
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(map[gateway.AgentID][]chan struct{})
	}
	b.waiting[agent] = append(b.waiting[agent], bell)
	return bell, func() { b.forget(agent, bell) }
}

func (b *bells) forget(agent gateway.AgentID, bell chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.waiting[agent]
	for i := range list {
		if list[i] == bell {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(b.waiting, agent)
		return
	}
	b.waiting[agent] = list
}

func (b *bells) ring(agent gateway.AgentID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, bell := range b.waiting[agent] {
		select {
		case bell <- struct{}{}:
		default:
		}
	}
}

// maxRang is how many destinations the bell of the queue notes. Beyond them it
// is quicker to ask for all.
const maxRang = 1024

// workBell notes for which destinations there is something to do.
type workBell struct {
	c    chan struct{}
	mu   sync.Mutex
	rang map[gateway.Destination]struct{}
	all  bool
}

// Work returns the bell of the queue.
func (s *Store) Work() gateway.WorkBell { return &s.bells.work }

// C receives after Take would return something.
func (b *workBell) C() <-chan struct{} { return b.c }

// Take returns what rang since the last call, in the order of the names.
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

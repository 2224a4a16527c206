package sqlite

import (
	"sync"

	"github.com/amtp-go/amtp/internal/gateway"
)

// bells wakes those who wait at an inbox.
type bells struct {
	mu      sync.Mutex
	waiting map[gateway.AgentID][]chan struct{}
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

package sqlite

import "github.com/amtp-go/amtp/internal/gateway"

// Watch returns a channel that receives after a message entered the inbox.
func (s *Store) Watch(agent gateway.AgentID) (<-chan struct{}, func()) { return s.bells.Watch(agent) }

// Work returns the bell of the queue.
func (s *Store) Work() gateway.WorkBell { return s.bells.Work() }

package held

import (
	"context"
	"runtime/debug"
	"time"
)

// Times and numbers of settling.
const (
	settleTime = 2 * time.Second // between two looks at the number of connections
	settleMany = 1000            // so many more connections since the last time are worth a collection
)

// Run returns memory to the system whenever many more requests wait than before, until
// ctx ends. What net/http held for them is free then, but the collector keeps it for a
// growth that a gateway with idle waiters does not have. A second collection halves the
// stacks that the first one found too large.
func (h *Connections) Run(ctx context.Context) error {
	again := time.NewTicker(settleTime)
	defer again.Stop()
	var s settling
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
		if s.worth(h.count()) {
			debug.FreeOSMemory()
			debug.FreeOSMemory()
		}
	}
}

func (h *Connections) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.all)
}

// settling is what the number of connections was.
type settling struct{ last, settled int }

// worth reports whether many connections have come since the last collection, and no
// more are coming.
func (s *settling) worth(now int) bool {
	grows := now > s.last+settleMany/10
	s.last = now
	s.settled = min(s.settled, now)
	if grows || now < s.settled+settleMany {
		return false
	}
	s.settled = now
	return true
}

package sqlite

import (
	"context"
	"errors"
	"sync"

	"github.com/amtp-go/amtp/internal/gateway"
)

// gate is in front of the reading connections. The writer closes it while no read may
// have a snapshot.
type gate struct {
	mu      sync.Mutex
	shut    chan struct{} // closed when reads may begin again; nil while they may
	running map[*reader]context.CancelCauseFunc
}

// errInterrupted is the cause with which the writer ends a read.
var errInterrupted = errors.New("the writer needs a moment without reads")

// begin notes that a read runs, until end. While the gate is closed it returns false,
// and a channel that is closed when the gate opens.
func (g *gate) begin(r *reader, interrupt context.CancelCauseFunc) (shut chan struct{}, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		return g.shut, false
	}
	g.running[r] = interrupt
	return nil, true
}

func (g *gate) end(r *reader) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, r)
}

// close interrupts the running reads, and lets no other begin before open.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = make(chan struct{})
	for _, interrupt := range g.running {
		interrupt(errInterrupted)
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

// read runs fn on one of the reading connections, in one snapshot. When the writer
// interrupts it, read runs fn again, which has to start from the beginning.
func (s *Store) read(ctx context.Context, fn func(*reader) error) error {
	for range readTries {
		err := s.readOnce(ctx, fn)
		if !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return gateway.ErrBusy // the read takes longer than the writer needs to fill the journal
}

// readBy is read for a caller with an acting key.
func (s *Store) readBy(ctx context.Context, by gateway.Acting, fn func(*reader) error) error {
	if err := s.dir.Ended(by); err != nil {
		return err
	}
	return s.read(ctx, fn)
}

func (s *Store) readOnce(ctx context.Context, fn func(*reader) error) error {
	for {
		select {
		case <-s.closed:
			return gateway.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		case r := <-s.readers:
			shut, err := s.readWith(ctx, r, fn)
			s.readers <- r
			if shut == nil {
				return err
			}
			select {
			case <-shut:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// readWith runs fn on a connection. When the gate is closed, it returns the channel to
// wait for instead.
func (s *Store) readWith(ctx context.Context, r *reader, fn func(*reader) error) (shut chan struct{}, err error) {
	limited, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	mine, interrupt := context.WithCancelCause(limited)
	defer interrupt(nil)
	shut, ok := s.gate.begin(r, interrupt)
	if !ok {
		return shut, nil
	}
	defer s.gate.end(r)
	return nil, r.snapshot(mine, fn)
}

// quiesce interrupts the running reads, which start again by themselves, and lets none
// begin before resume. So the writer does not wait for readers.
func (s *Store) quiesce() (resume func()) {
	s.gate.close()
	held := make([]*reader, 0, readerCount)
	for range s.opened {
		held = append(held, <-s.readers)
	}
	return func() {
		s.gate.open()
		for _, r := range held {
			s.readers <- r
		}
	}
}

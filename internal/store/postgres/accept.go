package postgres

import (
	"context"
	"errors"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// acceptItem is one acceptance in a batch.
type acceptItem struct {
	*store.Incoming
	out   gateway.Accepted
	tried bool // an earlier try may have been committed
	*plan
}

// plan is the result of one try for an acceptance.
type plan struct {
	fallback   bool                // it is not simply new, and is stored in its own transaction
	stored     bool                // the earlier try was committed
	recipients []gateway.Recipient // the recipients that live
	modes      map[gateway.AgentID]string
	threads    map[gateway.AgentID]string
	row        int64
}

// errFallback makes an item be stored in its own transaction instead of the batch's.
var errFallback = errors.New("not simply new")

// Accept stores a message or recognises it as a retry. A new message is stored with a
// batch. Any other is handled in its own transaction.
func (s *Store) Accept(ctx context.Context, a gateway.Acceptance) (gateway.Accepted, error) {
	if err := s.isPaused(ctx); err != nil {
		return gateway.Accepted{}, err
	}
	in, err := store.NewIncoming(a)
	if err != nil {
		return gateway.Accepted{}, err
	}
	s.watch.See(a.ReceivedAt)
	l := &acceptItem{Incoming: in}
	switch err := s.acceptances.Do(ctx, l, len(a.Message.Raw())+512); {
	case err == nil:
		return l.out, nil
	case !errors.Is(err, errFallback):
		return gateway.Accepted{}, err
	}
	for {
		out, err := write(ctx, s, func(ctx context.Context, t *tx) (gateway.Accepted,
			error) {
			t.conn = t.by(in.By)
			return t.accept(ctx, in)
		})
		if !errors.Is(err, errElsewhere) {
			return out, err
		}
		if err := s.catchUp(ctx); err != nil {
			return gateway.Accepted{}, err
		}
	}
}

// errElsewhere is the error when an agent was registered through another replica a
// moment ago, and this replica does not know it yet.
var errElsewhere = errors.New("an agent is not known here yet")

// storeAcceptances stores a batch. It tries again after a conflict with another
// transaction. It also tries again, under the same ids, when the result of a commit is
// not known.
func (s *Store) storeAcceptances(batch []*store.Item[*acceptItem]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	all := make([]*acceptItem, len(batch))
	for i, item := range batch {
		all[i] = item.Work
	}
	var err error
	for range tries {
		if err = s.noteJump(ctx); err == nil {
			err = s.borrow(ctx, func(c conn) error { return s.storeNew(ctx, c, all) })
		}
		var b broken
		if errors.As(err, &b) {
			for _, l := range all {
				l.tried = true
			}
			if s.pool.Ping(ctx) == nil {
				continue
			}
		}
		if !isConflict(err) {
			break
		}
	}
	fault := s.fault(err)
	for i, item := range batch {
		switch {
		case err == nil && !all[i].fallback:
		case err == nil, isConflict(err), !errors.Is(fault, gateway.ErrBusy) && !errors.Is(fault, gateway.ErrPaused):
			item.Err = errFallback // then an item that cannot be stored fails alone
		default:
			item.Err = fault
		}
	}
}

// storeNew stores the messages that are simply new, in one transaction of two round
// trips: one looks up what is stored already, and one writes everything.
func (s *Store) storeNew(ctx context.Context, c conn, all []*acceptItem) error {
	err := s.lookUp(ctx, c, all)
	if err == nil {
		m := s.planRows(all)
		if m.rings, err = c.insert(ctx, m); err == nil {
			s.dir.NoteWritten(m.contacts)
			s.dir.NoteMet(meetings(m.meetings))
			s.published(m.rings, m.jobs.destination)
			return nil
		}
	}
	return c.undo(ctx, err)
}

// planRows collects the rows of every new message.
func (s *Store) planRows(all []*acceptItem) *acceptRows {
	m := &acceptRows{}
	for _, l := range all {
		if l.fallback || l.stored {
			continue
		}
		id, given := l.Name(false)
		m.message(l.Incoming, l.row, id, given, l.threads[l.SenderAgent])
		if l.Key != "" {
			m.dedup.add(l.Dedup[:], l.row)
		}
		to := &addressing{Incoming: l.Incoming, row: l.row, id: store.MessageID(id[:]), modes: l.modes,
			threads: l.threads}
		for _, r := range l.recipients {
			m.deliver(s.dir, to, r)
		}
		l.out = gateway.Accepted{ID: to.id, Deliveries: to.before}
	}
	return m
}

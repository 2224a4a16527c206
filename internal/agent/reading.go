package agent

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Inbox returns a page of an inbox. When no message matches and wait is positive, it
// waits that long at the most for one.
func (s *Agents) Inbox(ctx context.Context, m Mailbox, f gateway.InboxFilter,
	wait time.Duration) (gateway.InboxPage, error) {
	if wait <= 0 {
		return s.Store.Inbox(ctx, m.Acting, f)
	}
	r := s.Read(m, f)
	defer r.Close()
	return r.Next(ctx, wait)
}

// Count counts the messages in an inbox, as WhoAmI does.
func (s *Agents) Count(ctx context.Context, m Mailbox) (amtp.InboxCount, error) {
	unread, pending, err := s.Store.Depth(ctx, m.Acting, gateway.MaxTotal)
	return amtp.InboxCount{Recipient: m.Address, Unread: unread, Pending: pending,
		CountsCapped: pending == gateway.MaxTotal}, err
}

// Stops reports whether the gateway shuts down: no Reading finds anything more.
func (s *Agents) Stops() bool {
	select {
	case <-s.Stopping:
		return true
	default:
		return false
	}
}

// Reading is an inbox that is read from the filter's After to its end and then waited at.
// Next is called by one goroutine at a time. While it waits, a Reading holds one timer
// and asks the store for nothing.
type Reading struct {
	s      *Agents
	acting gateway.Acting
	filter gateway.InboxFilter
	bell   <-chan struct{}
	stop   func()
	page   gateway.InboxPage // that was read last
	ended  bool              // the inbox was read to its end since the bell rang last
}

// Read begins to read an inbox. Close ends it.
func (s *Agents) Read(m Mailbox, f gateway.InboxFilter) *Reading {
	bell, stop := s.Store.Watch(m.Agent) // before the first read, so that no message is missed
	return &Reading{s: s, acting: m.Acting, filter: f, bell: bell, stop: stop,
		page: gateway.InboxPage{Next: f.After}}
}

// Close ends the reading. It is called once.
func (r *Reading) Close() { r.stop() }

// After returns the number behind which the next page begins.
func (r *Reading) After() int64 { return r.filter.After }

// Next returns the next page on which a message matches. The page is empty when no
// message came for that time, when the gateway stops, or when ctx ends. Messages that do
// not match are read once, however many pages they fill.
func (r *Reading) Next(ctx context.Context, wait time.Duration) (gateway.InboxPage, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	if len(r.page.Items) > 0 { // it was returned before, and nothing of it is kept
		r.page = gateway.InboxPage{Next: r.filter.After}
	}
	for {
		if !r.ended {
			var err error
			defect.Aside(func() { r.page, err = r.s.Store.Inbox(ctx, r.acting, r.filter) })
			if err != nil {
				return r.page, err
			}
			if r.ended = !r.page.HasMore; r.filter.Offset == 0 { // an Offset counts from the first After
				r.filter.After = r.page.Next
			} else if r.page.HasMore {
				return r.page, nil
			}
			if len(r.page.Items) > 0 {
				return r.page, nil
			}
		}
		if !r.goesOn(ctx, over.C) {
			return r.page, nil
		}
	}
}

// goesOn waits for the bell, unless there is more to read. It reports false when the wait
// is over before that.
func (r *Reading) goesOn(ctx context.Context, over <-chan time.Time) bool {
	select { // on its own: a select of several that are ready takes any of them
	case <-over:
		return false
	case <-r.s.Stopping:
		return false
	case <-ctx.Done(): // the caller went away
		return false
	default:
	}
	if !r.ended {
		return true
	}
	select {
	case <-r.bell:
		r.ended = false
		return true
	case <-over:
	case <-r.s.Stopping:
	case <-ctx.Done():
	}
	return false
}

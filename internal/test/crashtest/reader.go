package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
)

// ackAgainOneIn is how often an acknowledgement is repeated: one in so many.
const ackAgainOneIn = 8

// A Reader reads its agent's inbox and acknowledges some of the messages in it.
type Reader struct {
	*Agent
	Rand *rand.Rand
}

// Run reads until stop is closed or ctx ends.
func (r *Reader) Run(ctx context.Context, stop <-chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-stop:
			return
		default:
		}
		p, err := r.read(ctx, amtp.InboxQuery{Limit: 1 + r.Rand.IntN(50)})
		if err != nil {
			r.fault(ctx, "reading %s: %v", r.Address, err)
			return
		}
		for _, item := range p.items {
			if r.Rand.IntN(2) == 0 {
				r.acknowledge(ctx, item)
			}
		}
	}
}

// acknowledge acknowledges a message until the gateway confirms it.
func (r *Reader) acknowledge(ctx context.Context, item Item) {
	times := 1
	if r.Rand.IntN(ackAgainOneIn) == 0 {
		times = 2
	}
	for range times {
		err := r.until(ctx, func(ctx context.Context, c *amtp.Client) error {
			_, err := c.Ack(ctx, r.Address, item.ID)
			return err
		})
		if err != nil {
			r.fault(ctx, "acknowledging %s for %s: %v", item.Name, r.Address, err)
			return
		}
		r.ledger.Acknowledged(r.Address, item.Name)
	}
}

// fault records a failure, unless its cause is only the end of the test.
func (a *Agent) fault(ctx context.Context, format string, args ...any) {
	if ctx.Err() == nil {
		a.ledger.Fault(format, args...)
	}
}

// A Follower reads on after the last message that it saw and acknowledges nothing.
type Follower struct {
	*Agent
	after string
	items []Item // in the order in which they came
}

// Run follows until stop is closed or ctx ends.
func (f *Follower) Run(ctx context.Context, stop <-chan struct{}) {
	for ctx.Err() == nil {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := f.step(ctx, time.Second); err != nil {
			f.fault(ctx, "following %s: %v", f.Address, err)
			return
		}
	}
}

// step reads the next page, waits at most that long for it, and reports whether it had
// messages.
func (f *Follower) step(ctx context.Context, wait time.Duration) (bool, error) {
	p, err := f.read(ctx, amtp.InboxQuery{After: f.after, Limit: 100, Wait: wait})
	if err != nil {
		return false, err
	}
	f.after, f.items = p.next, append(f.items, p.items...)
	return len(p.items) > 0, nil
}

// Settle reads to the end and compares the messages that the follower saw with the
// whole inbox. It must have seen every message once, in the order of the inbox.
func (f *Follower) Settle(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = f.step(ctx, 0); err != nil {
			return err
		}
	}
	whole, err := f.Whole(ctx)
	if err != nil {
		return err
	}
	same := func(a, b Item) bool { return a.ID == b.ID }
	if !slices.EqualFunc(f.items, whole, same) {
		f.ledger.Fault("the follower of the inbox of %s saw %d messages; it holds %d, or in another order", f.Address,
			len(f.items), len(whole))
	}
	return nil
}

// Whole reads the agent's inbox from its beginning to its end.
func (a *Agent) Whole(ctx context.Context) ([]Item, error) {
	var items []Item
	for q := (amtp.InboxQuery{Limit: 1000}); ; {
		p, err := a.read(ctx, q)
		if err != nil {
			return nil, err
		}
		items = append(items, p.items...)
		if !p.more {
			return items, nil
		}
		q.After = p.next
	}
}

// page is one page of an inbox.
type page struct {
	items []Item
	next  string // the cursor after it
	more  bool
}

// read reads one page of the agent's inbox and records it.
func (a *Agent) read(ctx context.Context, q amtp.InboxQuery) (page, error) {
	var answer amtp.InboxPage
	var since Moment
	err := a.until(ctx, func(ctx context.Context, c *amtp.Client) (err error) {
		since = a.ledger.Now()
		answer, err = c.Inbox(ctx, a.Address, q)
		return err
	})
	if err != nil {
		return page{}, err
	}
	p := page{next: answer.NextCursor, more: answer.HasMore}
	for _, m := range answer.Messages {
		var content struct{ Name string }
		if err := json.Unmarshal(m.Payload, &content); err != nil {
			return page{}, fmt.Errorf("the payload of %s: %w", m.MessageID, err)
		}
		p.items = append(p.items, Item{content.Name, m.MessageID, m.Payload})
	}
	a.ledger.Seen(a.Address, p.items, since)
	return p, nil
}

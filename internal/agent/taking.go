package agent

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Claiming is what a worker asks of an inbox.
type Claiming struct {
	Filter     gateway.TakeFilter
	Max        int           // messages, 0 for one
	MaxBytes   int           // of bodies
	Visibility time.Duration // of the leases, 0 for DefaultVisibility
	Wait       time.Duration // how long to wait for a message when there is none
}

// maxReason is how many bytes a reason has at the most.
const maxReason = 512

// Claim takes messages of an inbox under leases. While it waits, it takes a message that
// enters the inbox, and one that returns because its lease or its delay ended.
func (s *Agents) Claim(ctx context.Context, m Mailbox, c Claiming) ([]gateway.TakenItem, error) {
	c, err := c.checked()
	if err != nil {
		return nil, err
	}
	bell, stop := s.Store.Watch(m.Agent) // before the first call, so that no message is missed
	defer stop()
	over := time.NewTimer(c.Wait)
	defer over.Stop()
	take := gateway.Take{Filter: c.Filter, Max: c.Max, MaxBytes: c.MaxBytes}
	for {
		now := s.Now()
		take.Until = now.Add(c.Visibility)
		var got gateway.Taken
		var err error
		defect.Aside(func() { got, err = s.Store.Take(ctx, m.Acting, take, now) })
		if err != nil || len(got.Items) > 0 {
			return got.Items, err
		}
		if take.After = got.Next; got.More {
			if ctx.Err() != nil {
				return nil, nil
			}
			continue
		}
		take.After = gateway.TakePosition{}
		if c.Wait <= 0 || !s.waitToTake(ctx, bell, over.C, got.Again, now) {
			return nil, nil
		}
	}
}

// waitToTake waits for the bell or until a message returns. It reports false when the
// wait is over before that.
func (s *Agents) waitToTake(ctx context.Context, bell <-chan struct{}, over <-chan time.Time, again,
	now time.Time) bool {
	var returns <-chan time.Time
	if !again.IsZero() {
		t := time.NewTimer(again.Sub(now))
		defer t.Stop()
		returns = t.C
	}
	select {
	case <-bell:
	case <-returns:
	case <-over:
		return false
	case <-s.Stopping:
		return false
	case <-ctx.Done(): // the caller went away
		return false
	}
	return ctx.Err() == nil
}

// checked returns the claim with its defaults, or an error if it is not valid.
func (c Claiming) checked() (Claiming, error) {
	if c.Max == 0 {
		c.Max = 1
	}
	if c.Max < 1 || c.Max > gateway.MaxTake {
		return c, amtp.Errorf(amtp.CodeInvalidRequest, "max must be between 1 and %d", gateway.MaxTake)
	}
	var err error
	c.Visibility, err = visibility(c.Visibility)
	return c, err
}

// visibility returns the length of a lease, or an error if it is not valid.
func visibility(d time.Duration) (time.Duration, error) {
	if d == 0 {
		return gateway.DefaultVisibility, nil
	}
	if d < gateway.MinVisibility || d > gateway.MaxVisibility {
		return 0, amtp.Errorf(amtp.CodeInvalidRequest, "visibility must be between 1 second and 12 hours")
	}
	return d, nil
}

// Extend moves the end of a lease.
func (s *Agents) Extend(ctx context.Context, m Mailbox, id, lease string, d time.Duration) (amtp.LeaseResult, error) {
	t, err := ticket(id, lease, true)
	if err != nil {
		return amtp.LeaseResult{}, err
	}
	if d, err = visibility(d); err != nil {
		return amtp.LeaseResult{}, err
	}
	now := s.Now()
	l, err := s.Store.Extend(ctx, m.Acting, t, now.Add(d), now)
	return leaseResult(m, t.ID, "extended", l), ofLease(id, err)
}

// GiveBack ends a lease, so that anybody may take the message after the delay.
func (s *Agents) GiveBack(ctx context.Context, m Mailbox, id, lease string, delay time.Duration,
	reason string) (amtp.LeaseResult, error) {
	t, err := ticket(id, lease, true)
	if err == nil {
		err = checkReason(reason)
	}
	if err == nil && (delay < 0 || delay > gateway.MaxVisibility) {
		err = amtp.Errorf(amtp.CodeInvalidRequest, "delay must be between 0 seconds and 12 hours")
	}
	if err != nil {
		return amtp.LeaseResult{}, err
	}
	now := s.Now()
	l, err := s.Store.GiveBack(ctx, m.Acting, t, gateway.GivenBack{Due: now.Add(delay), Reason: reason}, now)
	return leaseResult(m, t.ID, "returned", l), ofLease(id, err)
}

// Reject refuses the work that a message asks for. lease is "" for a caller that shows
// none.
func (s *Agents) Reject(ctx context.Context, m Mailbox, id, lease, reason string) (amtp.RejectResult, error) {
	t, err := ticket(id, lease, false)
	if err == nil {
		err = checkReason(reason)
	}
	if err != nil {
		return amtp.RejectResult{}, err
	}
	mark, err := s.Store.Reject(ctx, m.Acting, t, reason, s.Now())
	return amtp.RejectResult{MessageID: mark.ID, Status: "rejected", Timestamp: amtp.Time{Time: mark.At},
		Recipient: m.Address}, ofLease(id, err)
}

func leaseResult(m Mailbox, id amtp.MessageID, status string, l gateway.Lease) amtp.LeaseResult {
	return amtp.LeaseResult{MessageID: id, Status: status, Until: amtp.Time{Time: l.Until}, Attempt: l.Attempt,
		Recipient: m.Address}
}

// ticket reads the id of a message and the token of the lease on it.
func ticket(id, lease string, needed bool) (t gateway.Ticket, err error) {
	// A text that cannot be an id names no message either.
	if t.ID, err = amtp.ParseMessageID(id); err != nil {
		return t, notInInbox(id)
	}
	if lease == "" && !needed {
		return t, nil
	}
	if lease == "" {
		return t, amtp.Errorf(amtp.CodeInvalidRequest, "lease is missing: the token that the claim returned")
	}
	token, ok := gateway.ParseLeaseToken(lease)
	if !ok {
		return t, amtp.Errorf(amtp.CodeInvalidRequest, "lease must be the token that the claim returned, not %.40q",
			lease)
	}
	t.Token = token
	return t, nil
}

func checkReason(reason string) error {
	if len(reason) > maxReason || !gateway.Storable(reason) {
		return amtp.Errorf(amtp.CodeInvalidRequest, "reason has at most %d bytes and no control characters", maxReason)
	}
	return nil
}

// ofLease returns the answer for an error of a call under a lease.
func ofLease(id string, err error) error {
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return notInInbox(id)
	case errors.Is(err, gateway.ErrStale):
		return amtp.Errorf(amtp.CodeLeaseLost,
			"The lease on this message has ended: its time is over, or the message was given back, finished or taken again. Claim it anew.")
	case errors.Is(err, gateway.ErrConflict):
		return amtp.Errorf(amtp.CodeLeaseHeld,
			"Another key holds a live lease on this message. Show its token, or wait until the lease ends.")
	}
	return err
}

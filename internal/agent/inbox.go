package agent

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Inbox returns a page of the caller's own inbox. When it is empty and wait is
// positive, it waits that long at the most for a message.
func (s *Agents) Inbox(ctx context.Context, p gateway.Principal, address string, f gateway.InboxFilter,
	wait time.Duration) (gateway.InboxPage, error) {
	if err := s.own(p, address); err != nil {
		return gateway.InboxPage{}, err
	}
	bell, stop := s.Store.Watch(p.Agent.ID)
	defer stop()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		page, err := s.Store.Inbox(ctx, p.Acting(), f)
		if err != nil {
			return page, err
		}
		if len(page.Items) > 0 || page.HasMore || wait <= 0 {
			return page, nil
		}
		select {
		case <-bell:
		case <-deadline.C:
			return page, nil
		case <-s.Stopping:
			return page, nil
		case <-ctx.Done(): // the caller went away
			return page, nil
		}
	}
}

// Ack takes a message out of the caller's own inbox for good.
func (s *Agents) Ack(ctx context.Context, p gateway.Principal, address, id string) (amtp.AckResult, error) {
	mark, err := s.mark(ctx, p, address, id, s.Store.Ack)
	return amtp.AckResult{
		MessageID: mark.ID, Status: "acknowledged", Timestamp: amtp.Time{Time: mark.At},
		Recipient: own(p), Message: "Message acknowledged successfully",
	}, err
}

// MarkRead marks a message in the caller's own inbox as read.
func (s *Agents) MarkRead(ctx context.Context, p gateway.Principal, address, id string) (amtp.ReadResult, error) {
	mark, err := s.mark(ctx, p, address, id, s.Store.MarkRead)
	return amtp.ReadResult{MessageID: mark.ID, Status: "read", Timestamp: amtp.Time{Time: mark.At},
		Recipient: own(p)}, err
}

type marker func(context.Context, gateway.Acting, amtp.MessageID, time.Time) (gateway.Mark, error)

func (s *Agents) mark(ctx context.Context, p gateway.Principal, address, id string, mark marker) (gateway.Mark,
	error) {
	if err := s.own(p, address); err != nil {
		return gateway.Mark{}, err
	}
	// A text that cannot be an id names no message either.
	messageID, err := amtp.ParseMessageID(id)
	if err != nil {
		return gateway.Mark{}, notInInbox(id)
	}
	m, err := mark(ctx, p.Acting(), messageID, s.Now())
	if errors.Is(err, gateway.ErrNotFound) {
		return m, notInInbox(id)
	}
	if err != nil {
		return m, err
	}
	return m, nil
}

func own(p gateway.Principal) amtp.Address {
	if p.Agent == nil {
		return amtp.Address{}
	}
	return p.Agent.Address
}

// own checks that the address is the caller's. The answer does not reveal whether
// another inbox exists.
func (s *Agents) own(p gateway.Principal, address string) error {
	if err := needAgent(p); err != nil {
		return err
	}
	a, err := s.address(address)
	if err != nil || !p.Agent.Address.Equal(a) {
		return amtp.Errorf(amtp.CodeAccessDenied,
			"This inbox is not the one of %s, whose key was shown; that one is /v1/inbox/%s", p.Agent.Address,
			p.Agent.Address)
	}
	return nil
}

func needAgent(p gateway.Principal) error {
	switch {
	case p.Agent != nil:
		return nil
	case p.Admin:
		return amtp.Errorf(amtp.CodeAccessDenied, "The admin key opens no inbox; show the agent's own key.")
	}
	return amtp.Errorf(amtp.CodeMissingAuthorization, "Agent API key required for inbox access").
		With("required_header", "Authorization: Bearer <api-key>")
}

func notInInbox(id string) error {
	return amtp.Errorf(amtp.CodeMessageNotFound, "Message not found or already acknowledged").
		With("error", "message not found: "+amtp.Errorf("", "%.128q", id).Message)
}

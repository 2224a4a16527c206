package agent

import (
	"context"
	"errors"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Ack takes a message out of an inbox for good.
func (s *Agents) Ack(ctx context.Context, m Mailbox, id string) (amtp.AckResult, error) {
	mark, err := s.mark(ctx, m, id, s.Store.Ack)
	return amtp.AckResult{
		MessageID: mark.ID, Status: "acknowledged", Timestamp: amtp.Time{Time: mark.At},
		Recipient: m.Address, Message: "Message acknowledged successfully",
	}, err
}

// MarkRead marks a message in an inbox as read.
func (s *Agents) MarkRead(ctx context.Context, m Mailbox, id string) (amtp.ReadResult, error) {
	mark, err := s.mark(ctx, m, id, s.Store.MarkRead)
	return amtp.ReadResult{MessageID: mark.ID, Status: "read", Timestamp: amtp.Time{Time: mark.At},
		Recipient: m.Address}, err
}

type marker func(context.Context, gateway.Acting, amtp.MessageID, time.Time) (gateway.Mark, error)

func (s *Agents) mark(ctx context.Context, m Mailbox, id string, mark marker) (gateway.Mark, error) {
	// A text that cannot be an id names no message either.
	messageID, err := amtp.ParseMessageID(id)
	if err != nil {
		return gateway.Mark{}, notInInbox(id)
	}
	done, err := mark(ctx, m.Acting, messageID, s.Now())
	if errors.Is(err, gateway.ErrNotFound) {
		return done, notInInbox(id)
	}
	return done, err
}

func notInInbox(id string) error {
	return amtp.Errorf(amtp.CodeMessageNotFound, "Message not found or already acknowledged").
		With("error", "message not found: "+amtp.Errorf("", "%.128q", id).Message)
}

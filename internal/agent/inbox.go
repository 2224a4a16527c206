package agent

import (
	"context"

	"github.com/amtp-go/amtp"
)

// Ack takes a message out of an inbox for good. lease is "" for a caller that shows none.
func (s *Agents) Ack(ctx context.Context, m Mailbox, id, lease string) (amtp.AckResult, error) {
	t, err := ticket(id, lease, false)
	if err != nil {
		return amtp.AckResult{}, err
	}
	mark, err := s.Store.AckTaken(ctx, m.Acting, t, s.Now())
	err = ofLease(id, err)
	return amtp.AckResult{
		MessageID: mark.ID, Status: "acknowledged", Timestamp: amtp.Time{Time: mark.At},
		Recipient: m.Address, Message: "Message acknowledged successfully",
	}, err
}

// MarkRead marks a message in an inbox as read.
func (s *Agents) MarkRead(ctx context.Context, m Mailbox, id string) (amtp.ReadResult, error) {
	t, err := ticket(id, "", false)
	if err != nil {
		return amtp.ReadResult{}, err
	}
	mark, err := s.Store.MarkRead(ctx, m.Acting, t.ID, s.Now())
	err = ofLease(id, err)
	return amtp.ReadResult{MessageID: mark.ID, Status: "read", Timestamp: amtp.Time{Time: mark.At},
		Recipient: m.Address}, err
}

func notInInbox(id string) error {
	return amtp.Errorf(amtp.CodeMessageNotFound, "Message not found or already acknowledged").
		With("error", "message not found: "+amtp.Errorf("", "%.128q", id).Message)
}

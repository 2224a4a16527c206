package intake

import (
	"context"
	"strings"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// isReceipts reports whether the message has receipts: from the gateway of another
// domain, which proved its identity, to this gateway alone. For any other caller the
// recipient does not exist.
func (in *Intake) isReceipts(p gateway.Principal, m *amtp.Message) bool {
	return in.Receipts != nil && p.Class() == gateway.ClassDomain && p.Domain == m.Sender.Domain() &&
		isReceiptsName(m.Sender) &&
		len(m.Recipients) == 1 && m.Recipients[0].Domain() == in.Domain && isReceiptsName(m.Recipients[0])
}

func isReceiptsName(a amtp.Address) bool { return strings.EqualFold(a.Local(), gateway.ReceiptsName) }

// receipts applies a message with receipts. It goes into no inbox, and it may be
// repeated.
func (in *Intake) receipts(ctx context.Context, p gateway.Principal, m *amtp.Message) (*amtp.SendResult, error) {
	if !in.Store.Paused().IsZero() {
		return nil, gateway.ErrPaused
	}
	if in.Limits != nil {
		if _, refused := in.Limits.Admit(&p, m, nil, 1); refused != nil {
			return nil, refused
		}
	}
	if err := in.Receipts(ctx, p.Domain, m.Payload); err != nil {
		return nil, err
	}
	now := amtp.Time{Time: in.Now()}
	return &amtp.SendResult{MessageID: m.MessageID, Status: amtp.StatusDelivered, Recipients: []amtp.RecipientStatus{
		{Address: m.Recipients[0], Status: amtp.StatusDelivered, Timestamp: now, Attempts: 1, DeliveredAt: now},
	}}, nil
}

package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// Bounds of the times that a sender gives in headers of a message.
const (
	MaxAnswerBy = 30 * 24 * time.Hour  // to the time by which an answer is expected
	MaxExpires  = 365 * 24 * time.Hour // to the time after which the message is of no use
)

// Lapses is the part of a Store that knows what became of a message when a time is up.
type Lapses interface {
	// Answerers returns the senders of the messages in the agent's mailbox that answer its
	// message, by any id that it has. Messages that this gateway wrote are no answers. A
	// call looks at MaxScan messages of the thread. ErrNotFound when the agent has no such
	// message.
	Answerers(ctx context.Context, by Acting, id amtp.MessageID) ([]amtp.Address, error)

	// EndMessage ends what a message still has before it: its deliveries that wait for an
	// attempt or in an inbox become Expired with MESSAGE_EXPIRED, and are dead letters. A
	// sender here gets a report, as by Settle. A delivery under a live lease, of a reader
	// or of an attempt, stays as it is; open says that there is one. ErrNotFound when the
	// message is gone.
	EndMessage(ctx context.Context, id amtp.MessageID, now time.Time) (open bool, err error)
}

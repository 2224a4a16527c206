package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/amtp-go/amtp"
)

// Bounds of taking messages from an inbox as work.
const (
	MaxTake           = 100 // messages in one call
	DefaultVisibility = time.Minute
	MinVisibility     = time.Second
	MaxVisibility     = 12 * time.Hour // also the longest delay of a message that is given back
	MaxDeliveries     = 1000           // the highest bound that an agent may set
)

// LeaseToken proves that its holder took a message. Each lease has a new one. 0 is none.
type LeaseToken int64

// NewLeaseToken returns a random token.
func NewLeaseToken() LeaseToken {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return LeaseToken(binary.BigEndian.Uint64(b[:])>>1 | 1<<62)
}

// String returns 16 hexadecimal digits.
func (t LeaseToken) String() string { return fmt.Sprintf("%016x", uint64(t)) }

// ParseLeaseToken reads the form that String returns. ok is false for any other text.
func ParseLeaseToken(s string) (t LeaseToken, ok bool) {
	n, err := strconv.ParseInt(s, 16, 64)
	t = LeaseToken(n)
	return t, err == nil && n > 0 && t.String() == s
}

// Take asks for messages of an inbox to work on.
type Take struct {
	Filter   TakeFilter
	After    TakePosition // Taken.Next of an earlier call with the same filter; zero from the beginning
	Max      int          // messages, 1 to MaxTake
	MaxBytes int          // of bodies; at least one message is returned; 0 is no limit
	Until    time.Time    // when the leases end
}

// TakeFilter chooses messages as an InboxFilter does. Zero members do not restrict.
type TakeFilter struct {
	From      amtp.Address
	Thread    amtp.MessageID
	InReplyTo amtp.MessageID
}

// TakePosition is a place in the order in which messages are taken. First come those
// that were read or taken before, by the time at which they return, and then the others
// in the order of the inbox.
type TakePosition struct {
	Fresh bool // all that were read or taken before are passed
	Due   int64
	Seq   int64
}

// Taken is the messages that a call took.
type Taken struct {
	Items []TakenItem
	// More says that the call looked at as many messages as it may, and that others may
	// match behind Next.
	More bool
	Next TakePosition
	// Again is the earliest time at which a message returns that nobody may take now, the
	// zero time when there is none. It is only set when Items is empty and More is false.
	Again time.Time
}

// TakenItem is a message with the lease on it.
type TakenItem struct {
	InboxItem
	Lease Lease
}

// Lease is the right of one reader to work on a message. Nobody else takes the message
// before its end.
type Lease struct {
	Token   LeaseToken
	Until   time.Time
	Attempt int // how often the message was taken, with this time
}

// Ticket names a message in an inbox, and the lease under which the caller works on it.
type Ticket struct {
	ID    amtp.MessageID
	Token LeaseToken // 0 for a caller that shows none
}

// Takings is the part of a Store that lets readers of one inbox share its work. A lease
// is live until its end by the clock. Only the newest lease of a message counts: a
// ticket with any other token is ErrStale. A lease also ends with its holder's key, and
// with the holder's membership in a shared mailbox, in the same transaction; readers who
// wait at the inbox are rung. So is one whose lease has ended, even when
// nobody took the message since. A ticket without a token is ErrConflict while another
// key than the caller's holds a live lease. ErrNotFound is as for Ack. An error of these
// calls means that nothing was changed.
//
// Reading, listing and marking as read do not look at leases, and take nothing.
type Takings interface {
	// Take leases messages that wait in the caller's inbox and that no live lease or
	// delay hides. First come those that were read or taken before, the earliest to
	// return first, then the others in the order of the inbox. Each gets a new token and
	// counts one more attempt, and is marked as read as MarkRead does: all of it durable
	// before Take returns. Two calls never lease the same message for overlapping times.
	//
	// Where the agent has MaxDeliveries, a message that was taken that often is not
	// taken again. It becomes a dead letter with RECIPIENT_UNAVAILABLE instead, and is
	// reported as by Settle.
	//
	// The cost of a call does not grow with the number of messages that are hidden.
	Take(ctx context.Context, by Acting, t Take, now time.Time) (Taken, error)

	// AckTaken is Ack by a caller that may show a lease. A message that was acknowledged
	// before is answered as the first time, unless the token is that of another lease.
	AckTaken(ctx context.Context, by Acting, t Ticket, now time.Time) (Mark, error)

	// Extend moves the end of a live lease.
	Extend(ctx context.Context, by Acting, t Ticket, until, now time.Time) (Lease, error)

	// GiveBack ends a live lease. Anybody may take the message from due on, and readers
	// who wait at the inbox are rung. The attempt stays counted. The reason is named
	// when the message becomes a dead letter for too many attempts.
	GiveBack(ctx context.Context, by Acting, t Ticket, g GivenBack, now time.Time) (Lease, error)

	// Reject refuses the work that a message asks for. The message leaves the inbox and
	// becomes a dead letter with ACCESS_DENIED. A sender here gets a report, as by
	// Settle, and the domain of another sender the receipt that it may get: see
	// Receipts. A second call answers as the first.
	Reject(ctx context.Context, by Acting, t Ticket, reason string, now time.Time) (Mark, error)
}

// GivenBack is how a message returns to its inbox.
type GivenBack struct {
	Due    time.Time // when it may be taken again
	Reason string    // "" for none
}

package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// ReceiptsName is the local part under which a gateway sends receipts to another
// and takes them. It is reserved, and it has no inbox.
const ReceiptsName = "amtp-receipts"

// Bounds of receipts.
const (
	// MaxReceipts is how many one message carries.
	MaxReceipts = 500
	// ReceiptPace is how long after a receipt the next one of the same message and
	// recipient waits.
	ReceiptPace = time.Minute
	// ReceiptAge is for how long a receipt is tried before it is forgotten.
	ReceiptAge = 24 * time.Hour
	// MaxReceiptsOwed is how many may wait for one domain; the oldest of more are
	// forgotten.
	MaxReceiptsOwed = 100_000
)

// ReceiptRule says which verified domains are told what agents here did with
// their messages.
type ReceiptRule string

// The rules.
const (
	ReceiptsKnown ReceiptRule = "known" // those that the agent has written to
	ReceiptsAll   ReceiptRule = "all"   // every one
	ReceiptsOff   ReceiptRule = "off"   // none
)

// ReceiptWish is what is said of one agent.
type ReceiptWish string

// The wishes.
const (
	ReceiptsDefault ReceiptWish = ""       // the rule of the sender's domain holds
	ReceiptsAlways  ReceiptWish = "always" // every verified domain is told that has a rule other than off
	ReceiptsNever   ReceiptWish = "never"  // nobody is told
)

// ReceiptPolicy is what the operator says of receipts.
type ReceiptPolicy struct {
	Rule    ReceiptRule
	Domains map[amtp.Domain]ReceiptRule // in place of Rule, for some
}

// Receipt is what one recipient did with one message. Times are zero for what it
// did not do.
type Receipt struct {
	Message   amtp.MessageID // under which the sender's gateway knows it
	Recipient amtp.Address
	Read      time.Time
	Acked     time.Time
	Refused   time.Time
}

// OwedReceipt is a receipt that waits to be sent, with what decides whether it
// is. Row and Agent name it in the store.
type OwedReceipt struct {
	Receipt
	Row     int64
	Agent   AgentID
	Wish    ReceiptWish  // the agent's
	Written bool         // the agent has written to the sender's domain
	Sender  amtp.Address // of the message
	Class   Class        // of the message
	Body    []byte       // of the message, nil when it is gone
}

// ReceiptTo returns the domain that may be owed a receipt of a message, "" when
// none ever is: only one that proved that it wrote, and nothing that a gateway
// wrote by itself. It looks at no more than is at hand when an agent reads.
func ReceiptTo(class Class, sender amtp.Address) amtp.Domain {
	if class != ClassDomain || sender.IsZero() || IsReserved(sender.Local()) {
		return ""
	}
	return sender.Domain()
}

// Owes is the rule of receipts: it reports whether one is sent. A domain that
// proved nothing is never told, whatever the policy and the agent say, and there
// is no receipt of a receipt, a report or another message that a program sent by
// itself. RFC 3834 §2.
func (p ReceiptPolicy) Owes(o *OwedReceipt) bool {
	to := ReceiptTo(o.Class, o.Sender)
	if to == "" || IsReserved(o.Recipient.Local()) || o.Recipient.IsZero() || mechanical(o.Body) {
		return false
	}
	rule, ok := p.Domains[to]
	if !ok {
		rule = p.Rule
	}
	switch {
	case rule == ReceiptsOff, o.Wish == ReceiptsNever:
		return false
	case rule == ReceiptsAll, o.Wish == ReceiptsAlways:
		return true
	}
	return rule == ReceiptsKnown && o.Written
}

// mechanical reports whether a program wrote the message by itself. One that
// cannot be read any more counts as such.
func mechanical(body []byte) bool {
	m, refused := amtp.ParseMessage(body)
	return refused != nil || m.Automatic()
}

// ReceiptDue returns when a receipt may be sent that is owed since now, of a
// message that its recipient marked read at that time, or not: the read mark may
// have been told a moment ago.
func ReceiptDue(read, now time.Time) time.Time {
	if read.IsZero() {
		return now
	}
	return now.Add(ReceiptPace)
}

// Receipts is the part of a Store that keeps what other domains are to be told,
// and what they tell. MarkRead and Ack write what is owed in their own
// transaction: one row for each message that ReceiptTo allows and each recipient,
// to which a later acknowledgement is added.
type Receipts interface {
	// ReceiptDomains lists domains for which receipts wait, in the order of their
	// names, those behind after only.
	ReceiptDomains(ctx context.Context, after amtp.Domain, limit int) ([]amtp.Domain, error)

	// OwedReceipts returns receipts for a domain that are due at now, the earliest
	// due first: limit of them at the most, and only so many as have together
	// bodies of no more than that many bytes, but at least one. More says that
	// others are due.
	OwedReceipts(ctx context.Context, to amtp.Domain, now time.Time, limit, bodies int) (list []OwedReceipt,
		more bool, err error)

	// SettleReceipts forgets receipts as they were returned. One to which something
	// was added since is due again at that time.
	SettleReceipts(ctx context.Context, list []OwedReceipt, again time.Time) error

	// DropReceipts forgets receipts for a domain that were due before then, and of
	// the rest the earliest due beyond the most that may wait: limit of each at the
	// most. It returns how many.
	DropReceipts(ctx context.Context, to amtp.Domain, before time.Time, most, limit int) (int, error)

	// TakeReceipts applies what the gateway of a domain tells: each receipt to the
	// delivery of a local agent's message to that recipient, when the recipient is
	// of the domain and the delivery reached it. Whatever else is told is passed
	// over, and so is what is known already. A time before the delivery counts as
	// the delivery's, one after now as now. It returns how many deliveries changed.
	TakeReceipts(ctx context.Context, from amtp.Domain, list []Receipt, now time.Time) (int, error)
}

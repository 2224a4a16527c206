package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
)

// ReceiptsName is the local part of the address from which a gateway sends receipts to
// another, and at which it accepts them. It is reserved, and it has no inbox.
const ReceiptsName = "amtp-receipts"

// Bounds of receipts.
const (
	// MaxReceipts is the largest number of receipts in one message.
	MaxReceipts = 500
	// ReceiptPace is how long the next receipt of the same message and recipient waits
	// after a receipt.
	ReceiptPace = time.Minute
	// ReceiptAge is how long a receipt is tried before it is deleted.
	ReceiptAge = 24 * time.Hour
	// MaxReceiptsOwed is how many receipts may wait for one domain; beyond that the
	// oldest are deleted.
	MaxReceiptsOwed = 100_000
)

// ReceiptRule says which verified domains get receipts from agents here.
type ReceiptRule string

// The rules.
const (
	ReceiptsKnown ReceiptRule = "known" // those to which the agent has written
	ReceiptsAll   ReceiptRule = "all"   // every verified domain
	ReceiptsOff   ReceiptRule = "off"   // none of them
)

// ReceiptWish is the setting of one agent.
type ReceiptWish string

// The wishes.
const (
	ReceiptsDefault ReceiptWish = ""       // the rule of the sender's domain holds
	ReceiptsAlways  ReceiptWish = "always" // every verified domain whose rule is not off gets receipts
	ReceiptsNever   ReceiptWish = "never"  // no domain gets receipts
)

// ReceiptPolicy is the operator's setting for receipts.
type ReceiptPolicy struct {
	Rule    ReceiptRule
	Domains map[amtp.Domain]ReceiptRule // in place of Rule, for some
}

// Receipt says what one recipient did with one message. A time is zero for an action
// that did not happen.
type Receipt struct {
	Message   amtp.MessageID // the id under which the sender's gateway knows it
	Recipient amtp.Address
	Read      time.Time
	Acked     time.Time
	Refused   time.Time
}

// OwedReceipt is a receipt that waits to be sent, with the facts that decide whether it
// is sent. Row and Agent identify it in the store.
type OwedReceipt struct {
	Receipt
	Row     int64
	Agent   AgentID
	Wish    ReceiptWish  // the agent's
	Written bool         // the agent has written to the sender's domain
	Sender  amtp.Address // of the message
	Class   Class        // of the message
	Body    []byte       // of the message, nil when it was removed
}

// ReceiptTo returns the domain to which a receipt of a message may be owed, "" when
// none ever is. Only a domain that proved that it sent the message gets one. No receipt
// is owed for a message that a gateway wrote by itself. It uses only data that is at
// hand when an agent reads.
func ReceiptTo(class Class, sender amtp.Address) amtp.Domain {
	if class != ClassDomain || sender.IsZero() || IsReserved(sender.Local()) {
		return ""
	}
	return sender.Domain()
}

// Owes is the rule of receipts: it reports whether one is sent. A domain that proved
// nothing never gets one, whatever the policy and the agent's setting say. There is no
// receipt of a receipt, a report or another message that a program sent by itself. RFC
// 3834 §2. There is none either for a recipient whom the message does not name: it got the
// message through a group, and the sender's gateway learns nothing of the members.
func (p ReceiptPolicy) Owes(o *OwedReceipt) bool {
	to := ReceiptTo(o.Class, o.Sender)
	if to == "" || IsReserved(o.Recipient.Local()) || o.Recipient.IsZero() || !answerable(o.Body, o.Recipient) {
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

// answerable reports whether somebody wrote the message to that recipient. It is false for
// a message that a program sent by itself, and for one that cannot be read any more.
func answerable(body []byte, to amtp.Address) bool {
	m, refused := amtp.ParseMessage(body)
	return refused == nil && !m.Automatic() && slices.ContainsFunc(m.Recipients, to.Equal)
}

// ReceiptDue returns when a receipt may be sent that is owed since now. Read is when
// the recipient marked the message read, zero if it did not. After a read mark the
// receipt waits, since that mark may have been sent a moment ago.
func ReceiptDue(read, now time.Time) time.Time {
	if read.IsZero() {
		return now
	}
	return now.Add(ReceiptPace)
}

// Receipts is the part of a Store that keeps receipts for other domains, and applies
// theirs. MarkRead and Ack write owed receipts in their own transaction: one row for
// each message that ReceiptTo allows and each recipient. A later acknowledgement is
// added to that row.
type Receipts interface {
	// ReceiptDomains lists domains for which receipts wait, in the order of their
	// names, only those after the argument after.
	ReceiptDomains(ctx context.Context, after amtp.Domain, limit int) ([]amtp.Domain, error)

	// OwedReceipts returns receipts for a domain that are due at now, the earliest due
	// first. It returns limit of them at the most. Their bodies together have no more
	// than that many bytes, but one is always returned. More says that others are due.
	OwedReceipts(ctx context.Context, to amtp.Domain, now time.Time, limit, bodies int) (list []OwedReceipt,
		more bool, err error)

	// SettleReceipts deletes receipts as they were returned. A receipt to which a mark
	// was added since is due again at that time.
	SettleReceipts(ctx context.Context, list []OwedReceipt, again time.Time) error

	// DropReceipts deletes receipts for a domain that were due before then, and of the
	// rest the earliest due beyond the most that may wait: limit of each at the most.
	// It returns how many.
	DropReceipts(ctx context.Context, to amtp.Domain, before time.Time, most, limit int) (int, error)

	// TakeReceipts applies receipts from the gateway of a domain. Each is applied to
	// the delivery of a local agent's message to that recipient. The recipient must be
	// in the domain, and the delivery must have reached it. Any other receipt is
	// ignored, and so is one that is known already. A time before the delivery counts
	// as the delivery's, one after now as now. It returns how many deliveries changed.
	TakeReceipts(ctx context.Context, from amtp.Domain, list []Receipt, now time.Time) (int, error)
}

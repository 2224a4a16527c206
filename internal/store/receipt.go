package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ReceiptRow is a receipt as it is stored when an agent has just made a mark. Times are
// microseconds, 0 for none.
type ReceiptRow struct {
	Domain               amtp.Domain // "" when no domain may be told
	Read, Acked, Refused int64
	Due                  int64
}

// NewReceipt returns the receipt that is owed when a message is marked read or
// acknowledged at now. read is when it was marked read before, 0 for never. A row that
// already waits keeps its Due.
func NewReceipt(class gateway.Class, sender string, read, now int64, ack bool) ReceiptRow {
	from, err := amtp.ParseAddress(sender)
	if err != nil {
		return ReceiptRow{} // the sender is a local agent
	}
	r := ReceiptRow{Domain: gateway.ReceiptTo(class, from), Read: now}
	if ack {
		r.Read, r.Acked = read, now
	}
	r.Due = Micros(gateway.ReceiptDue(FromMicros(read), FromMicros(now)))
	return r
}

// OwedRow is a receipt that waits, as it is stored, with its message.
type OwedRow struct {
	Row, Agent           int64
	Read, Acked, Refused int64
	UUID                 []byte
	Given, Sender        string
	Class                gateway.Class
	Written              bool
	Body                 []byte
}

// Owed returns the receipt that the row holds. When its message is gone it has no
// sender, and no domain is told.
func (r *OwedRow) Owed(dir *Directory) gateway.OwedReceipt {
	o := gateway.OwedReceipt{
		Row: r.Row, Agent: gateway.AgentID(r.Agent), Written: r.Written, Class: r.Class, Body: r.Body,
		Receipt: gateway.Receipt{Message: amtp.MessageID(r.Given), Read: FromMicros(r.Read), Acked: FromMicros(r.Acked),
			Refused: FromMicros(r.Refused)},
	}
	if o.Message == "" {
		o.Message = MessageID(r.UUID)
	}
	o.Receipt.Recipient, _ = dir.Address(o.Agent)
	o.Wish = dir.Wish(o.Agent)
	o.Sender, _ = amtp.ParseAddress(r.Sender) // a zero address is never told
	return o
}

// ReceiptID returns the id by which the message of a receipt is looked up. Other
// gateways know our messages only by UUIDs.
func ReceiptID(r *gateway.Receipt) (uuid []byte, text string, ok bool) {
	u, ok := r.Message.UUID()
	return u[:], u.String(), ok
}

// ReceiptChange is a delivery after a receipt. Times are microseconds, 0 for none.
type ReceiptChange struct {
	Seq                                      int64
	Was, State                               gateway.State
	Changed, Delivered, Acked, Read, Refused int64
}

// Change returns what the receipt of a domain changes in a delivery. It changes nothing
// when the delivery is another recipient's, when it did not reach the recipient, or
// when everything is known already.
func (r *DeliveryRow) Change(from amtp.Domain, told *gateway.Receipt, now int64) (t ReceiptChange, changes bool) {
	to, err := amtp.ParseAddress(r.Address)
	if err != nil || r.Agent != 0 || to.Domain() != from || !to.Equal(told.Recipient) {
		return t, false
	}
	if r.State != gateway.Delivered && r.State != gateway.Acknowledged {
		return t, false
	}
	delivered := r.Delivered
	if delivered == 0 {
		delivered = r.Changed
	}
	within := func(at int64) int64 { return min(max(at, delivered), max(now, delivered)) }
	t = ReceiptChange{Seq: r.Seq, Was: r.State, State: r.State, Changed: r.Changed, Delivered: r.Delivered,
		Acked: r.Acked, Read: r.Read, Refused: r.Refused}
	if at := Micros(told.Acked); at != 0 && r.Acked == 0 {
		if next, err := gateway.Next(r.State, gateway.Ack); err == nil {
			t.State, t.Delivered, t.Acked = next, delivered, within(at)
			t.Changed, changes = t.Acked, true
		}
	}
	if at := Micros(told.Read); at != 0 && r.Read == 0 {
		t.Read, changes = within(at), true
	}
	if at := Micros(told.Refused); at != 0 && r.Refused == 0 {
		t.Refused, changes = within(at), true
	}
	return t, changes
}

package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// InboxRow is a delivery to an agent, as acknowledging and marking read look at it.
// Times are microseconds, 0 for none.
type InboxRow struct {
	Seq, Acked, Read int64
	State            gateway.State
	ID               amtp.MessageID // of the message
	Pushed           bool           // it was pushed and is not in the inbox
	Message          int64
	Class            gateway.Class
	Sender           string // of another domain
}

// Mark is what acknowledging a delivery, or marking it read, answers and writes.
type Mark struct {
	gateway.Mark
	Due   bool          // it has yet to be written
	State gateway.State // of the delivery when it was
	Owed  ReceiptRow    // what is told of it elsewhere
}

// Mark returns what a mark at that time, in microseconds, answers: of one that was made
// before, the time of then.
func (r *InboxRow) Mark(at int64, ack bool) (m Mark, err error) {
	if r.Seq == 0 {
		return m, gateway.ErrNotFound
	}
	m.ID, m.State = r.ID, r.State
	before := r.Read
	if ack {
		before = r.Acked
		if m.State, err = gateway.Next(r.State, gateway.Ack); err != nil {
			return m, gateway.ErrNotFound // it never entered the inbox
		}
		m.Due = m.State != r.State
	} else {
		if r.State != gateway.Delivered || r.Pushed {
			return m, gateway.ErrNotFound
		}
		m.Due = r.Read == 0
	}
	if !m.Due {
		m.At = FromMicros(before)
		return m, nil
	}
	m.At = FromMicros(at)
	m.Owed = NewReceipt(r.Class, r.Sender, r.Read, at, ack)
	return m, nil
}

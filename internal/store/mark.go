package store

import (
	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// InboxRow is the part of a delivery to an agent that the calls of its reader need.
// Times are microseconds, 0 for none.
type InboxRow struct {
	Seq, Acked, Read int64
	State            gateway.State
	ID               amtp.MessageID // of the message
	Pushed           bool           // it was pushed, so it is not in the inbox
	Message          int64
	Class            gateway.Class
	Sender           string // of another domain
	LeaseRow
}

// Mark is the answer to acknowledging a delivery or marking it read, and what is
// written for it.
type Mark struct {
	gateway.Mark
	Due   bool          // the mark is new and has to be written
	State gateway.State // of the delivery after the mark
	Owed  ReceiptRow    // the receipt for the sender's domain
}

// Marking is an acknowledgement or a read mark, at a time in microseconds.
type Marking struct {
	Key   string             // the key of the caller
	Token gateway.LeaseToken // of an acknowledgement, 0 for none
	At    int64
	Ack   bool
}

// Mark returns the answer to a mark. A mark that was made before keeps its first time.
func (r *InboxRow) Mark(w Marking) (m Mark, err error) {
	at, ack := w.At, w.Ack
	if r.Seq == 0 {
		return m, gateway.ErrNotFound
	}
	m.ID, m.State = r.ID, r.State
	before := r.Read
	if ack {
		before = r.Acked
		if m.State, err = gateway.Next(r.State, gateway.Ack); err != nil {
			if w.Token != 0 {
				return m, gateway.ErrStale // it was rejected, or taken too often
			}
			return m, gateway.ErrNotFound // the delivery never entered the inbox
		}
		m.Due = m.State != r.State
		if err = r.allows(w.Key, w.Token, at, m.Due); err != nil {
			return m, err
		}
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

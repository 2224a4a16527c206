package store

import (
	"fmt"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// LeaseRow is the lease on a delivery in an inbox, as it is stored.
type LeaseRow struct {
	Token  int64  // of the last lease, 0 for none
	Hidden int64  // until when nobody else may take it, 0 while it was never taken
	Holder string // the key that holds the lease
}

// allows checks the ticket of a caller. waits is false when the delivery is
// acknowledged or rejected already.
func (r *InboxRow) allows(key string, token gateway.LeaseToken, now int64, waits bool) error {
	held := r.Token != 0 && r.Hidden > now
	switch {
	case token != 0 && (int64(token) != r.Token || waits && !held):
		return gateway.ErrStale
	case token == 0 && waits && held && r.Holder != key:
		return gateway.ErrConflict
	}
	return nil
}

// Holds checks that a lease on the delivery is live and has that token.
func (r *InboxRow) Holds(token gateway.LeaseToken, now int64) error {
	switch {
	case r.Seq == 0:
		return gateway.ErrNotFound
	case token == 0 || r.State != gateway.Delivered || r.Pushed:
		return gateway.ErrStale
	}
	return r.allows("", token, now, true)
}

// TakeRow is a delivery in an inbox with what is needed to take or drop it.
type TakeRow struct {
	InboxRow
	Agent             gateway.AgentID // the recipient
	SenderAgent       gateway.AgentID
	Size              int64 // bytes of the body, -1 when it was purged
	Leases            int64 // how often it was taken
	Refused           int64
	Thread, InReplyTo string
	Reason            string // with which it was given back
}

// Due returns when a delivery that was read or taken before may be taken, 0 for others.
func (r *TakeRow) Due() int64 {
	if r.Hidden != 0 {
		return r.Hidden
	}
	return r.Read
}

// Free reports whether the delivery may be taken at that time.
func (r *TakeRow) Free(now int64) bool {
	return r.State == gateway.Delivered && !r.Pushed && r.Due() <= now
}

// position returns the place of the delivery in the order of taking.
func (r *TakeRow) position() gateway.TakePosition {
	return gateway.TakePosition{Fresh: r.Read == 0, Due: r.Due(), Seq: r.Seq}
}

// Leased returns the lease that a taker gets, and the mark that it makes.
func (r *TakeRow) Leased(t *gateway.Take, now int64) (l gateway.Lease, m Mark, err error) {
	m, err = r.Mark(Marking{At: now})
	return gateway.Lease{Token: gateway.NewLeaseToken(), Until: FromMicros(Micros(t.Until)),
		Attempt: int(r.Leases) + 1}, m, err
}

// DroppedRow is a delivery that leaves an inbox without an acknowledgement.
type DroppedRow struct {
	Seq     int64
	Message int64
	Agent   gateway.AgentID
	State   gateway.State
	Now     int64
	Refused int64 // 0 unless the recipient rejected it
	Code    amtp.Code
	Reason  string
	First   int64      // when it was first taken or read, 0 for never
	Dead    bool       // it becomes a dead letter, because its body is stored
	Owed    ReceiptRow // for the sender's domain
	Reports []ReportRow
}

// Spend returns what is written for a delivery that was taken as often as it may be.
func (r *TakeRow) Spend(now int64, dir *Directory) (d DroppedRow, err error) {
	d = r.drop(now, dir, amtp.CodeRecipientUnavailable,
		fmt.Sprintf("the recipient took the message %d times and never acknowledged it", r.Leases))
	if r.Reason != "" {
		d.Reason += "; its last reason: " + r.Reason
	}
	d.State, err = gateway.Next(r.State, gateway.GiveUp)
	return d, err
}

// End returns what is written when the message has expired. open is true for a delivery
// that a reader works on: it stays.
func (r *TakeRow) End(now int64, dir *Directory) (d DroppedRow, open bool, err error) {
	if r.Token != 0 && r.Hidden > now {
		return d, true, nil
	}
	d = r.drop(now, dir, amtp.CodeMessageExpired, expiredReason)
	d.State, err = gateway.Next(r.State, gateway.GiveUp)
	return d, false, err
}

// expiredReason is the reason of deliveries that ended because the message expired.
const expiredReason = "the message expired before the recipient was done with it"

// Reject returns what is written when the recipient rejects a delivery. due is false
// when it did so before, and then Now is when.
func (r *TakeRow) Reject(key string, token gateway.LeaseToken, reason string, now int64,
	dir *Directory) (d DroppedRow, due bool, err error) {
	waits := r.State == gateway.Delivered && !r.Pushed
	switch {
	case r.Seq == 0, !waits && r.Refused == 0 && token == 0:
		return d, false, gateway.ErrNotFound
	case !waits && r.State != gateway.Rejected:
		return d, false, gateway.ErrStale
	}
	if err := r.allows(key, token, now, waits); err != nil || !waits {
		return DroppedRow{Now: r.Refused}, false, err
	}
	text := "the recipient rejected the message"
	if reason != "" {
		text += ": " + reason
	}
	d = r.drop(now, dir, amtp.CodeAccessDenied, text)
	d.Refused = now
	d.State, err = gateway.Next(r.State, gateway.Reject)
	return d, true, err
}

// drop returns the values that every delivery gets that leaves an inbox without an
// acknowledgement. A sender here gets a report, and the domain of another sender a receipt:
// it was told that the message is delivered. A report about a report is never written, and
// none about a message whose body is gone.
func (r *TakeRow) drop(now int64, dir *Directory, code amtp.Code, reason string) DroppedRow {
	d := DroppedRow{Seq: r.Seq, Message: r.Message, Agent: r.Agent, Now: now,
		Code: code, Reason: reason, First: r.Read, Dead: r.Size >= 0}
	if d.Dead && r.Class != gateway.ClassGateway && r.SenderAgent != 0 && dir.Lives(r.SenderAgent) {
		d.Reports = []ReportRow{{Message: r.Message, Flow: FlowOf(r.SenderAgent, ""), Now: now, Size: int(r.Size),
			Payload: EncodeReport([]int64{r.Seq})}}
	}
	d.Owed = NewReceipt(r.Class, r.Sender, r.Read, now, false)
	d.Owed.Read, d.Owed.Refused = r.Read, now
	return d
}

// mostSpent is how many deliveries one call drops, because each is several writes.
const mostSpent = 100

// Taker chooses the deliveries that one call takes, and those that it drops because
// they were taken too often. Look is called for deliveries that may be taken, in the
// order of taking.
type Taker struct {
	Want *gateway.Take
	Scan int // deliveries that are looked at and not taken, after which the call ends
	Dir  *Directory
	Most int // how often a delivery may be taken, 0 for any number
	// Match is the filter, nil where all that is looked at matches.
	Match *InboxMatch

	Chosen, Spent []TakeRow
	Next          gateway.TakePosition
	More          bool // the call ended because of Scan

	passed, bytes int
}

// NewTaker returns the taker of a call for an agent.
func NewTaker(t *gateway.Take, scan int, dir *Directory, agent gateway.AgentID) *Taker {
	k := &Taker{Want: t, Scan: scan, Dir: dir, Next: t.After}
	if a, err := dir.Agent(agent); err == nil {
		k.Most = a.MaxDeliveries
	}
	return k
}

// Look takes the next delivery, and reports whether it wants another one.
func (k *Taker) Look(r TakeRow) (more bool) {
	size := max(int(r.Size), 0)
	full := k.Want.MaxBytes > 0 && len(k.Chosen) > 0 && k.bytes+size > k.Want.MaxBytes
	if k.More = !full && (k.passed == k.Scan || len(k.Spent) == mostSpent); full || k.More {
		return false
	}
	k.Next = r.position()
	switch {
	case !k.wants(&r):
		k.passed++
	case k.Most > 0 && r.Leases >= int64(k.Most):
		k.Spent = append(k.Spent, r)
	default:
		k.Chosen, k.bytes = append(k.Chosen, r), k.bytes+size
	}
	return len(k.Chosen) < k.Want.Max
}

// Compare ends a taker that looked only at what an earlier one had chosen. If others took
// some of it meanwhile, the next call looks at all again.
func (k *Taker) Compare(before *Taker) {
	k.Next, k.More = before.Next, before.More
	if len(k.Chosen) < len(before.Chosen) {
		k.Next, k.More = k.Want.After, true
	}
}

// Filters reports whether the call wants only some messages.
func (k *Taker) Filters() bool { return k.Want.Filter != gateway.TakeFilter{} }

// wants reports whether the filter matches a delivery.
func (k *Taker) wants(r *TakeRow) bool {
	if k.Match == nil {
		return true
	}
	sender := r.Sender
	if r.SenderAgent != 0 {
		from, _ := k.Dir.Address(r.SenderAgent)
		sender = from.String()
	}
	uuid, _ := r.ID.UUID()
	return k.Match.Matches(&InboxEntry{Sender: sender, InReplyTo: r.InReplyTo, Thread: r.Thread, UUID: uuid[:]})
}

// Filter returns the filter of the call in the form that the inbox has.
func (k *Taker) Filter() gateway.InboxFilter {
	f := &k.Want.Filter
	return gateway.InboxFilter{From: f.From, Thread: f.Thread, InReplyTo: f.InReplyTo}
}

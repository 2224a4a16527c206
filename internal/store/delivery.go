package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// How a local agent gets its messages.
const (
	ModePull = "pull"
	ModePush = "push"
)

// DeliveryRow is a delivery as it is stored, with the job that it waits for.
// Times are microseconds, 0 for none.
type DeliveryRow struct {
	Seq       int64
	Agent     gateway.AgentID
	Address   string // of a remote recipient
	State     gateway.State
	Changed   int64
	Delivered int64 // only where it differs from Changed
	Acked     int64
	Read      int64
	Refused   int64
	Leased    int64 // the end of the last lease, 0 for none
	Attempts  int64 // -1 where no number is stored
	Code      string
	Reason    string
	Pushed    bool
	Further   bool
	Redriven  int64
	Place     int64 // among the recipients, where Seq does not give the order
	Whole     bool  // no delivery: the subject of a job is the message itself
	Job       *JobRow
}

// JobRow is the part of a job that its deliveries show.
type JobRow struct {
	State    gateway.State
	Changed  int64
	Attempts int
	Due      int64
	Code     string
	Reason   string
}

// Delivery returns the delivery that the row holds. Damage describes a value that
// cannot be read. It is no error, so that a damaged row does not hide the other rows of
// a list.
func (r *DeliveryRow) Delivery(dir *Directory) gateway.Delivery {
	if r.Whole {
		return gateway.Delivery{}
	}
	d := gateway.Delivery{
		Agent: r.Agent, State: r.State, Changed: FromMicros(r.Changed), Delivered: FromMicros(r.Delivered),
		Acked: FromMicros(r.Acked),
		Read:  FromMicros(r.Read), Refused: FromMicros(r.Refused),
		Attempts: int(max(r.Attempts, 0)), ErrorCode: amtp.Code(r.Code), ErrorText: r.Reason,
	}
	d.Further, d.Redriven, d.Leased = r.Further, FromMicros(r.Redriven), FromMicros(r.Leased)
	arrived := r.Agent != 0 && (r.State == gateway.Delivered || r.State == gateway.Acknowledged)
	if arrived {
		d.ErrorText = "" // a reader's reason for giving it back
	}
	if !arrived || r.Pushed {
		d.ID = gateway.DeliveryID(r.Seq)
	}
	if r.Agent != 0 {
		d.Recipient, _ = dir.Address(r.Agent)
		d.Mode = ModePull
	} else if to, err := amtp.ParseAddress(r.Address); err != nil {
		d.Recipient, d.Damage = gateway.Unreadable(), unreadable("the recipient", r.Address, err)
	} else {
		d.Recipient = to
	}
	if r.Pushed {
		d.Mode = ModePush
	}
	if d.State == gateway.Delivered && d.Delivered.IsZero() {
		d.Delivered = d.Changed // only Changed is stored while both are the same
	}
	if r.Agent != 0 && !r.Pushed && r.Attempts < 0 {
		d.Attempts = 1 // a pull inbox takes a message at the first try
	}
	if d.State == gateway.Queued && r.Job != nil {
		r.Job.apply(&d)
	}
	return d
}

// Destination returns the destination of the delivery's job, even when its address
// cannot be read.
func (r *DeliveryRow) Destination() gateway.Destination {
	if r.Agent != 0 {
		return gateway.PushTo(r.Agent)
	}
	return gateway.Destination(strings.ToLower(r.Address[strings.LastIndexByte(r.Address, '@')+1:]))
}

// apply gives a delivery that is not decided the state of its job.
func (j *JobRow) apply(d *gateway.Delivery) {
	d.State = j.State
	if changed := FromMicros(j.Changed); changed.After(d.Changed) {
		d.Changed = changed
	}
	d.Attempts = j.Attempts
	if d.State != gateway.Delivering {
		d.NextDue = FromMicros(j.Due)
	}
	d.ErrorCode, d.ErrorText = amtp.Code(j.Code), j.Reason
}

// Deliveries returns the deliveries that the rows hold, in the order in which the
// message named the recipients.
func Deliveries(rows []DeliveryRow, dir *Directory) []gateway.Delivery {
	place := func(r *DeliveryRow) int64 {
		if r.Place != 0 {
			return r.Place
		}
		return r.Seq
	}
	slices.SortFunc(rows, func(a, b DeliveryRow) int { return cmp.Compare(place(&a), place(&b)) })
	list := make([]gateway.Delivery, len(rows))
	for i := range rows {
		list[i] = rows[i].Delivery(dir)
	}
	return list
}

// NewDelivery returns the delivery of a message that arrives now and is not stored yet.
// It also returns the destination for which the delivery is queued, "" when it enters
// an inbox.
func NewDelivery(r gateway.Recipient, address amtp.Address, mode string, now int64) (gateway.Delivery,
	gateway.Destination) {
	at := FromMicros(now)
	d := gateway.Delivery{Recipient: r.Address, Agent: r.Agent, State: gateway.Queued, Changed: at, NextDue: at}
	if r.Agent == 0 {
		return d, gateway.Destination(r.Address.Domain())
	}
	d.Recipient, d.Mode = address, mode
	if mode == ModePush {
		return d, gateway.PushTo(r.Agent)
	}
	d.Mode, d.State, d.Delivered, d.NextDue, d.Attempts = ModePull, gateway.Delivered, at, FromMicros(0), 1
	return d, ""
}

// Further reports whether a recipient is in another domain, and the message already has
// a delivery to that domain.
func Further(before []gateway.Delivery, r gateway.Recipient) bool {
	return r.Agent == 0 && slices.ContainsFunc(before, func(d gateway.Delivery) bool {
		return d.Agent == 0 && d.Recipient.Domain() == r.Address.Domain()
	})
}

// Names returns the ids, besides id, under which a message of an agent here is sent to
// a recipient in another domain. An answer refers to the message by one of them. id is
// the message's canonical id.
func Names(d *gateway.Delivery, id amtp.MessageID) (list []amtp.MessageID) {
	if d.Agent != 0 {
		return nil
	}
	// The id for the first recipient of a domain is computed from its own delivery.
	if base := d.Base(id); base != id && (!d.Further || !d.Redriven.IsZero()) {
		list = append(list, base)
	}
	if d.Further {
		list = append(list, d.Abroad(id))
	}
	return list
}

// Decided returns the state of a delivery after an attempt that decides it.
func Decided(e gateway.Event) (gateway.State, error) {
	switch e {
	case gateway.Success, gateway.Refuse, gateway.GiveUp:
		return gateway.Next(gateway.Delivering, e)
	}
	return 0, fmt.Errorf("the event %v does not decide a delivery", e)
}

// Lease begins an attempt at a job that is due: it sets everything that is stored
// before the attempt is made. A job is tried even when its state is not a valid one, so
// that other jobs do not wait for its repair.
func Lease(j *gateway.Job, now, lease int64) {
	j.State = gateway.Delivering
	j.Fence++
	j.Attempts++
	j.LastTry, j.Lease = FromMicros(now), FromMicros(lease).Add(gateway.Carrying(int64(j.Size)))
	if j.FirstTry.IsZero() {
		j.FirstTry = j.LastTry
	}
	j.Due = FromMicros(Micros(j.LastTry.Add(gateway.Backoff(j.ID, j.Attempts))))
	if j.Due.Before(j.Lease) {
		j.Due = j.Lease
	}
}

// Lapsed returns the state of a job whose lease ended before it was settled. A state
// that is not a valid one becomes Retrying.
func Lapsed(s gateway.State) gateway.State {
	if next, err := gateway.Next(s, gateway.Lapse); err == nil {
		return next
	}
	return gateway.Retrying
}

// Return undoes Lease, except for the fence: no attempt was made. When there were
// attempts before, LastTry keeps the time of the lease, because the time of the last
// real attempt is no longer known.
func Return(j *gateway.Job) (err error) {
	event := gateway.Postpone
	if j.Attempts--; j.Attempts == 0 {
		event = gateway.Return
		j.FirstTry, j.LastTry = time.Time{}, time.Time{}
	}
	j.State, err = gateway.Next(j.State, event)
	return err
}

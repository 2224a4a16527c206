package gateway

import "time"

// Retention says how long things are kept. Every length counts from the last
// change of a delivery: its acknowledgement, its arrival, its failure.
type Retention struct {
	Acknowledged   time.Duration // body, for a local recipient who acknowledged it
	Unacknowledged time.Duration // body, for a local recipient who did not
	// body, for a recipient elsewhere who has it, and for one by push who did not acknowledge it
	Sent   time.Duration
	Failed time.Duration // body, for a recipient who will never have it
	Status time.Duration // the message with its deliveries, without the body
	Keys   time.Duration // idempotency keys, at least MinKeys
}

const day = 24 * time.Hour

// MinKeys is the shortest time for which an idempotency key is remembered: a
// peer tries for seven days (AMTP §5), and its clock and queue may be late.
const MinKeys = 9 * day

// DefaultRetention returns what holds where nobody says otherwise.
func DefaultRetention() Retention {
	return Retention{
		Acknowledged: 30 * day, Unacknowledged: 180 * day, Sent: 30 * day, Failed: 30 * day,
		Status: 365 * day, Keys: MinKeys,
	}
}

// Shortest returns an age that nothing is purged before.
func (r Retention) Shortest() time.Duration {
	return min(r.Acknowledged, r.Unacknowledged, r.Sent, r.Failed)
}

// BodyEnds returns until when the body is kept: as long as any delivery wants
// it. It does not end while one of them is not decided.
func (r Retention) BodyEnds(deliveries []Delivery) (at time.Time, ends bool) {
	for i := range deliveries {
		d := &deliveries[i]
		keep, decided := r.body(d)
		if !decided {
			return time.Time{}, false
		}
		if until := d.Changed.Add(keep); until.After(at) {
			at = until
		}
	}
	return at, len(deliveries) > 0
}

// body returns how long one delivery wants the body after its last change.
func (r Retention) body(d *Delivery) (keep time.Duration, decided bool) {
	switch d.State {
	case Acknowledged:
		if d.Agent == 0 { // its gateway said so
			return r.Sent, true
		}
		return r.Acknowledged, true
	case Delivered:
		if d.Agent == 0 || d.Mode == "push" {
			return r.Sent, true
		}
		return r.Unacknowledged, true
	case Failed, Expired, Rejected, Cancelled:
		return r.Failed, true
	}
	return 0, false
}

// StatusEnds returns until when the message is known at all: never shorter than
// its body.
func (r Retention) StatusEnds(deliveries []Delivery) (at time.Time, ends bool) {
	at, ends = r.BodyEnds(deliveries)
	if until := lastChange(deliveries).Add(r.Status); until.After(at) {
		at = until
	}
	return at, ends
}

// KeyEnds returns until when an idempotency key is remembered that was last
// used at that time: never shorter than MinKeys after the last change of a
// delivery, and never while one is not decided.
func (r Retention) KeyEnds(used time.Time, deliveries []Delivery) (at time.Time, ends bool) {
	if last := lastChange(deliveries); last.After(used) {
		used = last
	}
	_, ends = r.BodyEnds(deliveries)
	return used.Add(max(r.Keys, MinKeys)), ends
}

// Kept is what the end of a message depends on.
type Kept struct {
	Body       bool // it is there
	Deliveries []Delivery
	Keys       []time.Time // when idempotency keys were used that no body tells
}

// LookTime is the shortest time after which a message is looked at again of which
// nothing could be removed.
const LookTime = 10 * time.Minute

// LookAgain returns when a message that was looked at now is to be looked at again.
// Nothing of it is due before. What agents, gateways and operators do meanwhile moves
// the end of a body to Shortest after that at the earliest. Without a body only
// two things move an end: another key, and a retry that adds a recipient.
func (r Retention) LookAgain(k Kept, now time.Time) time.Time {
	at, ends := time.Time{}, false
	if k.Body {
		at, ends = r.BodyEnds(k.Deliveries)
		if soon := now.Add(max(r.Shortest(), LookTime)); !ends || at.After(soon) {
			at = soon
		}
	} else {
		at = r.nextEnd(k, now)
	}
	if !at.After(now) {
		return now.Add(LookTime) // something holds it: a job, a key, or that it is the newest
	}
	if latest := now.Add(r.longest()); at.After(latest) {
		return latest // it is of a clock that was ahead
	}
	return at
}

// nextEnd returns the first end of a message without a body that is still to come,
// the zero time when there is none.
func (r Retention) nextEnd(k Kept, now time.Time) (next time.Time) {
	note := func(at time.Time, ends bool) {
		if ends && at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	note(r.StatusEnds(k.Deliveries))
	for _, used := range k.Keys {
		note(r.KeyEnds(used, k.Deliveries))
	}
	return next
}

// longest returns an age at which everything of a message has ended, unless
// something changes meanwhile.
func (r Retention) longest() time.Duration {
	return max(r.Acknowledged, r.Unacknowledged, r.Sent, r.Failed, r.Status, r.Keys, MinKeys)
}

// Shorter reports whether something is kept shorter than by the other retention.
func (r Retention) Shorter(than Retention) bool {
	return r.Acknowledged < than.Acknowledged || r.Unacknowledged < than.Unacknowledged || r.Sent < than.Sent ||
		r.Failed < than.Failed || r.Status < than.Status || r.Keys < than.Keys
}

// SenderDomain is how long a domain is remembered after its last message: as long as the
// status of that, and never shorter than it is held to its signatures and its
// retries may come.
func (r Retention) SenderDomain() time.Duration { return max(r.Status, Sticky, MinKeys) }

// Agent is how long an agent that was removed is known at the least, whether a
// message names it or not: what was under way when it left has ended by then.
func (r Retention) Agent() time.Duration { return day }

func lastChange(deliveries []Delivery) (last time.Time) {
	for i := range deliveries {
		if c := deliveries[i].Changed; c.After(last) {
			last = c
		}
	}
	return last
}

// Purged says what one Purge did.
type Purged struct {
	Bodies     int   // bodies removed; their messages are known still
	Messages   int   // messages forgotten, with their deliveries, aliases and keys
	Keys       int   // idempotency keys forgotten
	Peers      int   // domains forgotten
	Agents     int   // removed agents forgotten
	Unreadable int   // bodies that are due and cannot be read, which therefore stay
	Looked     int   // messages looked at
	Next       int64 // where to go on
	Done       bool  // behind Next nothing can be due yet
}

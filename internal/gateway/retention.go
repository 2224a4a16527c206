package gateway

import "time"

// Retention says how long data is kept. Every length counts from the last change of a
// delivery: its acknowledgement, its arrival, its failure.
type Retention struct {
	Acknowledged   time.Duration // body, for a local recipient who acknowledged it
	Unacknowledged time.Duration // body, for a local recipient who did not acknowledge it
	// body, for a recipient in another domain who has it, and for one by push who did
	// not acknowledge it
	Sent   time.Duration
	Failed time.Duration // body, for a recipient who will never have it
	Status time.Duration // the message with its deliveries, without the body
	Keys   time.Duration // idempotency keys, at least MinKeys
}

const day = 24 * time.Hour

// MinKeys is the shortest time for which an idempotency key is kept: a peer tries for
// seven days (AMTP §5), and its clock and queue may be late.
const MinKeys = 9 * day

// DefaultRetention returns the lengths that apply where the configuration sets none.
func DefaultRetention() Retention {
	return Retention{
		Acknowledged: 30 * day, Unacknowledged: 180 * day, Sent: 30 * day, Failed: 30 * day,
		Status: 365 * day, Keys: MinKeys,
	}
}

// Shortest returns the smallest age at which a body may be purged.
func (r Retention) Shortest() time.Duration {
	return min(r.Acknowledged, r.Unacknowledged, r.Sent, r.Failed)
}

// BodyEnds returns until when the body is kept: as long as any delivery needs it. It
// does not end while one of them is not decided.
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

// body returns how long one delivery needs the body after its last change.
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

// StatusEnds returns until when the message itself is kept: never shorter than its
// body.
func (r Retention) StatusEnds(deliveries []Delivery) (at time.Time, ends bool) {
	at, ends = r.BodyEnds(deliveries)
	if until := lastChange(deliveries).Add(r.Status); until.After(at) {
		at = until
	}
	return at, ends
}

// KeyEnds returns until when an idempotency key is kept that was last used at that
// time. It is kept at least until MinKeys after the last change of a delivery, and
// while a delivery is not decided.
func (r Retention) KeyEnds(used time.Time, deliveries []Delivery) (at time.Time, ends bool) {
	if last := lastChange(deliveries); last.After(used) {
		used = last
	}
	_, ends = r.BodyEnds(deliveries)
	return used.Add(max(r.Keys, MinKeys)), ends
}

// Kept is the data on which the end of a message depends.
type Kept struct {
	Body       bool // the body is stored
	Deliveries []Delivery
	Keys       []time.Time // when the idempotency keys were used that are stored apart from a body
}

// LookTime is the shortest time after which Purge looks again at a message that had
// nothing to remove.
const LookTime = 10 * time.Minute

// LookAgain returns when Purge looks again at a message that it looked at now. Nothing
// of the message is due before. Agents, gateways and operators can meanwhile move the
// end of a body to Shortest after that at the earliest. Without a body only two changes
// move an end: another key, and a retry that adds a recipient.
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
		return now.Add(LookTime) // it is still needed: by a job or a key, or because it is the newest
	}
	if latest := now.Add(r.longest()); at.After(latest) {
		return latest // it was written by a clock that was ahead
	}
	return at
}

// nextEnd returns the first future end of a message without a body, the zero time when
// there is none.
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

// longest returns an age at which everything of a message has ended, unless it changes
// meanwhile.
func (r Retention) longest() time.Duration {
	return max(r.Acknowledged, r.Unacknowledged, r.Sent, r.Failed, r.Status, r.Keys, MinKeys)
}

// Shorter reports whether r keeps any data for a shorter time than the other retention.
func (r Retention) Shorter(than Retention) bool {
	return r.Acknowledged < than.Acknowledged || r.Unacknowledged < than.Unacknowledged || r.Sent < than.Sent ||
		r.Failed < than.Failed || r.Status < than.Status || r.Keys < than.Keys
}

// SenderDomain is how long a domain is kept after its last message: as long as that
// message's status, and at least as long as the domain is held to its signatures and
// its retries may come.
func (r Retention) SenderDomain() time.Duration { return max(r.Status, Sticky, MinKeys) }

// Agent is how long a removed agent is kept at the least, whether a message names it or
// not. All work that was under way when it was removed has ended by then.
func (r Retention) Agent() time.Duration { return day }

func lastChange(deliveries []Delivery) (last time.Time) {
	for i := range deliveries {
		if c := deliveries[i].Changed; c.After(last) {
			last = c
		}
	}
	return last
}

// Purged says what one Purge removed.
type Purged struct {
	Bodies     int   // bodies removed; their messages are still stored
	Messages   int   // messages deleted, with their deliveries, aliases and keys
	Keys       int   // idempotency keys deleted
	Peers      int   // domains deleted
	Agents     int   // removed agents deleted
	Unreadable int   // due bodies that cannot be read and therefore stay
	Looked     int   // messages looked at
	Next       int64 // the position at which the next call continues
	Done       bool  // no message after Next can be due yet
}

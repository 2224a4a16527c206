package gateway

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/amtp-go/amtp"
)

// Courier carries one parcel to its recipients and returns the outcome for each. It
// changes nothing in this gateway. It may be asked again to carry a parcel that it has
// carried already.
type Courier interface {
	// Carry makes one attempt. It ends when ctx does. A recipient without an outcome is
	// tried again.
	Carry(ctx context.Context, p Parcel) Carriage
}

// Carriage is the result of one attempt.
type Carriage struct {
	Outcomes []Outcome
	// Down says that the destination cannot be reached or does not work, whatever the
	// message: no other attempt there is useful now.
	Down bool
	// Answered says that the destination's gateway answered, so that it is reachable.
	// When Down is set as well, the cause may be the gateway, the sender or the one
	// message. Then an attempt with another message is useful.
	Answered bool
	// Pause is how long the destination asked the gateway to wait before the next
	// attempt.
	Pause time.Duration
	// Host is the host of the attempt: an address and port, or the part that is known.
	// Destinations at one host fail together. "" means that the host is unknown.
	Host string
}

// All returns the carriage of a parcel in which every recipient has the same outcome.
func (p *Parcel) All(o Outcome) Carriage {
	c := Carriage{Outcomes: make([]Outcome, len(p.Recipients))}
	for i := range p.Recipients {
		c.Outcomes[i] = o
		c.Outcomes[i].Delivery = p.Recipients[i].ID
	}
	return c
}

// Outcome is the result of an attempt for one recipient.
type Outcome struct {
	Delivery   DeliveryID
	Event      Event // Success, Postpone or Refuse
	Code       amtp.Code
	Reason     string // a text of this gateway, never the other side's
	RetryAfter time.Duration
	Patience   Patience
	// Rekey says that the recipient does not have the message, and that the other side
	// would repeat its answer to the same idempotency key.
	Rekey bool
	Inbox bool // the success is an entry into the recipient's inbox
}

// Patience says how long the same trouble is retried before it counts as a refusal:
// until both limits are reached. The zero value sets no limit other than MaxAttempts
// and MaxAge.
type Patience struct {
	Tries int           // attempts in a row with the same trouble
	For   time.Duration // since the first of them
}

// Limits on the attempts of every job. AMTP §8.
const (
	MaxAttempts = 169 // the first and 168 retries
	MaxAge      = 7 * day
)

// Forgotten is how long after it was received a message may be sent again under its own
// id and key. The other side remembers them for seven days or more.
const Forgotten = 7 * day

// Longest delays between two attempts: maxDelay in this gateway's own schedule,
// maxRetryAfter when the other side asks for a delay.
const (
	maxDelay      = time.Hour
	maxRetryAfter = 24 * time.Hour
)

// Backoff returns the delay after an attempt of a job. Attempts count from 1. The
// delays are 1 s, 2 s, 4 s and so on up to an hour, each up to a quarter shorter or
// longer. The same attempt of the same job always has the same delay, so the delay need
// not be stored. AMTP §8.
func Backoff(job JobID, attempt int) time.Duration {
	delay := maxDelay
	if n := max(attempt, 1) - 1; n < 12 {
		delay = min(time.Second<<n, maxDelay)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(job))
	binary.BigEndian.PutUint64(b[8:], uint64(attempt))
	h := fnv.New64a()
	h.Write(b[:])
	const steps = 1 << 20
	jitter := 0.75 + 0.5*float64(mix(h.Sum64())%steps)/steps
	return time.Duration(float64(delay) * jitter)
}

// mix spreads the bits that FNV leaves alike for neighbouring inputs (the finalizer of
// MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// unheard returns the outcome of a recipient that the attempt did not reach. Where the
// destination is down, it is the outcome of the others.
func (c *Carriage) unheard(d DeliveryID) *Outcome {
	for i := range c.Outcomes {
		if o := &c.Outcomes[i]; c.Down && o.Event == Postpone && o.Patience == (Patience{}) {
			return &Outcome{Delivery: d, Event: Postpone, Code: o.Code, Reason: o.Reason}
		}
	}
	return &Outcome{Delivery: d, Event: Postpone, Code: amtp.CodeTemporaryFailure,
		Reason: "the attempt ended before its turn"}
}

// Settle decides how an attempt ends, from the stored job and the outcomes of its
// recipients, by a clock that is believed. Each recipient has its own trouble and its
// own delay. A recipient that is refused does not use up the patience with another. A
// recipient that asked for a day's delay does not delay another.
func (p *Parcel) Settle(c Carriage, now time.Time) Settlement {
	return p.SettleBy(c, ClockState{Now: now})
}

// SettleBy is Settle by a clock that may be doubted. While it is doubted, no job is
// given up because of a time that may be wrong.
func (p *Parcel) SettleBy(c Carriage, clock ClockState) Settlement {
	now := clock.Now
	s := Settlement{Job: p.ID, Fence: p.Fence, Now: now, Report: p.Reported()}
	said := make(map[DeliveryID]*Outcome, len(c.Outcomes))
	for i := range c.Outcomes {
		said[c.Outcomes[i].Delivery] = &c.Outcomes[i]
	}
	before := p.troubles()
	left := rest{now: now, backoff: now.Add(Backoff(p.ID, p.Attempts)), rekey: true}
	for i := range p.Recipients {
		d := p.Recipients[i].ID
		o, heard := said[d]
		if !heard {
			o = c.unheard(d)
		}
		trouble := p.trouble(before, d)
		waits := !heard && trouble.waits(now)
		if heard {
			trouble = trouble.after(o, now)
		}
		if event := p.decide(o, trouble, waits, &clock); event != Postpone {
			s.Results = append(s.Results, Result{Delivery: d, Event: event, Code: o.Code, Reason: o.Reason,
				Inbox: o.Inbox && event == Success})
			continue
		}
		left.add(o, trouble, heard)
	}
	left.settle(&s)
	return s
}

// decide returns the event for an outcome: Postpone while the trouble is retried,
// GiveUp when the limits on all attempts are reached, and Refuse when the patience with
// this trouble ended.
func (p *Parcel) decide(o *Outcome, t trouble, waits bool, clock *ClockState) Event {
	switch {
	case o.Event != Postpone:
		return o.Event
	case p.Attempts >= MaxAttempts && !waits, clock.Age(p.Begun) >= MaxAge:
		return GiveUp
	case o.Patience != Patience{} && t.same >= o.Patience.Tries && clock.Age(t.since) >= o.Patience.For:
		return Refuse
	}
	return Postpone
}

// rest is the recipients of an attempt that are not decided.
type rest struct {
	now     time.Time
	backoff time.Time // the earliest time of the next attempt
	list    []waiting
	said    *Outcome // the outcome that explains most
	spoke   bool     // said is the outcome of a recipient that the attempt reached
	trouble trouble  // of its recipient
	rekey   bool
}

// waiting is one recipient that is tried again, and the time of that attempt.
type waiting struct {
	delivery DeliveryID
	trouble  trouble
	due      time.Time
}

func (r *rest) add(o *Outcome, t trouble, heard bool) {
	due := r.backoff
	if heard {
		due = latest(due, r.now.Add(min(o.RetryAfter, maxRetryAfter)))
	} else if t.waits(r.now) {
		due = latest(due, t.until)
	}
	r.list = append(r.list, waiting{o.Delivery, t, due})
	// A recipient that the attempt did not reach does not replace a cause from one that
	// it reached.
	if r.said == nil || heard && (!r.spoke || o.RetryAfter > r.said.RetryAfter) {
		r.said, r.spoke, r.trouble = o, heard, t
	}
	// The job has one key. While any recipient may have the message under the present
	// key, the next attempt uses the same key.
	r.rekey = r.rekey && o.Rekey
}

// settle writes when and why the rest is tried again, and the recipients for which that
// differs.
func (r *rest) settle(s *Settlement) {
	if len(r.list) == 0 {
		return
	}
	s.Rekey, s.Code, s.Reason = r.rekey, r.said.Code, r.said.Reason
	if r.trouble.code == s.Code { // only a trouble with a limited patience is counted
		s.Since, s.Same = r.trouble.since, r.trouble.same
	}
	s.Due = r.list[0].due
	for _, w := range r.list {
		if w.due.Before(s.Due) {
			s.Due = w.due
		}
	}
	s.Troubles = r.others(s)
}

// Reported reports whether the sender gets a report of failures of the job. A sender at
// this gateway gets one for a message, and never for a report. A sender in another
// domain gets it from the gateway that accepted the message from that sender. AMTP §8.
func (j *Job) Reported() bool {
	return j.SenderAgent != 0 && j.Class != ClassGateway && j.Destination.Kind().Decides()
}

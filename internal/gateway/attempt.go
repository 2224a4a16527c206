package gateway

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"time"

	"github.com/amtp-go/amtp"
)

// Courier carries one parcel to its recipients. It returns what became of each;
// it changes nothing here, and it may be asked again for what it has carried
// already.
type Courier interface {
	// Carry makes one attempt. It ends when ctx does; a recipient that it says
	// nothing of is tried again.
	Carry(ctx context.Context, p Parcel) Carriage
}

// Carriage is what came of one attempt.
type Carriage struct {
	Outcomes []Outcome
	// Down says that the destination could not be reached or is not well,
	// whatever the message: nothing else is worth trying there now.
	Down bool
	// Pause is for how long the destination asked to be left alone.
	Pause time.Duration
}

// All is the carriage of a parcel of which every recipient has the same outcome.
func (p *Parcel) All(o Outcome) Carriage {
	c := Carriage{Outcomes: make([]Outcome, len(p.Recipients))}
	for i := range p.Recipients {
		c.Outcomes[i] = o
		c.Outcomes[i].Delivery = p.Recipients[i].ID
	}
	return c
}

// Outcome is what became of one recipient.
type Outcome struct {
	Delivery   DeliveryID
	Event      Event // Success, Postpone or Refuse
	Code       amtp.Code
	Reason     string // our words, never the other side's
	RetryAfter time.Duration
	Patience   Patience
	// Rekey says that the recipient does not have the message and that the other
	// side would say so again to the same idempotency key.
	Rekey bool
	Inbox bool // the success is an entry into the recipient's inbox
}

// Patience says how long the same trouble is borne before it counts as a
// refusal: when both were reached. The zero value is as long as anything is
// tried.
type Patience struct {
	Tries int           // attempts in a row that met it
	For   time.Duration // since the first of them
}

// How long anything is tried. AMTP §8.
const (
	MaxAttempts = 169 // the first and 168 retries
	MaxAge      = 7 * day
)

// Forgotten is how long after it was received a message may be sent again under
// its own id and key: the other side remembers them for seven days or more.
const Forgotten = 7 * day

// Longest delays between two attempts: of our own schedule, and when the other
// side asks for it.
const (
	maxDelay      = time.Hour
	maxRetryAfter = 24 * time.Hour
)

// Backoff returns how long to wait after an attempt of a job, counted from 1:
// 1 s, 2 s, 4 s and so on up to an hour, each up to a quarter shorter or longer.
// The same attempt always waits as long, so that nothing depends on memory.
// AMTP §8.
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

// mix spreads what FNV leaves alike in the bits of neighbouring inputs
// (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// unheard is the outcome of a recipient that had no turn: where the destination is
// down, what the others met.
func (c *Carriage) unheard(d DeliveryID) *Outcome {
	for i := range c.Outcomes {
		if o := &c.Outcomes[i]; c.Down && o.Event == Postpone && o.Patience == (Patience{}) {
			return &Outcome{Delivery: d, Event: Postpone, Code: o.Code, Reason: o.Reason}
		}
	}
	return &Outcome{Delivery: d, Event: Postpone, Code: amtp.CodeTemporaryFailure, Reason: "the attempt ended before its turn"}
}

// Settle decides how an attempt ends, from what is stored of the job and what
// became of its recipients.
func (p *Parcel) Settle(c Carriage, now time.Time) Settlement {
	s := Settlement{Job: p.ID, Fence: p.Fence, Now: now, Report: p.Reported()}
	said := make(map[DeliveryID]*Outcome, len(c.Outcomes))
	for i := range c.Outcomes {
		said[c.Outcomes[i].Delivery] = &c.Outcomes[i]
	}
	var later *Outcome // of those that are tried again, the one that said most
	spoke := false     // later is of a recipient that had its turn
	wait := time.Duration(0)
	s.Rekey = true
	for i := range p.Recipients {
		o := said[p.Recipients[i].ID]
		heard := o != nil
		if !heard {
			o = c.unheard(p.Recipients[i].ID)
		}
		if o.Event != Postpone {
			s.Results = append(s.Results, Result{Delivery: o.Delivery, Event: o.Event, Code: o.Code, Reason: o.Reason, Inbox: o.Inbox})
			continue
		}
		if event := p.patience(o, now); event != Postpone {
			s.Results = append(s.Results, Result{Delivery: o.Delivery, Event: event, Code: o.Code, Reason: o.Reason})
			continue
		}
		// A recipient that had no turn says nothing where another was told a cause.
		if later == nil || heard && (!spoke || o.RetryAfter > later.RetryAfter) {
			later, spoke = o, heard
		}
		wait = max(wait, min(o.RetryAfter, maxRetryAfter))
		// One key for all of a job: as long as anybody may have the message
		// under the present one, the next attempt has the same.
		s.Rekey = s.Rekey && o.Rekey
	}
	s.Rekey = s.Rekey && later != nil
	if later != nil {
		s.Code, s.Reason = later.Code, later.Reason
		if later.Patience != (Patience{}) { // only such a trouble is counted
			s.Since, s.Same = p.same(later.Code, now)
		}
		s.Due = now.Add(max(wait, Backoff(p.ID, p.Attempts)))
	}
	return s
}

// patience returns what a trouble comes to: Postpone while it is borne, GiveUp
// when nothing is tried any longer, and Refuse when this trouble was borne long
// enough.
func (p *Parcel) patience(o *Outcome, now time.Time) Event {
	if p.Attempts >= MaxAttempts || now.Sub(p.Begun) >= MaxAge {
		return GiveUp
	}
	if o.Patience == (Patience{}) {
		return Postpone
	}
	if since, tries := p.same(o.Code, now); tries >= o.Patience.Tries && now.Sub(since) >= o.Patience.For {
		return Refuse
	}
	return Postpone
}

// same returns since when and in how many attempts in a row the trouble was met,
// this one included. What is borne as long as anything is tried leaves no trace,
// so that an outage of days does not use up the patience with what follows it.
func (p *Parcel) same(code amtp.Code, now time.Time) (since time.Time, tries int) {
	if code != p.Code || p.Since.IsZero() {
		return now, 1
	}
	return p.Since, p.Same + 1
}

// Reported reports whether the sender hears of failures of the job: senders here
// do, of messages, never of reports. Who wrote from elsewhere hears from the
// gateway that took the message. AMTP §8.
func (j *Job) Reported() bool {
	return j.SenderAgent != 0 && j.Class != ClassGateway && j.Destination != Reports
}

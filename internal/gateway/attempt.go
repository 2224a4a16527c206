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
	// Answered says that its gateway answered, so that it is there: when it is Down
	// all the same, nobody knows whether that is about the gateway, the sender or
	// the one message, and another message is worth an attempt.
	Answered bool
	// Pause is for how long the destination asked to be left alone.
	Pause time.Duration
	// Host is where the attempt went: an address and port, or as much as is known.
	// Destinations at one host share its fate. "" is unknown.
	Host string
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
	return &Outcome{Delivery: d, Event: Postpone, Code: amtp.CodeTemporaryFailure,
		Reason: "the attempt ended before its turn"}
}

// Settle decides how an attempt ends, from what is stored of the job and what
// became of its recipients, by a clock that is believed. Each recipient has its own
// trouble and its own wait: one that is refused does not use up the patience with
// another, and one that is to be left alone for a day does not keep another waiting.
func (p *Parcel) Settle(c Carriage, now time.Time) Settlement {
	return p.SettleBy(c, ClockState{Now: now})
}

// SettleBy is Settle by a clock that may be doubted: then nothing is given up
// because of a time that may be wrong.
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

// decide returns what an outcome comes to: Postpone while the trouble is borne,
// GiveUp when nothing is tried any longer, and Refuse when this trouble was borne
// long enough.
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

// rest are the recipients of an attempt that are not decided.
type rest struct {
	now     time.Time
	backoff time.Time // before which nothing is tried again
	list    []waiting
	said    *Outcome // the one that said most
	spoke   bool     // said is what somebody said
	trouble trouble  // of its recipient
	rekey   bool
}

// waiting is one recipient that is tried again, with when.
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
	// A recipient that had no turn says nothing where another was told a cause.
	if r.said == nil || heard && (!r.spoke || o.RetryAfter > r.said.RetryAfter) {
		r.said, r.spoke, r.trouble = o, heard, t
	}
	// One key for all of a job: as long as anybody may have the message under the
	// present one, the next attempt has the same.
	r.rekey = r.rekey && o.Rekey
}

// settle notes when the rest is tried again and why, and of which recipients that
// is not the whole truth.
func (r *rest) settle(s *Settlement) {
	if len(r.list) == 0 {
		return
	}
	s.Rekey, s.Code, s.Reason = r.rekey, r.said.Code, r.said.Reason
	if r.trouble.code == s.Code { // only a trouble that is not borne for ever is counted
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

// Reported reports whether the sender hears of failures of the job: senders here
// do, of messages, never of reports. Who wrote from elsewhere hears from the
// gateway that took the message. AMTP §8.
func (j *Job) Reported() bool {
	return j.SenderAgent != 0 && j.Class != ClassGateway && j.Destination.Kind().Decides()
}

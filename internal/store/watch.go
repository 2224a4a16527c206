package store

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/wallclock"
)

const (
	maxWait  = gateway.MaxWait
	maxLease = gateway.MaxLease
)

// ClockSetting is the row of setting that keeps the ClockRecord.
const ClockSetting = "clock"

// anchorTime is how long a clock is compared with the same moment: one that goes
// a little too fast or too slow is none that jumps.
const anchorTime = time.Hour

// Watch compares the times that a store is told with the time that passes.
type Watch struct {
	clock wallclock.Clock

	correcting sync.Mutex // held to put right what is ahead of the clock

	mu     sync.Mutex
	record ClockRecord
	began  int64         // what the clock showed at the moment with which it is compared, µs
	ran    time.Duration // and when that was
	seen   time.Duration // when it was last looked at
	stored int64         // how many jumps the store knows
	wrote  time.Duration // when it was told
	open   bool
	told   bool // the last time that was told is of another clock
}

// NewWatch returns a Watch that Open begins.
func NewWatch(c wallclock.Clock) *Watch { return &Watch{clock: c.Complete()} }

// Open continues what the store remembers, "" for nothing. The newest message was
// received at that time, 0 for none.
func (w *Watch) Open(stored string, newest int64, now time.Time) error {
	if w.clock.Obeyed {
		return nil
	}
	at := Micros(now)
	c := NewClockRecord(newest, at)
	if stored != "" {
		c = ClockRecord{}
		if err := json.Unmarshal([]byte(stored), &c); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record, w.stored = c, c.Jumps
	w.record.Begin(at)
	w.began, w.ran, w.open = at, w.clock.Ran(), true
	w.seen, w.wrote = w.ran, w.ran-ClockEvery
	return nil
}

// See looks at a time that the clock showed a moment ago.
func (w *Watch) See(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = w.clock.Now().Round(0).Sub(now.Round(0)).Abs() > clockSlack
	w.see(now)
}

func (w *Watch) see(now time.Time) {
	if !w.open {
		return
	}
	at, ran := Micros(now), w.clock.Ran()
	passed := ran - w.ran
	by := at - w.began - us(passed)
	switch {
	case by > us(clockSlack) || by < -us(clockSlack):
		w.record.Jump(at, by)
		w.began, w.ran = at, ran
	default:
		w.record.Go(at, us(ran-w.seen))
		if passed >= anchorTime && by < us(clockSlack)/2 && by > -us(clockSlack)/2 {
			w.began, w.ran = at, ran
		}
	}
	w.seen = ran
}

// Jumped looks at the clock, which shows now, and reports whether it has jumped
// since the store was told. What is written from then on must not be found without
// the jump.
func (w *Watch) Jumped(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told {
		w.see(now)
	}
	return w.open && w.record.Jumps != w.stored
}

// State looks at the clock, which shows now, and says how far it is believed.
func (w *Watch) State(now time.Time) gateway.ClockState {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.see(now)
	c := &w.record
	return gateway.ClockState{
		Now: now, Doubt: time.Duration(c.Doubt) * time.Microsecond, Since: FromMicros(c.At),
		Jumps: c.Jumps, Jumped: length(c.Jumped), Started: c.Started,
	}
}

// length is a number of microseconds as a Duration, which holds 292 years.
func length(micros int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Microsecond)
	return time.Duration(max(min(micros, most), -most)) * time.Microsecond
}

// Record returns what is known of the clock at the moment.
func (w *Watch) Record() ClockRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.record
	c.Eras = append([]Era(nil), c.Eras...)
	return c
}

// Times returns how the clock, which shows now, reads times that are stored.
func (w *Watch) Times(now time.Time) Times { return Times{w.Record(), Micros(now)} }

// Times reads times that are stored, each of the message of a row, or of none
// where that is 0.
type Times struct {
	record ClockRecord
	now    int64
}

// At returns the time that one counts as.
func (t *Times) At(micros, row int64) time.Time {
	right, _ := t.record.Correct(micros, t.now, row)
	return FromMicros(right)
}

// TimeFixes are times of one message that a wrong clock wrote, with those that are to
// be written in their place.
type TimeFixes map[int64]int64

// Note does as At, and adds the time where it is to be written.
func (m *TimeFixes) Note(t *Times, micros, row int64) time.Time {
	right, lasting := t.record.Correct(micros, t.now, row)
	if lasting && right != micros {
		if *m == nil {
			*m = make(TimeFixes)
		}
		(*m)[micros] = right
	}
	return FromMicros(right)
}

// Doubts reports whether the clock may be wrong at all: in tests it may not.
func (t *Times) Doubts() bool { return t.record.At != 0 }

// Before returns the latest time that is surely not ahead of the clock.
func (t *Times) Before() int64 { return t.now + us(clockSlack) }

// CorrectDomain has the times of a peer count as they do now.
func (t *Times) CorrectDomain(p *gateway.SenderDomain) {
	for _, at := range []*time.Time{&p.FirstSeen, &p.LastSeen, &p.FirstSigned, &p.LastSigned} {
		*at = t.At(Micros(*at), 0)
	}
}

// CorrectParcel has the times by which it is decided whether a parcel is tried again count
// as they do now.
func (t *Times) CorrectParcel(p *gateway.Parcel) {
	p.Begun, p.Since = t.At(Micros(p.Begun), 0), t.At(Micros(p.Since), 0)
	p.Envelope.ReceivedAt = t.At(Micros(p.Envelope.ReceivedAt), 0) // what was begun after it was tried again
	p.Troubles = gateway.Retimed(p.Troubles, func(since int64) int64 { return Micros(t.At(since, 0)) },
		func(until int64) int64 { return until })
}

// CorrectJob puts right the times of a job, and reports whether it had to.
func (t *Times) CorrectJob(j *JobTimes) bool { return t.record.CorrectJob(j, t.now) }

// Now returns what the clock shows.
func (t *Times) Now() int64 { return t.now }

// Jumps returns how often the clock has jumped so far.
func (t *Times) Jumps() int64 { return t.record.Jumps }

// Ahead reports whether rows that lie ahead of the clock have yet to be put
// right.
func (w *Watch) Ahead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.record.Ahead
}

// IsCorrected notes that they are, unless the clock has jumped since that many jumps.
func (w *Watch) IsCorrected(jumps int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.record.Ahead && w.record.Jumps == jumps {
		w.record.Ahead = false
		w.wrote -= ClockEvery
	}
}

// CorrectTimes puts right the rows that lie ahead of the clock, which shows now, once after
// it has jumped. jobs puts right the next jobs behind one, and returns the last that it
// looked at, and whether there are more; rest puts right everything else but messages.
// A caller that needs it waits; other processes may do the same.
func (w *Watch) CorrectTimes(now time.Time, jobs func(t *Times, after int64) (last int64, more bool, err error),
	rest func(*Times) error) error {
	if !w.Ahead() {
		return nil
	}
	w.correcting.Lock()
	defer w.correcting.Unlock()
	if !w.Ahead() {
		return nil
	}
	times := w.Times(now)
	for after, more := int64(0), true; more; {
		var err error
		if after, more, err = jobs(&times, after); err != nil {
			return err
		}
	}
	if err := rest(&times); err != nil {
		return err
	}
	w.IsCorrected(times.Jumps())
	return nil
}

// IsDue reports whether what is known is to be stored.
func (w *Watch) IsDue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open && (w.record.Jumps != w.stored || w.seen-w.wrote >= ClockEvery)
}

// Merge returns what is to be stored where that is stored now, "" for nothing, and
// the newest message has that row. Another process on the store may have met the
// same jump before: then it is as that one says.
func (w *Watch) Merge(stored string, newest int64) (value string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stored != "" {
		var there ClockRecord
		if err := json.Unmarshal([]byte(stored), &there); err != nil {
			return "", err
		}
		if there.Jumps != w.stored {
			now := w.record.Last
			w.record = there
			if d := now - there.Last; d < -us(clockSlack) || d > us(ClockEvery+clockSlack) {
				w.record.Jump(now, d) // that is yet another one
			}
			w.record.Last = now
		}
	}
	w.record.End(newest)
	b, err := json.Marshal(w.record)
	return string(b), err
}

// IsStored notes that a value of Merge was stored.
func (w *Watch) IsStored(value string) {
	var c ClockRecord
	if json.Unmarshal([]byte(value), &c) != nil {
		return // it was made of numbers
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored, w.wrote = c.Jumps, w.seen
}

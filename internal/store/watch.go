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

// ClockSetting is the row of setting that holds the ClockRecord.
const ClockSetting = "clock"

// anchorTime is how long the clock is compared with the same reference moment. So a
// clock that runs a little too fast or too slow does not count as one that jumped.
const anchorTime = time.Hour

// Watch compares the times that a store is given with the time that passes.
type Watch struct {
	clock wallclock.Clock

	correcting sync.Mutex // held while times ahead of the clock are corrected

	mu     sync.Mutex
	record ClockRecord
	began  int64         // the clock at the reference moment, µs
	ran    time.Duration // the running time at the reference moment
	seen   time.Duration // the running time when the clock was last looked at
	stored int64         // the number of jumps that the store has recorded
	wrote  time.Duration // the running time when they were recorded
	open   bool
	told   bool // See was last given the time of another clock
}

// NewWatch returns a Watch, which has to be opened with Open.
func NewWatch(c wallclock.Clock) *Watch { return &Watch{clock: c.Complete()} }

// Open continues the record that the store remembers, "" for none. newest is when its
// newest message was received, 0 for none.
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

// See takes a time that the clock showed a moment ago.
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

// Jumped looks at the clock, which shows now, and reports whether it has jumped since
// the jumps were last stored. Times written from then on must be stored together with
// the jump.
func (w *Watch) Jumped(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told {
		w.see(now)
	}
	return w.open && w.record.Jumps != w.stored
}

// State looks at the clock, which shows now, and returns how far it is trusted.
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

// length converts microseconds to a Duration, which holds at most 292 years.
func length(micros int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Microsecond)
	return time.Duration(max(min(micros, most), -most)) * time.Microsecond
}

// Record returns a copy of the present record of the clock.
func (w *Watch) Record() ClockRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.record
	c.Eras = append([]Era(nil), c.Eras...)
	return c
}

// Times returns how the clock, which shows now, reads stored times.
func (w *Watch) Times(now time.Time) Times { return Times{w.Record(), Micros(now)} }

// Times reads stored times. Each belongs to the message of a row, or to no message
// where the row is 0.
type Times struct {
	record ClockRecord
	now    int64
}

// At returns the time that a stored time counts as.
func (t *Times) At(micros, row int64) time.Time {
	right, _ := t.record.Correct(micros, t.now, row)
	return FromMicros(right)
}

// TimeFixes are times of one message that a wrong clock wrote, with the times that are
// to replace them.
type TimeFixes map[int64]int64

// Note is At, and also adds the time to m if it is to be replaced.
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

// Doubts reports whether the clock may be wrong at all. In tests it may not.
func (t *Times) Doubts() bool { return t.record.At != 0 }

// Before returns the latest time that counts as not ahead of the clock.
func (t *Times) Before() int64 { return t.now + us(clockSlack) }

// CorrectDomain replaces the times of a domain by those that they count as now.
func (t *Times) CorrectDomain(p *gateway.SenderDomain) {
	for _, at := range []*time.Time{&p.FirstSeen, &p.LastSeen, &p.FirstSigned, &p.LastSigned} {
		*at = t.At(Micros(*at), 0)
	}
}

// CorrectParcel replaces the times of a parcel that decide whether it is retried by
// those that they count as now.
func (t *Times) CorrectParcel(p *gateway.Parcel) {
	p.Begun, p.Since = t.At(Micros(p.Begun), 0), t.At(Micros(p.Since), 0)
	p.Envelope.ReceivedAt = t.At(Micros(p.Envelope.ReceivedAt), 0) // when Begun is later, the job was redriven
	p.Troubles = gateway.Retimed(p.Troubles, func(since int64) int64 { return Micros(t.At(since, 0)) },
		func(until int64) int64 { return until })
}

// CorrectJob corrects the times of a job, and reports whether any changed.
func (t *Times) CorrectJob(j *JobTimes) bool { return t.record.CorrectJob(j, t.now) }

// Now returns the time that the clock shows.
func (t *Times) Now() int64 { return t.now }

// Jumps returns how often the clock has jumped so far.
func (t *Times) Jumps() int64 { return t.record.Jumps }

// Ahead reports whether rows with times ahead of the clock still have to be corrected.
func (w *Watch) Ahead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.record.Ahead
}

// IsCorrected notes that these rows are corrected, unless the clock has jumped since it
// had jumped that often.
func (w *Watch) IsCorrected(jumps int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.record.Ahead && w.record.Jumps == jumps {
		w.record.Ahead = false
		w.wrote -= ClockEvery
	}
}

// CorrectTimes corrects the rows with times ahead of the clock, which shows now, once
// after each jump. jobs corrects the next jobs after one, and returns the last job that
// it looked at, and whether there are more. rest corrects everything else but messages.
// A second caller in this process waits. Other processes may do the same work at the
// same time.
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

// IsDue reports whether the record has to be stored now.
func (w *Watch) IsDue() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open && (w.record.Jumps != w.stored || w.seen-w.wrote >= ClockEvery)
}

// Merge returns the record to store, given the record that is stored now, "" for none,
// and the row of the newest message. Another process on the store may have recorded the
// same jump before: then its record is used.
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
				w.record.Jump(now, d) // another jump since then
			}
			w.record.Last = now
		}
	}
	w.record.End(newest)
	b, err := json.Marshal(w.record)
	return string(b), err
}

// IsStored notes that a value from Merge was stored.
func (w *Watch) IsStored(value string) {
	var c ClockRecord
	if json.Unmarshal([]byte(value), &c) != nil {
		return // cannot happen: Merge encoded it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored, w.wrote = c.Jumps, w.seen
}

package store

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// How far the gateway trusts its clock.
const (
	// clockSlack is how far the clock may differ from the time that passes: the
	// corrections of a time server, and the delays of a slow machine.
	clockSlack   = 5 * time.Minute
	longestSleep = gateway.LongestSleep
	// longestOff is the longest time for which a gateway is assumed to be off.
	longestOff = 180 * 24 * time.Hour
	// After a jump, the clock has to agree with the time that passes for this long. A
	// time server needs as long to correct it.
	doubtSleep   = 15 * time.Minute // the machine may have slept
	doubtRunning = time.Hour
	doubtStart   = 24 * time.Hour // the process was off and could not measure
	// nearby is how far before the present era a corrected time may be and still be
	// stored, as the first time of that era. Other times are corrected only when they
	// are read.
	nearby = 24 * time.Hour
	// ClockEvery is how often the record of the clock is stored.
	ClockEvery = 5 * time.Minute
	maxEras    = 32
)

// ClockRecord is what a store remembers of its clock. Times and durations are in
// microseconds.
type ClockRecord struct {
	From    int64 `json:"from"`    // when the present era began; a sleep does not end an era
	Last    int64 `json:"last"`    // the clock when it was last looked at
	At      int64 `json:"at"`      // the clock just after the last jump
	Jumps   int64 `json:"jumps"`   // number of jumps so far
	Jumped  int64 `json:"jumped"`  // size of the last jump
	Breaks  int64 `json:"breaks"`  // number of jumps so far that were not a sleep
	Started bool  `json:"started"` // the last jump was found at a start
	Doubt   int64 `json:"doubt"`   // for how long the clock still has to agree
	Agreed  int64 `json:"agreed"`  // for how long it has agreed in this run
	Unsure  bool  `json:"unsure"`  // since the clock was last set, a start was in doubt
	Sound   int   `json:"sound"`   // short runs since then in which the clock agreed
	Ahead   bool  `json:"ahead"`   // rows with times ahead of the clock still have to be corrected
	Eras    []Era `json:"eras"`
}

// Era is a stretch of time before the present one, in which the clock did not jump.
type Era struct {
	From  int64 `json:"from"`
	To    int64 `json:"to"`
	Shift int64 `json:"shift"` // how far the present clock is ahead of the clock of this era
	Upto  int64 `json:"upto"`  // the newest message at its end, 0 when not known
}

// NewClockRecord returns the record of a store that remembers no clock. newest is when
// its newest message was received, 0 for none.
func NewClockRecord(newest, now int64) ClockRecord {
	c := ClockRecord{From: now, Last: now, At: now, Ahead: true}
	if newest > 0 {
		c.From = 1
		c.Last = max(newest, now)
	}
	return c
}

// Begin continues a record at a start. The doubt at a start is halved after every short
// run in which the clock agreed. So a gateway that is off for days again and again
// comes to trust its clock. A run of a day needs no such help.
func (c *ClockRecord) Begin(now int64) {
	gap := now - c.Last
	switch {
	case c.Agreed >= us(doubtStart):
		c.Sound = 0
	case c.Unsure && c.Agreed >= us(doubtSleep) && (c.Doubt > 0 || gap > us(longestSleep)):
		c.Sound++
	}
	c.Agreed = 0
	doubt := max(us(doubtStart)>>min(c.Sound, 10), us(doubtSleep))
	if c.Sound > 0 {
		c.Doubt = min(c.Doubt, doubt)
	}
	switch {
	case gap < -us(clockSlack), gap > us(longestOff), gap > us(longestSleep) && c.behind():
		c.jump(now, gap, c.Last+us(ClockEvery+clockSlack), us(doubtStart))
		c.Started, c.Unsure = true, true
	case gap > us(longestSleep): // the process was off, or the clock is ahead
		c.Last, c.At, c.Jumps, c.Jumped, c.Started, c.Unsure = now, now, c.Jumps+1, gap, true, true
		c.Doubt = max(c.Doubt, doubt)
	default:
		c.Last = now
	}
}

// behind reports whether the clock was once set back by more than longestSleep.
func (c *ClockRecord) behind() bool {
	return slices.ContainsFunc(c.Eras, func(e Era) bool { return e.Shift < -us(longestSleep) })
}

// Go notes that the clock agreed with the time that passed.
func (c *ClockRecord) Go(now, passed int64) {
	c.Last, c.Doubt, c.Agreed = now, max(c.Doubt-max(passed, 0), 0), c.Agreed+max(passed, 0)
}

// Jump notes that the clock jumped to now, and is ahead by so much of the time that it
// would show without the jump.
func (c *ClockRecord) Jump(now, by int64) {
	doubt := doubtRunning
	if by > 0 && by <= us(longestSleep) {
		doubt = doubtSleep
	}
	c.jump(now, by, now-by, us(doubt))
}

// jump ends an era. wrote is the latest time that was written in it.
func (c *ClockRecord) jump(now, by, wrote, doubt int64) {
	if by > us(longestSleep) || by < -us(longestSleep) {
		for i := range c.Eras {
			c.Eras[i].Shift += by
		}
		c.Eras = append(c.Eras, Era{From: c.From, To: max(wrote, c.From), Shift: by})
		c.From = now
		c.tidy()
	}
	if by < 0 || by > us(longestSleep) {
		c.Breaks++
		c.Unsure, c.Sound, c.Agreed = false, 0, 0
	}
	c.From = min(c.From, now)
	c.Last, c.At, c.Jumps, c.Jumped, c.Started, c.Ahead = now, now, c.Jumps+1, by, false, c.Ahead || by < 0
	c.Doubt = max(c.Doubt, doubt)
}

// tidy joins eras that were one before a wrong clock interrupted them, and drops those
// beyond maxEras.
func (c *ClockRecord) tidy() {
	for i := range c.Eras {
		for j := len(c.Eras) - 1; j > i; j-- {
			if a, b := &c.Eras[i], c.Eras[j]; joins(a, b) {
				a.To, a.Upto = max(a.To, b.To), b.Upto
				c.Eras = slices.Delete(c.Eras, j, j+1)
			}
		}
		if i == len(c.Eras)-1 {
			break
		}
	}
	for len(c.Eras) > maxEras {
		n := c.least()
		c.Eras = slices.Delete(c.Eras, n, n+1)
	}
}

// least returns the era whose loss does the least harm. That is the oldest era of a
// clock that was ahead, because its times are in the future and so show the fault
// themselves. Otherwise it is the oldest of all except the longest: what was written in
// the others is old by now, or was corrected.
func (c *ClockRecord) least() int {
	longest := 0
	for i, e := range c.Eras {
		if e.To-e.From > c.Eras[longest].To-c.Eras[longest].From {
			longest = i
		}
	}
	for i, e := range c.Eras {
		if i != longest && e.Shift < -us(clockSlack) {
			return i
		}
	}
	if longest == 0 {
		return 1
	}
	return 0
}

// joins reports whether a later era continues an earlier one.
func joins(a *Era, b Era) bool {
	d := a.Shift - b.Shift
	return d <= us(clockSlack) && d >= -us(clockSlack) && b.From >= a.From && b.From <= a.To+us(longestSleep)
}

// End notes the newest message for the eras that ended since the last call.
func (c *ClockRecord) End(newest int64) {
	for i := range c.Eras {
		if c.Eras[i].Upto == 0 {
			c.Eras[i].Upto = newest
		}
	}
}

// Correct returns the time that a stored time counts as now. The time belongs to the
// message of that row, or to no message where row is 0. lasting reports that the result
// may be stored in its place: it would not be corrected again.
func (c *ClockRecord) Correct(at, now, row int64) (right int64, lasting bool) {
	switch {
	case at == 0, c.At == 0: // no time, or a clock that is not in doubt
		return at, false
	case c.IsAhead(at, now):
		return now, true
	}
	var found *Era
	for i := range c.Eras {
		e := &c.Eras[i]
		if e.Shift <= us(clockSlack) || at < e.From || at > e.To || row != 0 && e.Upto != 0 && row > e.Upto {
			continue
		}
		if found == nil || e.Shift > found.Shift {
			found = e // of two possible eras, the one that makes the time younger
		}
	}
	if found == nil {
		return at, false
	}
	right = max(at, min(at+found.Shift, now))
	if right > found.To && c.From-right <= us(nearby) {
		return max(right, c.From), true
	}
	return right, false
}

// IsAhead reports whether a time was written by a clock that was ahead.
func (c *ClockRecord) IsAhead(at, now int64) bool { return c.At != 0 && at > now+us(clockSlack) }

// JobTimes are the times of a job, in microseconds, 0 for none.
type JobTimes struct {
	Changed, Begun, FirstTry, LastTry, Due, Lease, Redriven, Since int64
	Troubles                                                       string // as of gateway.Job
}

// CorrectJob corrects the times of a job that are ahead of the clock, and reports
// whether there were any. A job that had to wait when they were written waits for as
// long from now.
func (c *ClockRecord) CorrectJob(t *JobTimes, now int64) bool {
	before := *t
	t.Troubles = gateway.Retimed(t.Troubles, func(since int64) int64 {
		if c.IsAhead(since, now) {
			return now
		}
		return since
	}, func(until int64) int64 {
		if c.IsAhead(before.Changed, now) { // the recipient waits for as long as it had to
			return now + min(max(until-before.Changed, 0), us(maxWait))
		}
		return min(until, now+us(maxWait))
	})
	if c.IsAhead(t.Changed, now) {
		delay := min(max(t.Due-t.Changed, 0), us(maxWait))
		if t.Lease != 0 {
			t.Lease = now + min(max(t.Lease-t.Changed, 0), us(maxLease))
		}
		t.Due = now + delay
	}
	for _, at := range []*int64{&t.Changed, &t.Begun, &t.FirstTry, &t.LastTry, &t.Redriven, &t.Since} {
		if c.IsAhead(*at, now) {
			*at = now
		}
	}
	if t.Lease > now+us(maxLease) {
		t.Lease = now
	}
	if t.Due > now+us(maxWait) {
		t.Due = now
	}
	t.Due = max(t.Due, t.Lease)
	return *t != before
}

func us(d time.Duration) int64 { return d.Microseconds() }

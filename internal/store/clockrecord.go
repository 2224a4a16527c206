package store

import (
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// How far a clock is believed.
const (
	// clockSlack is by how much it may differ from the time that passes: what a
	// time server mends, and what a slow machine adds.
	clockSlack   = 5 * time.Minute
	longestSleep = gateway.LongestSleep
	// longestOff is how long a gateway is off, at the most.
	longestOff = 180 * 24 * time.Hour
	// How long a clock has to agree with the time that passes after it jumped: time
	// enough for a time server to be heard.
	doubtSleep   = 15 * time.Minute // it may have been a sleep
	doubtRunning = time.Hour
	doubtStart   = 24 * time.Hour // nobody was there to measure
	// nearby is how long before a jump a time may be that is written anew, as one of
	// the row of times that begins there. Others are only read anew.
	nearby = 24 * time.Hour
	// ClockEvery is how often what is known of the clock is stored.
	ClockEvery = 5 * time.Minute
	maxEras    = 32
)

// ClockRecord is what a store remembers of its clock. Times and lengths are
// microseconds.
type ClockRecord struct {
	From    int64 `json:"from"`    // since when what it shows is one row of times, a sleep aside
	Last    int64 `json:"last"`    // what it showed when it was last looked at
	At      int64 `json:"at"`      // what it showed after the last jump
	Jumps   int64 `json:"jumps"`   // so far
	Jumped  int64 `json:"jumped"`  // the last time
	Breaks  int64 `json:"breaks"`  // jumps so far that were no sleep
	Started bool  `json:"started"` // that was found at a start
	Doubt   int64 `json:"doubt"`   // for how long it has yet to agree
	Agreed  int64 `json:"agreed"`  // for how long it has agreed in this run
	Unsure  bool  `json:"unsure"`  // a start was doubted since it was set
	Sound   int   `json:"sound"`   // short runs since then in which it agreed
	Ahead   bool  `json:"ahead"`   // rows that lie ahead of it have yet to be put right
	Eras    []Era `json:"eras"`
}

// Era is a time in which the clock ran by itself, before it jumped.
type Era struct {
	From  int64 `json:"from"`
	To    int64 `json:"to"`
	Shift int64 `json:"shift"` // by how much the clock as it is now is ahead of the one of then
	Upto  int64 `json:"upto"`  // the newest message at its end, 0 when nobody looked
}

// NewClockRecord returns the record of a store that remembers nothing, whose newest
// message was received at that time, 0 for none.
func NewClockRecord(newest, now int64) ClockRecord {
	c := ClockRecord{From: now, Last: now, At: now, Ahead: true}
	if newest > 0 {
		c.From = 1
		c.Last = max(newest, now)
	}
	return c
}

// Begin continues a record at a start. What starts doubt is halved with every short
// run in which the clock agreed: so a gateway that is off for days again and again
// comes to believe its clock. A run of a day needs no such help.
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
	case gap > us(longestSleep): // it was off, or the clock is ahead
		c.Last, c.At, c.Jumps, c.Jumped, c.Started, c.Unsure = now, now, c.Jumps+1, gap, true, true
		c.Doubt = max(c.Doubt, doubt)
	default:
		c.Last = now
	}
}

// behind reports whether the clock has shown times long past the present ones.
func (c *ClockRecord) behind() bool {
	return slices.ContainsFunc(c.Eras, func(e Era) bool { return e.Shift < -us(longestSleep) })
}

// Go notes that the clock agreed while time passed.
func (c *ClockRecord) Go(now, passed int64) {
	c.Last, c.Doubt, c.Agreed = now, max(c.Doubt-max(passed, 0), 0), c.Agreed+max(passed, 0)
}

// Jump notes that the clock shows now and is by so much ahead of what it would
// show had it gone on.
func (c *ClockRecord) Jump(now, by int64) {
	doubt := doubtRunning
	if by > 0 && by <= us(longestSleep) {
		doubt = doubtSleep
	}
	c.jump(now, by, now-by, us(doubt))
}

// jump ends an era in which times up to wrote were written.
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

// tidy joins eras that were one, interrupted by a clock that was wrong, and
// forgets those beyond what is kept.
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

// least returns the era with which least is lost: the oldest of a clock that was
// ahead, of which the times themselves tell, or else the oldest of all but the
// longest, for what is of the others is old by now or was written anew.
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

// joins reports whether one era goes on in a later one.
func joins(a *Era, b Era) bool {
	d := a.Shift - b.Shift
	return d <= us(clockSlack) && d >= -us(clockSlack) && b.From >= a.From && b.From <= a.To+us(longestSleep)
}

// End notes the newest message of eras that ended since the last call.
func (c *ClockRecord) End(newest int64) {
	for i := range c.Eras {
		if c.Eras[i].Upto == 0 {
			c.Eras[i].Upto = newest
		}
	}
}

// Correct returns what a time that was written down counts as now. It is of the
// message of that row, or of none where row is 0. Lasting says that it may be
// written in place of the other: it is no time that would be put right again.
func (c *ClockRecord) Correct(at, now, row int64) (right int64, lasting bool) {
	switch {
	case at == 0, c.At == 0: // no time, and no clock that is doubted
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
			found = e // of two that may be meant, the one by which it is younger
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

// JobTimes are those of a job, in microseconds, 0 for none.
type JobTimes struct {
	Changed, Begun, FirstTry, LastTry, Due, Lease, Redriven, Since int64
	Troubles                                                       string // in which those of its recipients stand
}

// CorrectJob puts right the times of a job that lie ahead of the clock, and reports
// whether there were any. What was to wait when they were written waits for as
// long from now.
func (c *ClockRecord) CorrectJob(t *JobTimes, now int64) bool {
	before := *t
	t.Troubles = gateway.Retimed(t.Troubles, func(since int64) int64 {
		if c.IsAhead(since, now) {
			return now
		}
		return since
	}, func(until int64) int64 {
		if c.IsAhead(before.Changed, now) { // it waits for as long as it was to
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

package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
)

// trouble is what one recipient met again and again, and for how long it is to be
// left alone. The zero value is none.
type trouble struct {
	code  amtp.Code
	since time.Time // of the first attempt in a row
	same  int       // attempts in that row
	until time.Time // before which it is not tried, zero when it need not wait longer than its job
}

// waits reports whether the recipient is left alone at now. For longer than MaxWait
// none is: that was noted by a clock that was ahead.
func (t trouble) waits(now time.Time) bool { return t.until.After(now) && t.until.Sub(now) <= MaxWait }

// after returns the trouble after one more outcome. What is borne as long as
// anything is tried leaves no trace, so that an outage of days does not use up the
// patience with what follows it.
func (t trouble) after(o *Outcome, now time.Time) trouble {
	switch {
	case o.Patience == Patience{}:
		return trouble{}
	case o.Code != t.code || t.since.IsZero():
		return trouble{code: o.Code, since: now, same: 1}
	}
	return trouble{code: t.code, since: t.since, same: t.same + 1}
}

// trouble returns that of a recipient: its own where it has one, and else what is
// true of all of the job.
func (j *Job) trouble(own map[DeliveryID]trouble, d DeliveryID) trouble {
	if t, ok := own[d]; ok {
		return t
	}
	if j.Since.IsZero() {
		return trouble{}
	}
	return trouble{code: j.Code, since: j.Since, same: j.Same}
}

// others writes down the recipients that fare otherwise than the job: a line for
// each with its delivery, since when in microseconds, how often, until when it
// waits, and the code.
func (r *rest) others(s *Settlement) string {
	var b strings.Builder
	for _, w := range r.list {
		until := int64(0)
		if w.due.After(s.Due) {
			until = w.due.UnixMicro()
		}
		as := w.trouble.code == "" && s.Since.IsZero() || w.trouble.code == s.Code && w.trouble.since.Equal(s.Since)
		if as && until == 0 {
			continue
		}
		since := int64(0)
		if w.trouble.code != "" {
			since = w.trouble.since.UnixMicro()
		}
		for _, n := range []int64{int64(w.delivery), since, int64(w.trouble.same), until} {
			b.WriteString(strconv.FormatInt(n, 10))
			b.WriteByte(' ')
		}
		b.WriteString(string(w.trouble.code))
		b.WriteByte('\n')
	}
	return b.String()
}

// troubles reads what others wrote. A line that does not read says nothing.
func (j *Job) troubles() map[DeliveryID]trouble {
	if j.Troubles == "" {
		return nil
	}
	own := make(map[DeliveryID]trouble)
	for line := range strings.Lines(j.Troubles) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) != 5 {
			continue
		}
		var n [4]int64
		var err error
		for i := range n {
			if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
				break
			}
		}
		if err != nil {
			continue
		}
		own[DeliveryID(n[0])] = trouble{code: amtp.Code(fields[4]), since: micros(n[1]), same: int(n[2]),
			until: micros(n[3])}
	}
	return own
}

// Retimed returns the Troubles of a job with other times in them: since and until
// give for each that is there the one that it counts as, in microseconds.
func Retimed(troubles string, since, until func(int64) int64) string {
	if troubles == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(troubles) {
		if fields := strings.Split(line, " "); len(fields) == 5 {
			for i, right := range map[int]func(int64) int64{1: since, 3: until} {
				if n, err := strconv.ParseInt(fields[i], 10, 64); err == nil && n != 0 {
					fields[i] = strconv.FormatInt(right(n), 10)
				}
			}
			line = strings.Join(fields, " ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func micros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Now returns the parcel for the recipients that are tried at now: all but those
// that asked to be left alone for longer than the job waits, and all where there are
// no others.
func (p *Parcel) Now(now time.Time) Parcel {
	own := p.troubles()
	if len(own) == 0 {
		return *p
	}
	part := *p
	part.Recipients = nil
	for i := range p.Recipients {
		if !own[p.Recipients[i].ID].waits(now) {
			part.Recipients = append(part.Recipients, p.Recipients[i])
		}
	}
	if len(part.Recipients) == 0 {
		return *p
	}
	return part
}

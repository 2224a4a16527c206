package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
)

// trouble is one recipient's repeated failure, and the time before which it is not
// tried again. The zero value is none.
type trouble struct {
	code  amtp.Code
	since time.Time // of the first attempt in a row
	same  int       // attempts in that row
	until time.Time // the earliest time of the next attempt, zero when it need not wait longer than its job
}

// waits reports whether the recipient is not tried at now. A wait longer than MaxWait
// does not count: it was written by a clock that was ahead.
func (t trouble) waits(now time.Time) bool { return t.until.After(now) && t.until.Sub(now) <= MaxWait }

// after returns the trouble after one more outcome. An outcome without a limited
// patience leaves no trouble, so that an outage of days does not use up the patience
// with a later failure.
func (t trouble) after(o *Outcome, now time.Time) trouble {
	switch {
	case o.Patience == Patience{}:
		return trouble{}
	case o.Code != t.code || t.since.IsZero():
		return trouble{code: o.Code, since: now, same: 1}
	}
	return trouble{code: t.code, since: t.since, same: t.same + 1}
}

// trouble returns the trouble of a recipient: its own where it has one, and else that
// of the job.
func (j *Job) trouble(own map[DeliveryID]trouble, d DeliveryID) trouble {
	if t, ok := own[d]; ok {
		return t
	}
	if j.Since.IsZero() {
		return trouble{}
	}
	return trouble{code: j.Code, since: j.Since, same: j.Same}
}

// others encodes the recipients that differ from the job. Each has a line with its
// delivery, the start of its trouble in microseconds, the number of attempts, the end
// of its wait, and the code.
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

// troubles decodes the text that others wrote. A line that cannot be read is ignored.
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

// Retimed returns the Troubles of a job with corrected times. The functions since and
// until return, for each time that is present, the corrected one, in microseconds.
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

// Now returns the parcel with only the recipients that are tried at now: all but those
// that asked for a longer delay than the job waits, and all where there are no others.
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

package store

import (
	"github.com/amtp-go/amtp/internal/gateway"
)

// Pager decides which rows of a list are on a page, and where the page ends. Look is
// called for the rows in their order.
type Pager struct {
	Limit    int // rows on the page, 0 for any number
	Scan     int // rows that are looked at and not wanted, after which the page ends early
	Offset   int // wanted rows to skip before the first
	MaxBytes int // of the rows on the page after the first, 0 for any number

	Next       int64 // the last row that was looked at
	HasMore    bool  // the page ended before the list
	Incomplete bool  // the page ended before it was full

	rows, passed, bytes int
}

// Look takes the next row, and reports whether it is on the page. It changes nothing
// after the page has ended.
func (p *Pager) Look(row int64, size int, wanted bool) (stands bool) {
	if p.HasMore {
		return false
	}
	full := p.Limit > 0 && p.rows == p.Limit || p.MaxBytes > 0 && p.rows > 0 && p.bytes+size > p.MaxBytes
	p.Incomplete = p.passed == p.Scan && !full
	if p.HasMore = p.Incomplete || wanted && p.Offset == 0 && full; p.HasMore {
		return false
	}
	p.Next = row
	switch {
	case !wanted:
		p.passed++
		return false
	case p.Offset > 0:
		p.Offset--
		return false
	}
	p.rows, p.bytes = p.rows+1, p.bytes+size
	return true
}

// DeadPage returns the page of dead letters, without the letters.
func (p *Pager) DeadPage() gateway.DeadPage {
	return gateway.DeadPage{Next: gateway.DeliveryID(p.Next), HasMore: p.HasMore, Incomplete: p.Incomplete}
}

// JobPage returns the page of jobs, without the jobs.
func (p *Pager) JobPage() gateway.JobPage {
	return gateway.JobPage{Next: gateway.JobID(p.Next), HasMore: p.HasMore, Incomplete: p.Incomplete}
}

// InJobs reports whether a filter matches a job.
func InJobs(f *gateway.JobFilter, state gateway.State) bool { return f.State == 0 || state == f.State }

// InDead reports whether a filter matches a dead letter. dead is when it became one, in
// microseconds.
func InDead(f *gateway.DeadFilter, code string, dead int64) bool {
	return (f.Code == "" || code == string(f.Code)) && (f.Before.IsZero() || dead < Micros(f.Before))
}

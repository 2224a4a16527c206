package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// LookAhead returns how many due jobs with an earlier attempt a claim of limit jobs
// looks at. It is more than limit, so that the jobs of one flow do not hide those of
// another.
func LookAhead(wanted *gateway.Claiming, limit int) int { return 2*limit + 32 + wanted.Behind }

// Quota returns how many jobs of each flow a claim of limit jobs looks at, when it has
// found that many flows with new mail.
func Quota(wanted *gateway.Claiming, limit, flows int) int {
	return (limit+flows-1)/max(flows, 1) + wanted.Behind
}

// LookPast is the most flows without due new mail that one claim looks at.
const LookPast = 200

// Turns returns the most flows with due new mail that a claim of limit jobs looks at.
func Turns(wanted *gateway.Claiming, limit int) int { return limit + len(wanted.Except) }

// FlowSearch finds up to limit flows that have new mail due for one destination and may
// be leased.
type FlowSearch struct {
	Flows []gateway.Flow // the flows whose turn it is

	claimed   *gateway.Claimed
	wanted    *gateway.Claiming
	limit     int
	due, late int // flows that were looked at
}

// NewFlowSearch returns a search that notes in c which flows are held, and where it
// ended.
func NewFlowSearch(c *gateway.Claimed, wanted *gateway.Claiming, limit int) *FlowSearch {
	return &FlowSearch{claimed: c, wanted: wanted, limit: limit}
}

// More reports whether another flow is to be looked at.
func (l *FlowSearch) More() bool {
	return len(l.Flows) < l.limit && l.due < Turns(l.wanted, l.limit) && l.late < LookPast
}

// At notes the next flow that has new mail, and whether a job of it is due.
func (l *FlowSearch) At(flow gateway.Flow, due bool) {
	if !due {
		if l.late++; l.late == LookPast {
			l.claimed.Passed = flow
		}
		return
	}
	if l.due++; !Held(l.claimed, l.wanted, flow) {
		l.Flows = append(l.Flows, flow)
	}
}

// byTurns appends jobs to those that were chosen before. It takes one job of each flow,
// in the order in which the flows appear, then the second of each, and so on. It ends
// at limit jobs. All messages together stay within the bytes that are wanted, and the
// large messages of each flow within its share. Jobs of one flow keep their order,
// except that smaller jobs pass one that does not fit. c notes the first job that did
// not fit.
func byTurns[T any](c *gateway.Claimed, wanted *gateway.Claiming, chosen, jobs []T, of func(*T) *gateway.Job,
	limit int) []T {
	seen := make(map[gateway.Flow]int)
	var rounds [][]int // the jobs of each round
	for i := range jobs {
		flow := of(&jobs[i]).Flow
		n := seen[flow]
		seen[flow]++
		if n == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[n] = append(rounds[n], i)
	}
	size, large := int64(0), make(map[gateway.Flow]int64)
	add := func(j *gateway.Job) {
		size += int64(j.Size)
		if wanted.Share.Counts(j.Size) {
			large[j.Flow] += int64(j.Size)
		}
	}
	for i := range chosen {
		add(of(&chosen[i]))
	}
	for _, round := range rounds {
		for _, i := range round {
			if len(chosen) >= limit {
				return chosen
			}
			j := of(&jobs[i])
			switch {
			case wanted.Share.Full(j.Flow, large[j.Flow], j.Size):
				c.Left = cmp.Or(c.Left, gateway.Left{Flow: j.Flow, Size: j.Size})
			case wanted.Bytes > 0 && size+int64(j.Size) > wanted.Bytes:
				c.Needs = cmp.Or(c.Needs, j.Size)
			default:
				add(j)
				chosen = append(chosen, jobs[i])
			}
		}
	}
	return chosen
}

// Choose returns the jobs to lease, at most limit, from the due jobs of one
// destination. New mail comes first: the flows in turn, each with its earliest job
// first. Then come jobs that were tried before, the earliest first. tried is called
// only when the claim wants such jobs. Choose notes in c which flows are held, and the
// first message that was too large.
func Choose[T any](c *gateway.Claimed, wanted *gateway.Claiming, limit int, of func(*T) *gateway.Job, fresh []T,
	tried func() ([]T, error)) ([]T, error) {
	chosen := byTurns(c, wanted, nil, fresh, of, limit)
	if wanted.Part == gateway.Fresh || len(chosen) >= limit {
		return chosen, nil
	}
	list, err := tried()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(j T) bool { return Held(c, wanted, of(&j).Flow) })
	return byTurns(c, wanted, chosen, list, of, limit), nil
}

// Held reports whether a flow with a due job has no turn now, and notes it in c.
func Held(c *gateway.Claimed, wanted *gateway.Claiming, flow gateway.Flow) bool {
	held := slices.Contains(wanted.Except, flow)
	if held && !slices.Contains(c.Held, flow) {
		c.Held = append(c.Held, flow)
	}
	return held
}

// Rest notes in c what a claim left: whether jobs remain that were never tried, and
// when the next of the others is due. fresh and tried are the earliest due times of
// both kinds, zero for none.
func Rest(c *gateway.Claimed, wanted *gateway.Claiming, fresh, tried, now time.Time) {
	c.Fresh, c.Tried = !fresh.IsZero(), tried
	c.Next = wanted.Next(len(c.Jobs), earlier(fresh, tried), now)
}

// Waiting returns a destination with jobs. fresh and tried are the earliest due times of
// jobs that were never tried and of the others, in microseconds, 0 for none.
func Waiting(name string, fresh, tried int64) gateway.Waiting {
	return gateway.Waiting{Destination: gateway.Destination(name), Fresh: fresh != 0,
		Due: earlier(FromMicros(fresh), FromMicros(tried))}
}

// earlier returns the earlier of two times. A zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

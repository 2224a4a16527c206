package store

import (
	"cmp"
	"slices"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// LookAhead is how many jobs that were tried and are due a claim of so many looks
// at, so that one flow's do not hide another's.
func LookAhead(wanted *gateway.Claiming, limit int) int { return 2*limit + 32 + wanted.Behind }

// Quota is how many jobs of one flow a claim of so many looks at when it has
// found several flows with new mail.
func Quota(wanted *gateway.Claiming, limit, flows int) int {
	return (limit+flows-1)/max(flows, 1) + wanted.Behind
}

// LookPast is at how many flows whose new mail is not due one claim looks.
const LookPast = 200

// Turns is at how many flows whose new mail is due a claim of so many looks.
func Turns(wanted *gateway.Claiming, limit int) int { return limit + len(wanted.Except) }

// FlowSearch finds the flows whose new mail is due for one destination, of which so many
// may be leased.
type FlowSearch struct {
	Flows []gateway.Flow // that have their turn

	claimed   *gateway.Claimed
	wanted    *gateway.Claiming
	limit     int
	due, late int // flows that were looked at
}

// NewFlowSearch returns a Look that notes in c who is held, and where it ended.
func NewFlowSearch(c *gateway.Claimed, wanted *gateway.Claiming, limit int) *FlowSearch {
	return &FlowSearch{claimed: c, wanted: wanted, limit: limit}
}

// More reports whether another flow is to be looked at.
func (l *FlowSearch) More() bool {
	return len(l.Flows) < l.limit && l.due < Turns(l.wanted, l.limit) && l.late < LookPast
}

// At notes the next flow that has new mail, and whether some of it is due.
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

// byTurns chooses jobs behind those that were chosen before: one of each flow in
// the order in which the flows appear, then the next of each, and so on, up to
// limit of all and so many that the messages of all have the bytes that are wanted,
// and the large ones of each flow its share. Jobs of one flow keep their order, but
// for one that does not fit: smaller ones pass it, and c has the first such.
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

// Choose returns the jobs to be leased of those of one destination that are due,
// limit at the most: of new mail, the flows as their turns come, each with its
// earliest first, and then of what was tried, the earliest first. The latter is
// asked for only where it is wanted. It notes in c who is held, and what was too
// large.
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

// Held reports whether a flow that has something due has no turn, and notes it.
func Held(c *gateway.Claimed, wanted *gateway.Claiming, flow gateway.Flow) bool {
	held := slices.Contains(wanted.Except, flow)
	if held && !slices.Contains(c.Held, flow) {
		c.Held = append(c.Held, flow)
	}
	return held
}

// Rest notes in c what a claim left: when the first job that was never tried, and
// when the next of the others is due, zero where there is none.
func Rest(c *gateway.Claimed, wanted *gateway.Claiming, fresh, tried, now time.Time) {
	c.Fresh, c.Tried = !fresh.IsZero(), tried
	c.Next = wanted.Next(len(c.Jobs), Earlier(fresh, tried), now)
}

// Earlier returns the earlier of two times, either of which may be zero for none.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

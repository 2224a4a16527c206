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

// ByTurns chooses jobs behind those that were chosen before: one of each flow in
// the order in which the flows appear, then the next of each, and so on, up to
// limit of all and so many that the messages of all have the given bytes; 0 bytes
// are no bound. Jobs of one flow keep their order, but for one that does not fit:
// smaller ones pass it, and needs is the size of the first such, 0 for none.
func ByTurns[T any](chosen, jobs []T, of func(*T) *gateway.Job, limit int, bytes int64) (list []T, needs int) {
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
	size := int64(0)
	for i := range chosen {
		size += int64(of(&chosen[i]).Size)
	}
	for _, round := range rounds {
		for _, i := range round {
			if len(chosen) >= limit {
				return chosen, needs
			}
			more := of(&jobs[i]).Size
			if bytes > 0 && size+int64(more) > bytes {
				needs = cmp.Or(needs, more)
				continue
			}
			size += int64(more)
			chosen = append(chosen, jobs[i])
		}
	}
	return chosen, needs
}

// Choose returns the jobs to be leased of those of one destination that are due,
// limit at the most: of new mail, the flows as their turns come, each with its
// earliest first, and then of what was tried, the earliest first. The latter is
// asked for only where it is wanted. It notes in c who is held, and what was too
// large.
func Choose[T any](c *gateway.Claimed, wanted *gateway.Claiming, limit int, of func(*T) *gateway.Job, fresh []T, tried func() ([]T, error)) ([]T, error) {
	chosen, needs := ByTurns(nil, fresh, of, limit, wanted.Bytes)
	c.Needs = needs
	if wanted.Part == gateway.Fresh || len(chosen) >= limit {
		return chosen, nil
	}
	list, err := tried()
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(j T) bool { return Held(c, wanted, of(&j).Flow) })
	chosen, needs = ByTurns(chosen, list, of, limit, wanted.Bytes)
	c.Needs = cmp.Or(c.Needs, needs)
	return chosen, nil
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

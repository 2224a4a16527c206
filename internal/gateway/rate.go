package gateway

import (
	"context"
	"math"
	"time"
)

// Rate bounds the use of a resource: Burst units at once. Used units come back evenly,
// all of them within Period. The zero Rate bounds nothing.
type Rate struct {
	Burst  int64
	Period time.Duration
}

// Spent says how much of two rates is used, that of messages and that of bytes. Each
// value is the time, in microseconds since 1970, at which everything used has come
// back. The zero value means that nothing is used. Two values can be added whatever the
// rates are.
type Spent [2]int64

// maxDebt is how far ahead of the clock a Spent may be. A value further ahead was
// written before a clock went back.
const maxDebt = int64(4 * time.Hour / time.Microsecond)

// Cost returns how long n units of the rate take to come back, in microseconds. It is
// never more than the whole Period: a use larger than Burst is allowed when nothing
// else is used.
func (r Rate) Cost(n int64) int64 {
	if r.Burst <= 0 || n <= 0 {
		return 0
	}
	period := r.Period.Microseconds()
	cost := math.Ceil(float64(n) / float64(r.Burst) * float64(period))
	return min(int64(cost), period)
}

// Wait returns how long a use of this cost has to wait when the rate is used until
// then. It is 0 when the use is within the rate now.
func (r Rate) Wait(until, cost, now int64) time.Duration {
	if r.Burst <= 0 {
		return 0
	}
	over := r.Debt(until, now) + cost - r.Period.Microseconds()
	return time.Duration(max(over, 0)) * time.Microsecond
}

// Debt returns how much of the rate is used, as the time until it comes back. It is two
// periods at the most, so that a clock that went back makes no caller wait longer.
func (r Rate) Debt(until, now int64) int64 {
	return min(max(until-now, 0), 2*r.Period.Microseconds())
}

// Add returns the Spent after uses of this cost at now.
func (s Spent) Add(cost [2]int64, now int64) Spent {
	for i := range s {
		if cost[i] > 0 {
			s[i] = max(min(s[i], now+maxDebt), now) + cost[i]
		}
	}
	return s
}

// Tally is one gateway's use of a budget that it has not told the other gateways on its
// store yet.
type Tally struct {
	Name string // of the budget, the same in every gateway
	Cost [2]int64
}

// Tallies shares the counts of the gateways on one store.
type Tallies interface {
	// Tally adds each tally to the use of its budget by all gateways at now, and
	// returns the sums in the same order. The list has each name once. The sums need
	// not survive a crash of the store: then every budget begins anew.
	Tally(ctx context.Context, list []Tally, now time.Time) ([]Spent, error)

	// ForgetSpent deletes budgets whose use has all come back by now.
	ForgetSpent(ctx context.Context, now time.Time) error
}

package gateway

import (
	"context"
	"math"
	"time"
)

// Rate bounds how much of something may be used: Burst units at once. What was used
// comes back evenly, all of it within Period. The zero Rate bounds nothing.
type Rate struct {
	Burst  int64
	Period time.Duration
}

// Spent says how much of two rates is used, that of messages and that of bytes: by
// when all that was used has come back, in microseconds since 1970. The zero value
// is nothing used. Whatever the rates are, two values can be added.
type Spent [2]int64

// maxDebt is how far ahead of the clock a Spent may be. What is further was written
// before a clock went back.
const maxDebt = int64(4 * time.Hour / time.Microsecond)

// Cost returns how long n units of the rate take to come back, in microseconds. It
// is never more than the whole rate: what is larger than Burst may be used alone.
func (r Rate) Cost(n int64) int64 {
	if r.Burst <= 0 || n <= 0 {
		return 0
	}
	period := r.Period.Microseconds()
	cost := math.Ceil(float64(n) / float64(r.Burst) * float64(period))
	return min(int64(cost), period)
}

// Wait returns how long a use has to wait that takes so much to come back, when the
// rate is used until then. It is 0 when the use is within the rate now.
func (r Rate) Wait(until, cost, now int64) time.Duration {
	if r.Burst <= 0 {
		return 0
	}
	over := r.Debt(until, now) + cost - r.Period.Microseconds()
	return time.Duration(max(over, 0)) * time.Microsecond
}

// Debt returns how much of the rate is used, as the time that it takes to come back.
// A clock that went back makes nobody wait for longer than two periods.
func (r Rate) Debt(until, now int64) int64 {
	return min(max(until-now, 0), 2*r.Period.Microseconds())
}

// Add returns what is used after uses at now that cost so much.
func (s Spent) Add(cost [2]int64, now int64) Spent {
	for i := range s {
		if cost[i] > 0 {
			s[i] = max(min(s[i], now+maxDebt), now) + cost[i]
		}
	}
	return s
}

// Tally is what one gateway used of a budget, and has not told the others on its
// store yet.
type Tally struct {
	Name string // of the budget, the same in every gateway
	Cost [2]int64
}

// Tallies is what the gateways on one store share of what each of them counts.
type Tallies interface {
	// Tally adds each tally to what all gateways used of its budget by now, and
	// returns that in the same order. No name stands there twice. It need not survive
	// a crash of the store: then everybody begins anew.
	Tally(ctx context.Context, list []Tally, now time.Time) ([]Spent, error)

	// ForgetSpent forgets budgets of which everything has come back by now.
	ForgetSpent(ctx context.Context, now time.Time) error
}

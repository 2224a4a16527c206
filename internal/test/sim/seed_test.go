package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// seed is the number from which everything follows that a simulation decides.
type seed uint64

// at returns the chances of one place, such as the second post of one message to
// one recipient. They depend on the seed and the place and on nothing else: not on
// what was decided before, and not on who came first.
func (s seed) at(place ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, place...) // a hash takes everything
	return rand.New(rand.NewPCG(uint64(s), h.Sum64()))
}

// between returns a length of time, to the nanosecond: two things that happen in
// different places do not happen in the same moment.
func (s seed) between(least, most time.Duration, place ...any) time.Duration {
	return least + time.Duration(s.at(place...).Int64N(int64(most-least)))
}

// one returns one of the list.
func one[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

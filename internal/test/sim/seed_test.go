package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// seed is the number that determines all decisions of a simulation.
type seed uint64

// at returns the random numbers of one place, such as the second post of one message to
// one recipient. They depend only on the seed and the place, not on earlier decisions
// and not on the order of events.
func (s seed) at(place ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, place...) // a hash accepts every write
	return rand.New(rand.NewPCG(uint64(s), h.Sum64()))
}

// between returns a duration, to the nanosecond, so that two events in different places
// do not happen at the same moment.
func (s seed) between(least, most time.Duration, place ...any) time.Duration {
	return least + time.Duration(s.at(place...).Int64N(int64(most-least)))
}

// one returns an element of the list.
func one[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

package gateway

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/amtp-go/amtp"
)

// Flow is whose jobs take turns with those of others: a local agent who sends, or
// another domain whose messages are pushed to agents here. The zero Flow is
// nobody's.
type Flow int64

// FlowOf returns the flow of what a sender wrote: an agent here, or else somebody
// of the domain. The numbers are stored.
func FlowOf(agent AgentID, from amtp.Domain) Flow {
	switch {
	case agent != 0:
		return Flow(agent)
	case from == "":
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(from))
	return -Flow(mix(h.Sum64())>>2) - 1 // never that of an agent
}

// Turn is where a job stands among those of its destination that are due: under
// its flow as long as it was never tried, and behind all of those when it was.
// Stores keep jobs in this order, so that the flows that have new mail are found
// one after the other, however much each has. The numbers are stored.
type Turn int64

// TurnTried is the turn of every job that was tried.
const TurnTried Turn = math.MaxInt64

// TurnOf returns the turn of a job of the flow after so many attempts.
func TurnOf(flow Flow, attempts int) Turn {
	if attempts > 0 {
		return TurnTried
	}
	return Turn(flow)
}

// Part is some of the jobs of a destination.
type Part int

// The parts.
const (
	Both  Part = iota
	Fresh      // those that were never tried
	Tried
)

// Claiming says how many jobs of one destination are wanted.
type Claiming struct {
	Destination Destination
	Limit       int
	Most        int    // that may be leased at once, by all who claim; 0 is no bound
	Part        Part   // of the jobs, from which they are taken
	After       Flow   // whose turn it was last
	Except      []Flow // that have no turn now
	Bytes       int64  // of all messages together; 0 is no bound
	Behind      int    // how many jobs of a flow are looked at behind those that do not fit
	Share       Share  // of the large messages of one flow
}

// Share bounds the large messages of each flow, so that one leaves room for those of
// others. The zero value is no bound.
type Share struct {
	Bytes int64          // of one flow's together, those under way included
	From  int64          // bytes that make a message a large one
	Used  map[Flow]int64 // bytes of those that are under way
}

// Full reports whether a message of that size goes beyond what its flow may have, of
// which so much is leased by the present call.
func (s *Share) Full(f Flow, leased int64, size int) bool {
	return s.Bytes > 0 && s.Counts(size) && s.Used[f]+leased+int64(size) > s.Bytes
}

// Counts reports whether a message of that size is a large one.
func (s *Share) Counts(size int) bool { return int64(size) >= s.From }

// Left is a message that had its turn and was not leased, because its flow has its
// Share. The zero value is none.
type Left struct {
	Flow Flow
	Size int
}

// heldBack is how long a claim waits for what others have leased.
const heldBack = time.Second

// Next returns when it is worth to claim again, after a claim at now that leased
// so many and left a rest that is due then. What was due and was not leased
// although the limit left room waits for what others have leased.
func (c Claiming) Next(leased int, due, now time.Time) time.Time {
	if c.Most > 0 && leased < c.Limit && !due.IsZero() && !due.After(now) {
		return now.Add(heldBack)
	}
	return due
}

// Claimed are the jobs of one destination that were leased, in the order in which
// they are to be tried. What is leased is not of the rest.
type Claimed struct {
	Destination Destination
	Jobs        []Job
	// Next is when the next of the rest is due, zero when there is none, and not
	// at once where Claiming.Most holds it back.
	Next time.Time
	// Fresh says that jobs which were never tried are among the rest, and Tried
	// when the next of the others is due, zero when there is none.
	Fresh bool
	Tried time.Time
	// Held are flows of Except that have something due, some of them at least.
	Held []Flow
	// Needs is the size of the first message that had its turn and was left because
	// of its size, 0 when there is none.
	Needs int
	// Left is the first that was left because of its flow's Share.
	Left Left
	// Passed is the last of the flows that were looked at, where the call looked at
	// no more of them: the After of a call that goes on behind it. 0 is none.
	Passed Flow
}

// Waiting is a destination with when its earliest job is due, and whether some
// were never tried. Where some were not, that is the earliest of the first flow:
// another's may be due before, for as long as a clock may go back without a jump.
type Waiting struct {
	Destination Destination
	Due         time.Time
	Fresh       bool
}

// LeastRate is how many bytes of a message take another second of every time limit,
// on its way to another gateway as on its way from one: what is slower is cut off.
const LeastRate = 8 << 10

// Carrying returns how much longer than a small message one of so many bytes may
// take, in whole seconds.
func Carrying(size int64) time.Duration { return time.Duration(size/LeastRate) * time.Second }

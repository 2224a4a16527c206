package gateway

import (
	"hash/fnv"
	"math"
	"time"

	"github.com/amtp-go/amtp"
)

// Flow is the source of jobs, which take turns with those of other flows: a local agent
// who sends, or another domain whose messages are pushed to agents here. The zero Flow
// has no source.
type Flow int64

// FlowOf returns the flow of messages from a sender: an agent here, or else any address
// in the domain. The numbers are stored.
func FlowOf(agent AgentID, from amtp.Domain) Flow {
	switch {
	case agent != 0:
		return Flow(agent)
	case from == "":
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(from))
	return -Flow(mix(h.Sum64())>>2) - 1 // below zero, which no agent's is
}

// Turn is the order of a job among the due jobs of its destination: under its flow as
// long as it was never tried, and behind all of those when it was. Stores keep jobs in
// this order, so that the flows with new mail are found one after the other, however
// much each has. The numbers are stored.
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

// Part is a part of the jobs of a destination.
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
	After       Flow   // the flow that had the last turn
	Except      []Flow // flows that have no turn now
	Bytes       int64  // of all messages together; 0 is no bound
	Behind      int    // how many jobs of a flow are looked at behind those that do not fit
	Share       Share  // of the large messages of one flow
}

// Share bounds the large messages of each flow, so that one flow leaves room for those
// of others. The zero value is no bound.
type Share struct {
	Bytes int64          // all large messages of one flow together, those under way included
	From  int64          // bytes that make a message a large one
	Used  map[Flow]int64 // bytes of large messages that are under way
}

// Full reports whether a message of that size exceeds the Share of its flow, which has
// this many bytes leased by the present call.
func (s *Share) Full(f Flow, leased int64, size int) bool {
	return s.Bytes > 0 && s.Counts(size) && s.Used[f]+leased+int64(size) > s.Bytes
}

// Counts reports whether a message of that size is a large one.
func (s *Share) Counts(size int) bool { return int64(size) >= s.From }

// Left is a message that had its turn and was not leased, because its flow has used up
// its Share. The zero value is none.
type Left struct {
	Flow Flow
	Size int
}

// heldBack is how long a claim waits for jobs that others have leased.
const heldBack = time.Second

// Next returns when the next claim is useful. The last one, at now, leased so many jobs
// and left a rest that is due then. When due jobs were not leased although the limit
// left room, the next claim waits for jobs that others have leased.
func (c Claiming) Next(leased int, due, now time.Time) time.Time {
	if c.Most > 0 && leased < c.Limit && !due.IsZero() && !due.After(now) {
		return now.Add(heldBack)
	}
	return due
}

// Claimed has the jobs of one destination that were leased, in the order in which they
// are to be tried. The rest are the jobs that were not leased.
type Claimed struct {
	Destination Destination
	Jobs        []Job
	// Next is when the next of the rest is due, zero when there is none. Where
	// Claiming.Most delays it, that is not at once.
	Next time.Time
	// Fresh says that jobs which were never tried are among the rest. Tried is when the
	// next of the others is due, zero when there is none.
	Fresh bool
	Tried time.Time
	// Held are flows of Except that have due jobs, some of them at least.
	Held []Flow
	// Needs is the size of the first message that had its turn and was left because
	// of its size, 0 when there is none.
	Needs int
	// Left is the first message that was left because of its flow's Share.
	Left Left
	// Passed is the last flow that was looked at, where the call did not look at all of
	// them: the After of a call that continues behind it. 0 is none.
	Passed Flow
}

// Waiting is a destination, the time at which its earliest job is due, and whether some
// of its jobs were never tried. Where some were not, Due is that of the first flow:
// another flow's job may be due before, for as long as a clock may go back without a
// jump.
type Waiting struct {
	Destination Destination
	Due         time.Time
	Fresh       bool
}

// LeastRate is the number of bytes of a message that add a second to every time limit.
// It holds for messages to other gateways and from them. A slower transfer is cut off.
const LeastRate = 8 << 10

// Carrying returns how much longer than a small message a message of this size may
// take, in whole seconds.
func Carrying(size int64) time.Duration { return time.Duration(size/LeastRate) * time.Second }

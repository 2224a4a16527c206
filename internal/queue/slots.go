package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// class is a kind of attempt that has slots of its own. Attempts that get no answer hold
// slots of their class and of no other.
type class int

const (
	steady  class = iota // at new mail for a gateway in good health
	trial                // at new mail for a gateway that is not known, or that did not answer the last time
	again                // at mail that was tried before
	classes              // the number of classes
)

// Slots for attempts. At most half of them are for gateways that may not answer.
//
// reservedTrials of those for trials are for destinations whose mail has just arrived.
// However much other mail waits, and however long it gets no answer, the next one is
// tried within a second: one reserved slot is given out every trialEvery, and an
// attempt that is a trial or a repetition lasts at most trialTime.
const (
	maxSteady      = 320
	maxTrial       = 192
	maxAgain       = 128
	reservedTrials = 64
	trialEvery     = 500 * time.Millisecond
	trialTime      = 30 * time.Second // no more than trialKept*trialEvery
	trialBurst     = 8                // of these at once after a quiet time
	// maxLeased is how many attempts are made at once at one kind of destination.
	maxLeased = maxSteady + maxTrial + maxAgain
	// reserve is how many slots are reserved for destinations with few attempts under
	// way. A few destinations that take many slots and then do not answer thus leave room
	// for all others.
	reserve = maxSteady / 5
	// hostWidth is how many attempts are made at once at one host that does not
	// answer, under however many names.
	hostWidth = 64
	// fairParts: one flow may have the fairParts-th part of each class under way. Once it
	// has that many it begins no more until a quarter of them have ended, so that a claim
	// is worth its commit.
	fairParts = 4
	// manyTrials is from how many trials under way a flow is no longer among those that
	// are served first.
	manyTrials = 8
)

// slots counts the attempts under way.
type slots struct {
	most    [classes]int
	used    [classes]int
	held    [classes]map[gateway.Flow]int
	atLimit [classes]map[gateway.Flow]bool // the flows that have reached their fair share
	hosts   map[string]*host
	// reserved is how many reserved trials might begin, as of a time.
	reserved float64
	asOf     time.Time
}

// host is what is known about one address. It is kept while attempts are under way there,
// or while it does not answer.
type host struct {
	well   int // attempts at gateways in good health
	others int
	ill    bool
}

// underWay returns the count of attempts at healthy gateways, or at the others.
func (h *host) underWay(well bool) *int {
	if well {
		return &h.well
	}
	return &h.others
}

func newSlots() slots {
	s := slots{most: [classes]int{maxSteady, maxTrial - reservedTrials, maxAgain}, hosts: make(map[string]*host),
		reserved: trialBurst}
	for c := range s.held {
		s.held[c], s.atLimit[c] = make(map[gateway.Flow]int), make(map[gateway.Flow]bool)
	}
	return s
}

// free returns how many slots of a class are free.
func (s *slots) free(c class) int { return max(s.most[c]-s.used[c], 0) }

// perFree is how many slots a flow may hold for each slot that is free. The more flows
// want slots, the fewer each gets, so that some are always left for the next flow.
const perFree = 3

// fairShare returns how many slots of a class one flow may hold at most.
func fairShare(c class) int {
	return [classes]int{maxSteady / fairParts, maxTrial / fairParts, maxAgain / fairParts}[c]
}

// full reports whether a flow holds as many slots of a class as it may.
func (s *slots) full(c class, f gateway.Flow) bool {
	return s.atLimit[c][f] || s.held[c][f] >= max(perFree*s.free(c), 1)
}

// fullFlows returns the flows that are full.
func (s *slots) fullFlows(c class) (list []gateway.Flow) {
	for f := range s.held[c] {
		if s.full(c, f) {
			list = append(list, f)
		}
	}
	return list
}

// left returns how many attempts of a class may begin before a flow that is not full has
// more than its fair share.
func (s *slots) left(c class) int {
	most := 0
	for f, n := range s.held[c] {
		if !s.atLimit[c][f] {
			most = max(most, n)
		}
	}
	return fairShare(c) - most
}

// flowsWithManyTrials returns the flows that have many trials under way.
func (s *slots) flowsWithManyTrials() (list []gateway.Flow) {
	for f, n := range s.held[trial] {
		if n >= manyTrials {
			list = append(list, f)
		}
	}
	return list
}

// room returns how many attempts of a class one claim may begin. For gateways that may
// not answer it is a part of the free slots. So a claim for many destinations does not
// give a flow more than it may have.
func (s *slots) room(c class) int {
	if c == steady {
		return s.free(c)
	}
	return (s.free(c) + 3) / 4
}

// reservedNow returns how many of the reserved slots may be given out at now.
func (s *slots) reservedNow(now time.Time) int {
	s.reserved = min(s.reserved+float64(now.Sub(s.asOf))/float64(trialEvery), trialBurst)
	s.asOf = now
	return min(int(s.reserved), maxTrial-max(s.used[trial], maxTrial-reservedTrials))
}

// take notes that an attempt has begun.
func (s *slots) take(f *leasedJob) {
	s.used[f.class]++
	if s.held[f.class][f.Flow]++; s.held[f.class][f.Flow] >= fairShare(f.class) {
		s.atLimit[f.class][f.Flow] = true
	}
	if f.host != "" {
		h := s.hosts[f.host]
		if h == nil {
			h = &host{}
			s.hosts[f.host] = h
		}
		*h.underWay(f.healthy)++
	}
}

// release notes that an attempt has ended, and what it says about the host.
func (s *slots) release(f *attemptResult) {
	s.used[f.class]--
	s.held[f.class][f.Flow]--
	if n := s.held[f.class][f.Flow]; n <= fairShare(f.class)*3/4 {
		delete(s.atLimit[f.class], f.Flow)
		if n <= 0 {
			delete(s.held[f.class], f.Flow)
		}
	}
	if h := s.hosts[f.host]; h != nil {
		*h.underWay(f.healthy)--
		s.dropHost(f.host)
	}
	if !f.tried || f.reached == "" {
		return
	}
	h := s.hosts[f.reached]
	if ill := f.down && !f.answered; h != nil {
		h.ill = ill
	} else if ill {
		s.hosts[f.reached] = &host{ill: true}
	}
	s.dropHost(f.reached)
}

// dropHost forgets a host about which there is nothing to remember.
func (s *slots) dropHost(name string) {
	if h := s.hosts[name]; h != nil && h.well+h.others == 0 && !h.ill {
		delete(s.hosts, name)
	}
}

// hostRoom returns how many more attempts may be made at a host, at its healthy gateways
// or at the others. Gateways that do not answer take no slots from those at the same
// address that do.
func (s *slots) hostRoom(name string, well bool) int {
	h := s.hosts[name]
	switch {
	case h == nil:
		return maxWindow
	case h.ill && !well:
		return hostWidth - h.others
	}
	return maxWindow - *h.underWay(well)
}

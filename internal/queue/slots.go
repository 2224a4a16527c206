package queue

import (
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// class is a kind of attempt that has slots of its own: what does not answer holds
// those of its class and no others.
type class int

const (
	steady  class = iota // at new mail for a gateway in good health
	trial                // at new mail for one that nobody knows, or that did not answer the last time
	again                // at mail that was tried before
	classes              // how many there are
)

// Slots for attempts. At most half of them are for what may not answer.
//
// Of those for trials trialKept are for destinations that came a moment ago, so
// that whatever was there before, and however long it takes not to answer, the
// next one is tried within a second: they are given out one every trialEvery,
// and an attempt that is a trial or a repetition lasts trialTime.
const (
	maxSteady  = 320
	maxTrial   = 192
	maxAgain   = 128
	trialKept  = 64
	trialEvery = 500 * time.Millisecond
	trialTime  = 30 * time.Second // no more than trialKept*trialEvery
	trialBurst = 8                // of these at once after a quiet time
	// maxLeased is how many attempts are made at once at one kind of destination.
	maxLeased = maxSteady + maxTrial + maxAgain
	// reserve is how many slots are kept for destinations that have few attempts
	// under way: a handful that take many and then do not answer leave room for all
	// others.
	reserve = maxSteady / 5
	// hostWidth is how many attempts are made at once at one host that does not
	// answer, under however many names.
	hostWidth = 64
	// fair is the part of each class that one flow may have under way. Once it has had
	// so many it begins none until a quarter of them has ended, so that a claim is
	// worth its commit.
	fair = 4
	// heavy is how many trials a flow may have under way and still be among those
	// that are served first.
	heavy = 8
)

// slots counts the attempts under way.
type slots struct {
	most  [classes]int
	used  [classes]int
	held  [classes]map[gateway.Flow]int
	sated [classes]map[gateway.Flow]bool // those that have had as much as is fair
	hosts map[string]*host
	// kept are the trials that may be begun now beyond most of the class, as of a
	// time.
	kept float64
	asOf time.Time
}

// host is what is known of one address, for as long as it does not answer.
type host struct {
	well   int // attempts at gateways in good health
	others int
	ill    bool
}

// flying counts the attempts of the one kind or the other.
func (h *host) flying(well bool) *int {
	if well {
		return &h.well
	}
	return &h.others
}

func newSlots() slots {
	s := slots{most: [classes]int{maxSteady, maxTrial - trialKept, maxAgain}, hosts: make(map[string]*host),
		kept: trialBurst}
	for c := range s.held {
		s.held[c], s.sated[c] = make(map[gateway.Flow]int), make(map[gateway.Flow]bool)
	}
	return s
}

// free returns how many slots of a class are free.
func (s *slots) free(c class) int { return max(s.most[c]-s.used[c], 0) }

// most3 is how many slots a flow may hold for each one that is free: the more flows
// want some the less each gets, so that some are always left for the next.
const most3 = 3

// fairly returns how many slots of a class one flow may hold, however many are free.
func fairly(c class) int { return [classes]int{maxSteady / fair, maxTrial / fair, maxAgain / fair}[c] }

// full reports whether a flow holds as much of a class as it may.
func (s *slots) full(c class, f gateway.Flow) bool {
	return s.sated[c][f] || s.held[c][f] >= max(most3*s.free(c), 1)
}

// allFull returns the flows that are full.
func (s *slots) allFull(c class) (list []gateway.Flow) {
	for f := range s.held[c] {
		if s.full(c, f) {
			list = append(list, f)
		}
	}
	return list
}

// left returns how many attempts of a class may be begun before one flow that is
// not full has more than is fair.
func (s *slots) left(c class) int {
	most := 0
	for f, n := range s.held[c] {
		if !s.sated[c][f] {
			most = max(most, n)
		}
	}
	return fairly(c) - most
}

// allHeavy returns the flows that have many trials under way.
func (s *slots) allHeavy() (list []gateway.Flow) {
	for f, n := range s.held[trial] {
		if n >= heavy {
			list = append(list, f)
		}
	}
	return list
}

// room returns how many attempts of a class one claim may begin: of those that may
// not answer a part of what is free, so that a claim for many destinations does
// not give a flow more than it may have.
func (s *slots) room(c class) int {
	if c == steady {
		return s.free(c)
	}
	return (s.free(c) + 3) / 4
}

// keep returns how many of the slots that are kept may be given out at now.
func (s *slots) keep(now time.Time) int {
	s.kept = min(s.kept+float64(now.Sub(s.asOf))/float64(trialEvery), trialBurst)
	s.asOf = now
	return min(int(s.kept), maxTrial-max(s.used[trial], maxTrial-trialKept))
}

// take notes that an attempt has begun.
func (s *slots) take(f *flight) {
	s.used[f.class]++
	if s.held[f.class][f.Flow]++; s.held[f.class][f.Flow] >= fairly(f.class) {
		s.sated[f.class][f.Flow] = true
	}
	if f.host != "" {
		h := s.hosts[f.host]
		if h == nil {
			h = &host{}
			s.hosts[f.host] = h
		}
		*h.flying(f.well)++
	}
}

// give notes that an attempt has ended, and what it says of the host.
func (s *slots) give(f *finished) {
	s.used[f.class]--
	s.held[f.class][f.Flow]--
	if n := s.held[f.class][f.Flow]; n <= fairly(f.class)*3/4 {
		delete(s.sated[f.class], f.Flow)
		if n <= 0 {
			delete(s.held[f.class], f.Flow)
		}
	}
	if h := s.hosts[f.host]; h != nil {
		*h.flying(f.well)--
		s.drop(f.host)
	}
	if !f.tried || f.found == "" {
		return
	}
	h := s.hosts[f.found]
	if ill := f.down && !f.answered; h != nil {
		h.ill = ill
	} else if ill {
		s.hosts[f.found] = &host{ill: true}
	}
	s.drop(f.found)
}

// drop forgets a host of which there is nothing to remember.
func (s *slots) drop(name string) {
	if h := s.hosts[name]; h != nil && h.well+h.others == 0 && !h.ill {
		delete(s.hosts, name)
	}
}

// hostRoom returns how many attempts more may be made at a host, at gateways that are
// well or at others: names that do not answer take nothing from those beside them at
// the same address that do.
func (s *slots) hostRoom(name string, well bool) int {
	h := s.hosts[name]
	switch {
	case h == nil:
		return maxWindow
	case h.ill && !well:
		return hostWidth - h.others
	}
	return maxWindow - *h.flying(well)
}

package queue

import "github.com/amtp-go/amtp/internal/gateway"

// memory counts the bytes of the messages under way, of all kinds of destinations
// together. Only the queue's loop asks it, before a claim. A claimed job therefore has
// its memory, and no attempt spends its time waiting for memory.
type memory struct {
	used     int64
	unproven int64 // for attempts of the classes other than steady, which may fail
	shares   *shares
}

// shares are the bytes of large messages under way, by flow.
type shares struct {
	all, unproven map[gateway.Flow]int64
}

func newMemory() *memory {
	return &memory{shares: &shares{all: make(map[gateway.Flow]int64), unproven: make(map[gateway.Flow]int64)}}
}

// Bounds of the memory for messages, counted with all copies.
const (
	maxMemory   = 128 << 20
	maxUnproven = maxMemory * 3 / 4
	// smallReserve is reserved for small messages. It is enough for all attempts that one
	// flow may have, each at the largest of the small messages.
	smallReserve = 32 << 20
	// maxShare is how much of the memory one destination may take: all copies of the
	// largest message.
	maxShare = 32 << 20
	// One flow may have half of the memory for large messages, by class, so that other
	// flows find room. It never gets so much that another flow's largest message does
	// not fit.
	steadyShare   = (maxMemory - smallReserve) / 2
	unprovenShare = (maxUnproven - smallReserve) / 2
	flowShare     = maxMemory - smallReserve - maxShare
	// copies is how many copies of a message are in memory during an attempt: as stored,
	// as sent, and while it is signed.
	copies = 3
	// defaultMemory is assumed for a message of unknown size. Every claim may take it.
	defaultMemory = copies * 64 << 10
	// largeMessage is the memory above which a message counts as large: it may be under
	// way for minutes. It counts for the memory but not among the attempts at a
	// destination, so that small messages overtake it.
	largeMessage = maxShare / 8
)

// memoryFor returns how much memory a message of that size takes.
func memoryFor(size int64) int64 { return min(copies*size+1, maxShare) }

// free returns how much memory a class has left for small messages.
func (m *memory) free(c class) int64 {
	free := maxMemory - m.used
	if c != steady {
		free = min(free, maxUnproven-m.unproven)
	}
	return max(free, 0)
}

// freeForLarge returns how much memory a class has left for large messages.
func (m *memory) freeForLarge(c class) int64 { return max(m.free(c)-smallReserve, 0) }

// holds reports whether there is room for so many bytes.
func (m *memory) holds(c class, bytes int64) bool {
	return bytes <= m.freeForLarge(c) || bytes <= min(m.free(c), defaultMemory)
}

func (m *memory) take(c class, bytes int64) {
	m.used += bytes
	if c != steady {
		m.unproven += bytes
	}
}

// share returns how many bytes of large messages one flow may have in a class.
func share(c class) int64 {
	if c == steady {
		return steadyShare
	}
	return unprovenShare
}

// left returns how many more bytes of large messages a flow may have in a class.
func (m *memory) left(c class, f gateway.Flow) int64 {
	all, doubtful := m.shares.all[f], m.shares.unproven[f]
	if c == steady {
		return min(steadyShare-(all-doubtful), flowShare-all)
	}
	return min(unprovenShare-doubtful, flowShare-all)
}

// countShare adds the bytes of a large message to the share of its flow. Negative bytes
// take it off again.
func (m *memory) countShare(c class, f gateway.Flow, bytes int64) {
	if bytes <= defaultMemory && bytes >= -defaultMemory {
		return
	}
	add := func(to map[gateway.Flow]int64) {
		if to[f] += bytes; to[f] <= 0 {
			delete(to, f)
		}
	}
	add(m.shares.all)
	if c != steady {
		add(m.shares.unproven)
	}
}

// shareBudget is how much the claims of one round may take of the flows' shares. No claim
// knows whose messages another one gets, so each leaves as much as the others may get.
type shareBudget struct {
	*memory
	given int64                           // bytes of large messages that earlier claims may get
	used  [classes]map[gateway.Flow]int64 // bytes of messages, by class; nil before the first use
}

// grant limits a claim for an entry to the rest of a share. It reports false if the
// entry's message has to wait for the next claim.
func (p *shareBudget) grant(e *entry, h *allowance) bool {
	left := share(e.class) - p.given
	if e.neededBytes > 0 && memoryFor(e.neededBytes) > left && p.given > 0 {
		return false
	}
	if p.used[e.class] == nil {
		p.used[e.class] = make(map[gateway.Flow]int64, len(p.shares.all))
		for f := range p.shares.all {
			p.used[e.class][f] = (share(e.class) - p.left(e.class, f) + copies - 1) / copies
		}
	}
	h.share = gateway.Share{Bytes: max(left/copies, 1), From: defaultMemory / copies, Used: p.used[e.class]}
	if h.bytes > defaultMemory {
		h.bytes = min(h.bytes, max(left, defaultMemory))
		h.most = min(h.most, max(h.bytes/copies, e.neededBytes))
		p.given += h.bytes
	}
	return true
}

// allowance is what a claim for a destination may take.
type allowance struct {
	bytes  int64 // of memory
	most   int64 // of messages
	behind int   // how many jobs behind a large one it examines for small ones
	share  gateway.Share
}

// lookAhead is how many jobs behind a sender's large ones a claim examines for small
// messages.
const lookAhead = 128

// allowance returns how much memory a claim of n messages may take, and false if that is
// not enough for any message. While a large message waits for memory, smaller ones leave
// enough of the destination's share for it: it fits once the messages before it are done.
func (e *entry) allowance(n int, m *memory) (h allowance, ok bool) {
	l := e.of
	if e.leftBytes > 0 {
		h.behind = lookAhead
	}
	free := max(m.freeForLarge(e.class), min(m.free(e.class), defaultMemory))
	room, likely := min(free, maxShare-l.bytes), int64(n)*max(2*l.heaviest, defaultMemory/copies)
	if large := memoryFor(e.neededBytes); e.neededBytes > 0 && room >= large {
		h.bytes = min(room, max(large, likely))
		h.most = max(h.bytes/copies, e.neededBytes)
		return h, true
	} else if e.neededBytes > 0 {
		room, h.behind = min(room, maxShare-large-(l.bytes-l.largeBytes)), lookAhead
	}
	if room < copies {
		return allowance{}, false
	}
	h.bytes = min(room, max(likely, defaultMemory))
	h.most = h.bytes / copies
	return h, true
}

// neededMemory returns the memory of the message that an entry waits to claim.
func (e *entry) neededMemory() int64 { return max(memoryFor(e.neededBytes), copies) }

// memoryReason returns the reason of an entry that finds too little memory.
func (s *scheduler) memoryReason(e *entry) reason {
	if maxShare-e.of.bytes < e.neededMemory() {
		return reason{destination: true}
	}
	return reason{memory: true, class: e.class}
}

// countMemory counts the memory of a message under way, or with more = -1 frees it.
func (s *scheduler) countMemory(f *leasedJob, l *destination, more int64) {
	s.memory.take(f.class, more*f.weight)
	s.memory.countShare(f.class, f.Flow, more*f.weight)
	l.bytes += more * f.weight
	if f.weight > largeMessage {
		l.largeBytes += more * f.weight
	}
}

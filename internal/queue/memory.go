package queue

import "github.com/amtp-go/amtp/internal/gateway"

// memory counts the bytes of the messages that are carried, those of all kinds of
// destinations together. Only the queue's loop asks it, before a claim: what is
// claimed has its memory, and the time of its attempt does not pass while it waits
// for some.
type memory struct {
	used     int64
	doubtful int64 // of these, for attempts that may come to nothing
	shares   *shares
}

// shares are the bytes of large messages by the flows that have some under way.
type shares struct {
	all, doubtful map[gateway.Flow]int64
}

func newMemory() *memory {
	return &memory{shares: &shares{all: make(map[gateway.Flow]int64), doubtful: make(map[gateway.Flow]int64)}}
}

// Bounds of what is in memory, all copies of it.
const (
	maxMemory   = 128 << 20
	maxDoubtful = maxMemory * 3 / 4
	// spare is kept for small messages: what all attempts that one flow may have take
	// when each is for the largest message that is no large one.
	spare = 32 << 20
	// maxShare is how much of it one destination may take: all copies of the largest
	// message.
	maxShare = 32 << 20
	// Of what there is for large messages one flow may have half, by class, so that
	// those of others find room; and never so much that the largest of another does
	// not fit.
	steadyShare   = (maxMemory - spare) / 2
	doubtfulShare = (maxDoubtful - spare) / 2
	flowShare     = maxMemory - spare - maxShare
	// copies is how often a message is in memory while it is carried: as it is stored,
	// as it goes out, and while it is signed.
	copies = 3
	// guess is how much a message takes of which nothing is known yet, and what every
	// claim may take.
	guess = copies * 64 << 10
	// bulky is how much a message takes that may be under way for minutes. It counts
	// for the memory and not among the attempts at a destination: small messages pass it.
	bulky = maxShare / 8
)

// weigh returns what a message of that size takes.
func weigh(size int64) int64 { return min(copies*size+1, maxShare) }

// free returns what there is for attempts of a class at small messages.
func (m *memory) free(c class) int64 {
	free := maxMemory - m.used
	if c != steady {
		free = min(free, maxDoubtful-m.doubtful)
	}
	return max(free, 0)
}

// ample returns what there is for those at large ones.
func (m *memory) ample(c class) int64 { return max(m.free(c)-spare, 0) }

// holds reports whether there is room for so many bytes.
func (m *memory) holds(c class, bytes int64) bool {
	return bytes <= m.ample(c) || bytes <= min(m.free(c), guess)
}

func (m *memory) take(c class, bytes int64) {
	m.used += bytes
	if c != steady {
		m.doubtful += bytes
	}
}

// share returns how many bytes of large messages one flow may have in a class.
func share(c class) int64 {
	if c == steady {
		return steadyShare
	}
	return doubtfulShare
}

// left returns how many bytes more of large messages a flow may have in a class.
func (m *memory) left(c class, f gateway.Flow) int64 {
	all, doubtful := m.shares.all[f], m.shares.doubtful[f]
	if c == steady {
		return min(steadyShare-(all-doubtful), flowShare-all)
	}
	return min(doubtfulShare-doubtful, flowShare-all)
}

// portion notes that a large message of a flow is under way, or with less than none
// that it is no more.
func (m *memory) portion(c class, f gateway.Flow, bytes int64) {
	if bytes <= guess && bytes >= -guess {
		return
	}
	add := func(to map[gateway.Flow]int64) {
		if to[f] += bytes; to[f] <= 0 {
			delete(to, f)
		}
	}
	add(m.shares.all)
	if c != steady {
		add(m.shares.doubtful)
	}
}

// portions are what claims that are made together may take of the flows' shares. None
// of them knows whose messages another gets, so that each leaves as much as that may be.
type portions struct {
	*memory
	given int64                           // bytes that large messages may take of those before
	used  [classes]map[gateway.Flow]int64 // bytes of messages, by class; nil when nobody asked yet
}

// grant limits what a claim for an entry may take to what is left of a share, and
// reports false when its message has to wait for the next claim.
func (p *portions) grant(e *entry, h *hunger) bool {
	left := share(e.class) - p.given
	if e.needs > 0 && weigh(e.needs) > left && p.given > 0 {
		return false
	}
	if p.used[e.class] == nil {
		p.used[e.class] = make(map[gateway.Flow]int64, len(p.shares.all))
		for f := range p.shares.all {
			p.used[e.class][f] = (share(e.class) - p.left(e.class, f) + copies - 1) / copies
		}
	}
	h.share = gateway.Share{Bytes: max(left/copies, 1), From: guess / copies, Used: p.used[e.class]}
	if h.bytes > guess {
		h.bytes = min(h.bytes, max(left, guess))
		h.most = min(h.most, max(h.bytes/copies, e.needs))
		p.given += h.bytes
	}
	return true
}

// hunger is what a claim for a destination may take.
type hunger struct {
	bytes  int64 // of memory
	most   int64 // of messages
	behind int   // how far it looks for small ones behind a large one
	share  gateway.Share
}

// farBehind is how far a claim looks for small messages behind a sender's large ones.
const farBehind = 128

// hunger returns what a claim of n messages may take of the memory, false where
// that is not enough for any. While a large message waits for its memory, smaller
// ones leave so much of the destination's share that it fits as soon as those before
// it are done.
func (e *entry) hunger(n int, m *memory) (h hunger, ok bool) {
	l := e.of
	if e.left > 0 {
		h.behind = farBehind
	}
	free := max(m.ample(e.class), min(m.free(e.class), guess))
	room, likely := min(free, maxShare-l.bytes), int64(n)*max(2*l.heaviest, guess/copies)
	if large := weigh(e.needs); e.needs > 0 && room >= large {
		h.bytes = min(room, max(large, likely))
		h.most = max(h.bytes/copies, e.needs)
		return h, true
	} else if e.needs > 0 {
		room, h.behind = min(room, maxShare-large-(l.bytes-l.bulk)), farBehind
	}
	if room < copies {
		return hunger{}, false
	}
	h.bytes = min(room, max(likely, guess))
	h.most = h.bytes / copies
	return h, true
}

// needed returns how much memory the message takes that an entry waits to claim.
func (e *entry) needed() int64 { return max(weigh(e.needs), copies) }

// lacks returns for what an entry waits that finds too little memory.
func (s *scheduler) lacks(e *entry) reason {
	if maxShare-e.of.bytes < e.needed() {
		return reason{destination: true}
	}
	return reason{memory: true, class: e.class}
}

// carries notes that a message is under way, or with -1 that it is no more.
func (s *scheduler) carries(f *flight, l *destination, more int64) {
	s.memory.take(f.class, more*f.weight)
	s.memory.portion(f.class, f.Flow, more*f.weight)
	l.bytes += more * f.weight
	if f.weight > bulky {
		l.bulk += more * f.weight
	}
}

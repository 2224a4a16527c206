package httpapi

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/amtp-go/amtp/internal/access"
)

// firstPiece is how much of a body there is room for before any of it came.
const firstPiece = 64 << 10

// The shares of callers who showed nothing: they take no room from those who
// did, and one of them leaves most of theirs to the others.
const (
	strangersShare = 8 // an eighth of all is theirs
	addressShare   = 4 // of which a quarter may be that of one address
	// besideLargest is how many small messages there is room for beside the
	// largest, whatever the shares are: a busy peer's small ones never cease.
	besideLargest = 16
)

var errNoRoom = errors.New("too many bytes of bodies are in work")

// inflight counts the bytes that are in work: bodies of requests, and large answers
// that somebody may take minutes to read. Other gateways are strangers in it,
// for a body has to be read before it proves anything.
//
// An address is that of the connection, with IPv6 its /64 network. This machine
// is bound by the share of all strangers only: a proxy on it brings everybody's
// messages, and who is on it himself can do worse.
type inflight struct {
	mu        sync.Mutex
	known     int64
	strangers int64
	from      map[netip.Prefix]int64 // the strangers' by address, while it has any
	slow      map[*pace]bool         // bodies that take longer than one that does not move
}

// roomFor says what fits into a room.
type roomFor struct{ known, strangers, address int64 }

func (s *Server) roomFor() roomFor {
	largest := s.MaxMessage + besideLargest*firstPiece
	strangers := max(s.InFlight/strangersShare, largest)
	return roomFor{known: max(s.InFlight, largest), strangers: strangers, address: max(strangers/addressShare, largest)}
}

// stranger reports whether the caller showed nothing.
func (c *call) stranger() bool { return c.principal.Stranger() }

// makeRoom counts bytes among those in work until the call ends. Bytes that
// there is no room for are not counted.
func (c *call) makeRoom(bytes int64) bool {
	fits, r := c.s.roomFor(), &c.s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.stranger() {
		if r.known+bytes > fits.known {
			return false
		}
		r.known += bytes
		c.held += bytes
		return true
	}
	from := access.NetworkOf(c.from)
	if r.strangers+bytes > fits.strangers || !from.Addr().IsLoopback() && r.from[from]+bytes > fits.address {
		return false
	}
	r.addStranger(from, bytes)
	c.held += bytes
	return true
}

// leaveRoom gives back what the call has.
func (c *call) leaveRoom() {
	if c.held == 0 {
		return
	}
	r := &c.s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stranger() {
		r.addStranger(access.NetworkOf(c.from), -c.held)
	} else {
		r.known -= c.held
	}
	c.held = 0
}

func (r *inflight) addStranger(from netip.Prefix, bytes int64) {
	r.strangers += bytes
	if r.from == nil {
		r.from = make(map[netip.Prefix]int64)
	}
	if r.from[from] += bytes; r.from[from] == 0 {
		delete(r.from, from)
	}
}

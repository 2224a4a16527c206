package httpapi

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/amtp-go/amtp/internal/access"
)

// firstPiece is how many bytes of a body are reserved before any of them came.
const firstPiece = 64 << 10

// The shares of callers without a credential. They take no room from callers with one,
// and one address leaves most of the share to the others.
const (
	strangersShare = 8 // an eighth of all is theirs
	addressShare   = 4 // of which a quarter may be that of one address
	// besideLargest is how many small messages have room beside the largest one, whatever
	// the shares are: a busy peer sends small messages all the time.
	besideLargest = 16
)

var errNoRoom = errors.New("too many bytes of bodies are in work")

// inflight counts the bytes of requests and answers that are in work: bodies of requests,
// and large answers, which a client may take minutes to read. Other gateways count as
// strangers, because a body proves nothing before it is read.
//
// An address is that of the connection, for IPv6 its /64 network. For this machine only
// the share of all strangers is a limit: a proxy on it may bring the messages of all
// callers, and a program on it can do more harm in other ways.
type inflight struct {
	mu        sync.Mutex
	known     int64
	strangers int64
	from      map[netip.Prefix]int64 // the strangers' by address, while it has any
	slow      map[*pace]bool         // bodies that take longer than one that does not move
}

// roomFor is how many bytes may be in work, of each group of callers.
type roomFor struct{ known, strangers, address int64 }

func (s *Server) roomFor() roomFor {
	largest := s.MaxMessage + besideLargest*firstPiece
	strangers := max(s.InFlight/strangersShare, largest)
	return roomFor{known: max(s.InFlight, largest), strangers: strangers, address: max(strangers/addressShare, largest)}
}

// stranger reports whether the caller showed no credential.
func (c *call) stranger() bool { return c.principal.Stranger() }

// makeRoom counts bytes as in work until the call ends. It reports false, and counts
// nothing, if there is no room for them.
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

// leaveRoom gives back the bytes of the call.
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

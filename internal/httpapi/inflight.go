package httpapi

import (
	"errors"
	"net/netip"
	"sync"

	"github.com/amtp-go/amtp/internal/access"
)

// firstPiece is the number of bytes that are reserved for a body before its first byte.
const firstPiece = 64 << 10

// The shares of callers without a credential. Such callers take no room from callers
// with one, and one address leaves most of the share to the other addresses.
const (
	strangersShare = 8 // strangers have an eighth of all bytes
	addressShare   = 4 // one address may have a quarter of that eighth
	// besideLargest is the number of small messages that have room at the same time as the
	// largest one, whatever the shares are: a busy peer sends small messages all the time.
	besideLargest = 16
)

var errNoRoom = errors.New("too many bytes of bodies are in work")

// inflight counts the bytes that are in work: bodies of requests, and large answers, which
// a client may take minutes to read. Other gateways count as strangers, because a
// signature in a body proves nothing before the body is read.
//
// An address is that of the connection, for IPv6 its /64 network. Addresses of this
// machine have no limit but the share of all strangers. A proxy on this machine may pass
// on the messages of all callers, and a program on it can do more harm in other ways.
type inflight struct {
	mu        sync.Mutex
	known     int64
	strangers int64
	from      map[netip.Prefix]int64 // strangers' bytes by address, without entries of 0
	slow      map[*pace]bool         // bodies that have taken longer than pace.most
}

// roomFor is the number of bytes that may be in work for each group of callers.
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

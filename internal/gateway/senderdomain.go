package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// SenderDomain is what is remembered of another domain that wrote to us.
type SenderDomain struct {
	Domain      amtp.Domain
	FirstSeen   time.Time // of the first message that was taken
	LastSeen    time.Time // to the hour
	FirstSigned time.Time // of the first message with a valid signature, zero when there was none
	LastSigned  time.Time // to the hour
	Written     bool      // an agent here that is still there has written to it, by itself
}

// peerStep is how exact the times of a Peer are.
const peerStep = time.Hour

// Learns reports whether a message of the domain at now, signed or not, changes
// what is remembered of it.
func (p *SenderDomain) Learns(signed bool, now time.Time) bool {
	return p.FirstSeen.IsZero() || now.Sub(p.LastSeen) >= peerStep ||
		signed && (p.FirstSigned.IsZero() || now.Sub(p.LastSigned) >= peerStep)
}

// Sticky is for how long a domain that signed is held to it.
const Sticky = 30 * day

// History is for how long a domain has signed before it counts as known: a name that
// was made for the day is not.
const History = day

// Settled reports whether the domain has signed for longer than History at now.
func (p *SenderDomain) Settled(now time.Time) bool {
	return !p.FirstSigned.IsZero() && now.Sub(p.FirstSigned) >= History
}

// Familiar reports whether the domain is served while the disk is shorter than for
// others: an agent here has written to it, or it has signed for as long as it is held
// to that. Names below one's own domain cost nothing and are a day old tomorrow.
func (p *SenderDomain) Familiar(now time.Time) bool {
	return p.Written || !p.FirstSigned.IsZero() && now.Sub(p.FirstSigned) >= Sticky
}

// Sticks reports whether the domain is held to its signatures at now.
func (p *SenderDomain) Sticks(now time.Time) bool {
	return !p.LastSigned.IsZero() && now.Sub(p.LastSigned) < Sticky
}

// SenderDomains is the part of a Store that remembers other domains.
type SenderDomains interface {
	// SenderDomain returns what is known of a domain; only Domain is set when nothing is. It
	// is Written once a message of an agent to the domain is stored that no program
	// sent by itself, until the agent is removed.
	SenderDomain(context.Context, amtp.Domain) (SenderDomain, error)

	// NoteSenderDomain remembers that a message of the domain was taken at now, signed
	// or not. When it returns, a restart does not forget that the domain signs.
	// It writes only what changes the peer's times by an hour or more.
	NoteSenderDomain(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error

	// SenderDomainsPage lists peers in the order of their domains, those behind after
	// only.
	SenderDomainsPage(ctx context.Context, after amtp.Domain, limit int) ([]SenderDomain, error)
}

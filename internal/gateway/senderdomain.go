package gateway

import (
	"context"
	"time"

	"github.com/amtp-go/amtp"
)

// SenderDomain is what is stored of another domain that wrote to us.
type SenderDomain struct {
	Domain      amtp.Domain
	FirstSeen   time.Time // of the first message that was accepted
	LastSeen    time.Time // to the hour
	FirstSigned time.Time // of the first message with a valid signature, zero when there was none
	LastSigned  time.Time // to the hour
	Written     bool      // an agent that still exists here wrote to it, and not by an automatic message
}

// peerStep is the precision of the times of a SenderDomain.
const peerStep = time.Hour

// Learns reports whether a message of the domain at now, signed or not, changes the
// stored SenderDomain.
func (p *SenderDomain) Learns(signed bool, now time.Time) bool {
	return p.FirstSeen.IsZero() || now.Sub(p.LastSeen) >= peerStep ||
		signed && (p.FirstSigned.IsZero() || now.Sub(p.LastSigned) >= peerStep)
}

// Sticky is how long after its last signed message a domain must sign.
const Sticky = 30 * day

// History is how long a domain must have signed before it counts as known. A domain
// that was made for one day does not.
const History = day

// Settled reports whether the domain has signed for longer than History at now.
func (p *SenderDomain) Settled(now time.Time) bool {
	return !p.FirstSigned.IsZero() && now.Sub(p.FirstSigned) >= History
}

// Familiar reports whether the domain is still served when the disk is so short that
// others are not. It is when an agent here has written to the domain, or when the
// domain has signed for as long as Sticky. A day would not be enough: names below one's
// own domain cost nothing and are a day old tomorrow.
func (p *SenderDomain) Familiar(now time.Time) bool {
	return p.Written || !p.FirstSigned.IsZero() && now.Sub(p.FirstSigned) >= Sticky
}

// Sticks reports whether the domain must sign at now.
func (p *SenderDomain) Sticks(now time.Time) bool {
	return !p.LastSigned.IsZero() && now.Sub(p.LastSigned) < Sticky
}

// SenderDomains is the part of a Store that keeps other domains.
type SenderDomains interface {
	// SenderDomain returns what is stored of a domain; only Domain is set when nothing
	// is. It is Written once a message of an agent to the domain is stored that no
	// program sent by itself, until the agent is removed.
	SenderDomain(context.Context, amtp.Domain) (SenderDomain, error)

	// NoteSenderDomain stores that a message of the domain was accepted at now, signed
	// or not. After it returned, a restart does not forget that the domain signs. It
	// writes only changes of the domain's times by an hour or more.
	NoteSenderDomain(ctx context.Context, domain amtp.Domain, signed bool, now time.Time) error

	// SenderDomainsPage lists domains in the order of their names, only those after the
	// argument after.
	SenderDomainsPage(ctx context.Context, after amtp.Domain, limit int) ([]SenderDomain, error)
}

package access

import (
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/cache"
	"github.com/amtp-go/amtp/internal/gateway"
)

// recent keeps the store's answers about domains that sign for a while, so that a busy
// peer costs no reads. No message is accepted because of it: the store decides on a
// message that does not verify.
type recent struct {
	domains *cache.Cache[amtp.Domain, seenPeer]
}

// seenPeer is the store's answer about a domain.
type seenPeer struct {
	gateway.SenderDomain
	until time.Time
}

// Bounds of the answers that are kept.
const (
	recentDomains = 4096
	recentTime    = time.Minute
)

func newRecent() *recent {
	return &recent{domains: cache.New[amtp.Domain, seenPeer](recentDomains)}
}

func (r *recent) peer(d amtp.Domain, now time.Time) (gateway.SenderDomain, bool) {
	seen, ok := r.domains.Get(d)
	if !ok || !counts(seen.until, now) {
		return gateway.SenderDomain{}, false
	}
	return seen.SenderDomain, true
}

func (r *recent) notePeer(d amtp.Domain, p gateway.SenderDomain, now time.Time) {
	r.domains.Set(d, seenPeer{p, now.Add(recentTime)})
}

// counts reports whether an answer that is kept until then counts now. A clock that
// went back prolongs nothing.
func counts(until, now time.Time) bool { return now.Before(until) && until.Sub(now) <= recentTime }

package limits

import (
	"net/netip"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// Bounds of look-ups of domains that are new to the gateway, in addition to their rate.
const (
	dearLookUp  = 5               // as how many a look-up counts that no name server answered
	mostLooking = 12              // how many one widest network may have under way
	lookingWait = 5 * time.Second // how long a caller beyond that is asked to wait
)

// LookUp decides on a look-up of a domain that is new to the gateway, caused by a message
// from the address. The caller calls done when the look-up is over, with whether any
// name server answered.
func (l *Limits) LookUp(from netip.Addr) (done func(answered bool), refused *amtp.Error) {
	networks := Networks(from)
	if l == nil || len(networks) == 0 {
		return func(bool) {}, nil
	}
	widest := networks[len(networks)-1]
	if refused := l.look(widest); refused != nil {
		return nil, refused
	}
	if refused := l.take(lookUps, from); refused != nil {
		l.looked(widest)
		return nil, refused
	}
	return func(answered bool) {
		l.looked(widest)
		if !answered {
			l.use(lookUps, from, dearLookUp-1, 0)
		}
	}, nil
}

// look counts a look-up that is under way.
func (l *Limits) look(widest netip.Prefix) *amtp.Error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking[widest] >= mostLooking {
		l.refused[lookUps][address]++
		e := amtp.Errorf(amtp.CodeRateLimitExceeded,
			"Too many domains that are new to this gateway are being looked up for the network %s now; try again in %d seconds.",
			widest, int(lookingWait.Seconds()))
		e.RetryAfter = lookingWait
		return e.With("limit", admin.LimitNetwork).With("unit", "domains")
	}
	l.looking[widest]++
	return nil
}

func (l *Limits) looked(widest netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking[widest]--; l.looking[widest] == 0 {
		delete(l.looking, widest)
	}
}

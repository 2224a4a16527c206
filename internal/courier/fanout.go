package courier

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Features by which a gateway says that it accepts one message in several deliveries,
// each with one recipient. fanout says just that; a gateway that knows receipts accepts
// it as well.
var fanOutFeatures = []string{"fanout", amtp.FeatureReceipts}

// takesFanOut reports whether, by the domain's record, its gateway accepts one id in
// several deliveries.
func takesFanOut(found discovery.Found) bool {
	return found.Signs() || slices.ContainsFunc(found.Features, func(word string) bool {
		return slices.Contains(fanOutFeatures, word)
	})
}

// fanOutMatters reports whether it makes a difference to the parcel if the gateway takes
// fan-out. For most parcels it does not, and the store is not asked.
func fanOutMatters(p *gateway.Parcel) bool {
	return p.Envelope.InReplyTo != "" || slices.ContainsFunc(p.Recipients,
		func(d gateway.Delivery) bool { return d.Further })
}

// fanOuts remembers for a while which domains sign their messages to us, because many
// messages in a row need to know.
type fanOuts struct {
	mu    sync.Mutex
	signs map[amtp.Domain]signing
}

type signing struct {
	signs bool
	until time.Time
}

// Bounds of what is remembered.
const (
	signsFor = time.Minute
	maxSigns = 1000 // domains
)

// signs reports whether messages that the domain signed came lately. A gateway that signs
// knows that one message comes in several deliveries. AMTP §9. If the store cannot say,
// the answer is no, because an id of its own harms no further recipient.
func (r *Remote) signs(ctx context.Context, d amtp.Domain) bool {
	now := r.Now()
	r.known.mu.Lock()
	known, ok := r.known.signs[d]
	r.known.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.signs
	}
	p, err := r.Memory.SenderDomain(ctx, d)
	if err != nil {
		return false
	}
	known = signing{signs: p.Sticks(now), until: now.Add(signsFor)}
	r.known.mu.Lock()
	defer r.known.mu.Unlock()
	if r.known.signs == nil || len(r.known.signs) >= maxSigns {
		r.known.signs = make(map[amtp.Domain]signing)
	}
	r.known.signs[d] = known
	return known.signs
}

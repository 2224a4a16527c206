package testnet_test

import (
	"fmt"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// way leads from one person to another, through the proxy of the other's gateway.
type way struct {
	from, to *testnet.Person
	proxy    *testnet.Proxy
	sent     []amtp.MessageID
}

// TestBadNetwork: whatever happens to the posts between gateways that write to each
// other, every message arrives once, and its sender is told so.
func TestBadNetwork(t *testing.T) {
	slow.Test(t, "it waits for retries over a bad line")
	const pairs, rounds, each = 4, 5, 3
	n := testnet.New(t)
	var ways []*way
	for i := range pairs {
		one, two := n.Start(fmt.Sprintf("one%d.example", i)), n.Start(fmt.Sprintf("two%d.example", i))
		alice, bob := n.As("alice@"+string(one.Domain)), n.As("bob@"+string(two.Domain))
		ways = append(ways, &way{from: alice, to: bob, proxy: two.Behind()},
			&way{from: bob, to: alice, proxy: one.Behind()})
	}
	for round := range rounds {
		for i, w := range ways {
			seed := uint64(round*len(ways) + i)
			w.proxy.Disturb(seed)
			t.Logf("schedule %d, to %s: %s", seed, w.to.Address.Domain(), w.proxy.Plan())
			for m := range each {
				r := w.from.Send(fmt.Sprintf("schedule %d, message %d", seed, m), w.to.Address.String())
				w.sent = append(w.sent, r.MessageID)
			}
		}
		for _, w := range ways {
			for _, id := range w.sent[len(w.sent)-each:] {
				w.from.Hears(id, amtp.StatusDelivered)
			}
		}
	}
	seen := make(map[string]int)
	for _, w := range ways {
		got := make(map[amtp.MessageID]int)
		for _, m := range w.to.Inbox() {
			got[m.MessageID]++
			if m.Trust != amtp.TrustVerified {
				t.Errorf("%s has %q with trust %s", w.to.Address, m.Subject, m.Trust)
			}
		}
		for _, id := range w.sent {
			if got[id] != 1 {
				t.Errorf("%s has %s %d times, want once", w.to.Address, id, got[id])
			}
			delete(got, id)
		}
		if len(got) > 0 {
			t.Errorf("%s has messages that no test sent, perhaps a bounce: %v", w.to.Address, got)
		}
		for kind, times := range w.proxy.Seen() {
			seen[kind] += times
		}
	}
	t.Logf("the disturbances of the posts: %v", seen)
	if len(seen) != 13 {
		t.Errorf("%d kinds of disturbance in %d schedules, want all 13: %v", len(seen), rounds*len(ways), seen)
	}
}

package testnet_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestAuthentication has one test for each way in which another domain's letter can
// arrive. Each step of the proof is broken once, for two domains. One publishes that it
// signs, and must sign. The other publishes nothing, and its letters are accepted as
// unverified, with the reason beside them. AMTP §9.
func TestAuthentication(t *testing.T) {
	slow.Test(t, "it builds a network for every way to prove a sender")
	w := openWorld(t)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			w.within(t).step(s)
		})
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if r.settings == nil {
				r.test(w.within(t))
			} else {
				r.test(openWorld(t, r.settings...))
			}
		})
	}
}

func (w *world) step(s step) {
	for _, held := range []bool{true, false} {
		d, bob := w.newDomain(held), w.newAgent()
		body := s.arrive(d, d.signs(d.writes(bob.Address.String())))
		switch {
		case s.reason == "":
			m := w.taken(body, bob)
			w.verified(m, d, d.key.algorithm, m.Authentication.Selector)
		case held:
			w.turnedAway(body, s.reason)
			if list := bob.Inbox(); len(list) != 0 {
				w.Errorf("the inbox has %d messages, want none", len(list))
			}
		default:
			w.unverified(w.taken(body, bob), d, s.reason)
		}
	}
}

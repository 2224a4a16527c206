package testnet_test

import (
	"fmt"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// TestRotationUnderLoad: the domain changes its key twice while it sends letters. Every
// letter arrives at the first try, and verified.
func TestRotationUnderLoad(t *testing.T) {
	n := testnet.New(t)
	a := n.Start("a.example")
	n.Start("b.example")
	alice, bob := n.As("alice@a.example"), n.As("bob@b.example")
	const rounds, each = 3, 40
	sent := make(chan amtp.MessageID, rounds*each)
	half := make(chan struct{}, rounds) // half of a round is sent
	go func() {
		defer close(sent)
		for i := range rounds * each {
			r, err := alice.Client.Send(t.Context(), amtp.Message{Sender: alice.Address,
				Recipients: []amtp.Address{bob.Address}, Subject: fmt.Sprint(i)})
			if err != nil {
				t.Errorf("letter %d: %v", i, err)
				return
			}
			sent <- r.MessageID
			if i%each == each/2 {
				half <- struct{}{}
			}
		}
	}()
	for range rounds - 1 {
		<-half
		next, err := a.Operator().RotateSigningKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.Publish()
		if _, err := a.Operator().UseSigningKey(t.Context(), next.Selector, true); err != nil {
			t.Fatal(err)
		}
	}
	selectors := map[string]int{}
	for _, m := range bob.Receives(rounds * each) {
		if m.Trust != amtp.TrustVerified {
			t.Errorf("letter %s is shown as %s, %+v; want verified", m.Subject, m.Trust, m.Authentication)
		}
		selectors[m.Authentication.Selector]++
	}
	if len(selectors) != rounds {
		t.Errorf("the letters were signed with %v, want %d keys", selectors, rounds)
	}
	for id := range sent {
		if s := alice.Hears(id, amtp.StatusDelivered); s.Attempts != 1 {
			t.Errorf("%s took %d attempts, want 1: %+v", id, s.Attempts, s)
		}
	}
}

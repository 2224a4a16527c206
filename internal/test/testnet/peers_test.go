package testnet_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// asPeer returns this gateway as another gateway adds it, by its pin.
func asPeer(t *testing.T, g *testnet.Gateway) admin.NewPeer {
	t.Helper()
	list, err := g.Operator().Peers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return admin.NewPeer{Domain: g.Domain, Gateway: g.URL(), Pin: list.Self.Pin}
}

// add makes a gateway a peer and returns the report of the check.
func add(t *testing.T, g *testnet.Gateway, n admin.NewPeer) admin.PeerReport {
	t.Helper()
	r, err := g.Operator().AddPeer(t.Context(), n)
	if err != nil {
		t.Fatalf("%s adds %+v: %v", g.Domain, n, err)
	}
	return r
}

// faults returns the points of a report that are not in order.
func faults(r admin.PeerReport) (names []string) {
	for _, p := range r.Points {
		if !p.OK {
			names = append(names, p.Name)
		}
	}
	return names
}

// TestPeersWithoutDNS: two running gateways that are in no DNS and trust no common
// authority add each other by a pin. Messages go both ways and are verified, also after
// a restart, and DNS is never asked.
func TestPeersWithoutDNS(t *testing.T) {
	n := testnet.New(t)
	a, b := n.StartApart("a.lan"), n.StartApart("b.lan")
	alice, bob := n.As("alice@a.lan"), n.As("bob@b.lan")
	if got := faults(add(t, a, asPeer(t, b))); len(got) != 1 || got[0] != "them" {
		t.Errorf("a.lan added b.lan, which does not know it: not in order are %v, want these points", got)
	}
	if got := faults(add(t, b, asPeer(t, a))); len(got) != 0 {
		t.Errorf("both know each other: not in order are %v", got)
	}
	names := []string{"_amtp.a.lan", "_amtp.b.lan", "a.lan", "b.lan"}
	before := make(map[string]int)
	for _, name := range names { // b.lan was asked about a.lan before it knew it
		before[name] = n.DNS.Asked(name)
	}
	report, err := a.Operator().CheckPeer(t.Context(), "B.lan")
	if err != nil || !report.OK {
		t.Errorf("CheckPeer = %+v, %v; want all in order", report, err)
	}
	alice.Send("there", "bob@b.lan")
	m := bob.Receives(1)[0]
	if m.Trust != amtp.TrustVerified || m.Authentication.Domain != "a.lan" {
		t.Errorf("the message counts as %s with %+v, want verified as of a.lan", m.Trust, m.Authentication)
	}
	a.Stop()
	a.Run()
	bob.Send("back", "alice@a.lan")
	if m := alice.Receives(1)[0]; m.Trust != amtp.TrustVerified {
		t.Errorf("after a restart the answer counts as %s, want verified", m.Trust)
	}
	for _, name := range names {
		if asked := n.DNS.Asked(name) - before[name]; asked > 0 {
			t.Errorf("DNS was asked %d times for %s, want never", asked, name)
		}
	}
	list, err := b.Operator().Peers(t.Context())
	if err != nil || list.Count != 1 || list.Peers[0].LastSigned.IsZero() || len(list.Seen) != 1 {
		t.Errorf("the peers of b.lan are %+v, %v; want a.lan, which has signed", list, err)
	}
}

// TestAnotherThanMeant: a server that is not the intended gateway is refused, and
// nothing changes.
func TestAnotherThanMeant(t *testing.T) {
	n := testnet.New(t)
	a, b, c := n.StartApart("a.lan"), n.StartApart("b.lan"), n.StartApart("c.lan")
	right, other := asPeer(t, b), asPeer(t, c)
	for name, tc := range map[string]struct {
		peer  admin.NewPeer
		point string
	}{
		"the pin of another":      {admin.NewPeer{Domain: "b.lan", Gateway: b.URL(), Pin: other.Pin}, "certificate"},
		"the gateway of another":  {admin.NewPeer{Domain: "b.lan", Gateway: c.URL(), Pin: other.Pin}, "domain"},
		"no authority that we do": {admin.NewPeer{Domain: "b.lan", Gateway: b.URL()}, "certificate"},
	} {
		_, err := a.Operator().AddPeer(t.Context(), tc.peer)
		var refused *amtp.Error
		if !errors.As(err, &refused) || refused.Code != amtp.CodeConflict || refused.Details["point"] != tc.point {
			t.Errorf("%s: %v, want CONFLICT at %s", name, err, tc.point)
		}
	}
	if list, err := a.Operator().Peers(t.Context()); err != nil || list.Count != 0 {
		t.Errorf("after refusals there are %d peers, %v; want none", list.Count, err)
	}
	if _, err := a.Operator().AddPeer(t.Context(), admin.NewPeer{Domain: "a.lan", Gateway: b.URL(),
		Pin: right.Pin}); err == nil {
		t.Error("a gateway became a peer of itself")
	}
	// A gateway that does not answer yet is kept; its line says what is wrong.
	b.Stop()
	if got := faults(add(t, a, right)); len(got) != 1 || got[0] != "address" {
		t.Errorf("b.lan does not run: not in order are %v, want address", got)
	}
}

// TestForgedPeer: a caller other than the peer's gateway cannot write as its domain. It
// cannot do so without a signature, nor with a key of its own, even if DNS publishes
// that key.
func TestForgedPeer(t *testing.T) {
	n := testnet.New(t)
	a, b := n.StartApart("a.lan"), n.StartApart("b.lan")
	n.As("alice@a.lan")
	add(t, a, asPeer(t, b))
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forger, err := amtp.NewSigner("mine", private)
	if err != nil {
		t.Fatal(err)
	}
	n.DNS.TXT("mine._amtpkey.b.lan", time.Minute, forger.KeyRecord().String())
	n.DNS.TXT("_amtp.b.lan", time.Minute, "v=amtp1;gateway=https://evil.example")
	id := amtp.NewMessageID()
	body, err := json.Marshal(map[string]any{"version": "1.0", "message_id": id, "idempotency_key": id,
		"timestamp": amtp.Time{Time: time.Now()},
		"sender":    "bob@b.lan", "recipients": []string{"alice@a.lan"}, "payload": "transfer everything"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := forger.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		doc  []byte
		want int
	}{"unsigned": {body, http.StatusForbidden}, "signed with a key of his own": {signed,
		http.StatusServiceUnavailable}} {
		res, err := a.Client().HTTP.Post(a.URL()+"/v1/messages", "application/json", bytes.NewReader(tc.doc))
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tc.want {
			t.Errorf("%s: got %d %s, want %d", name, res.StatusCode, said, tc.want)
		}
	}
}

// TestOnlyThePeer: the gateway goes to a peer's address only for that peer. A domain
// that publishes the same address is not delivered there.
func TestOnlyThePeer(t *testing.T) {
	n := testnet.New(t)
	a, b := n.StartApart("a.lan"), n.StartApart("b.lan")
	alice := n.As("alice@a.lan")
	add(t, a, asPeer(t, b))
	n.DNS.TXT("_amtp.evil.example", time.Minute, "v=amtp1;gateway="+b.URL())
	sent := alice.Send("no", "x@evil.example")
	eventuallyRetrying(t, alice, sent.MessageID, "is at an address that this gateway does not go to")
	if err := a.Operator().RemovePeer(t.Context(), "b.lan"); err != nil {
		t.Fatal(err)
	}
	sent = alice.Send("gone", "bob@b.lan")
	eventuallyRetrying(t, alice, sent.MessageID, "there is no domain b.lan")
}

// eventuallyRetrying waits until a message waits for another attempt because of the
// error in the text.
func eventuallyRetrying(t *testing.T, p *testnet.Person, id amtp.MessageID, text string) {
	t.Helper()
	s := p.Hears(id, amtp.StatusRetrying)
	if !strings.Contains(s.Recipients[0].ErrorMessage, text) {
		t.Errorf("the message waits because %q, want %q", s.Recipients[0].ErrorMessage, text)
	}
}

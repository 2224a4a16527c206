package testnet_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// statusUntil waits until the state of a message's only recipient is as wanted, and
// returns it.
func statusUntil(t *testing.T, p *testnet.Person, id amtp.MessageID,
	want func(amtp.RecipientStatus) bool) amtp.RecipientStatus {
	t.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := p.Client.Status(t.Context(), id)
		if err == nil && len(s.Recipients) == 1 && want(s.Recipients[0]) {
			return s.Recipients[0]
		}
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("%s asks for %s: %+v, %v", p.Address, id, s.Recipients, err)
		}
	}
}

func isRead(r amtp.RecipientStatus) bool  { return r.Read }
func isAcked(r amtp.RecipientStatus) bool { return r.Acknowledged }

// read marks a message as read.
func read(t *testing.T, p *testnet.Person, id amtp.MessageID) {
	t.Helper()
	if _, err := p.Client.MarkRead(t.Context(), p.Address, id); err != nil {
		t.Fatalf("%s reads %s: %v", p.Address, id, err)
	}
}

// untold checks that a sender is told only that the message is delivered.
func untold(t *testing.T, who string, p *testnet.Person, id amtp.MessageID) {
	t.Helper()
	s, err := p.Client.Status(t.Context(), id)
	if err != nil || len(s.Recipients) != 1 {
		t.Fatalf("%s asks for %s: %+v, %v", p.Address, id, s, err)
	}
	if r := s.Recipients[0]; r.Status != amtp.StatusDelivered || r.Read || r.Acknowledged || !r.ReadAt.IsZero() ||
		!r.AcknowledgedAt.IsZero() {
		t.Errorf("%s is told %+v, want delivered and no more", who, r)
	}
}

// TestReceiptsCross: of three gateways, the one to which bob has written is told what
// he reads and acknowledges, also if bob's gateway was stopped meanwhile. A gateway to
// which he never wrote is told nothing, and neither is one that asks for no receipts.
// Receipts go together in few calls, and appear in no inbox.
func TestReceiptsCross(t *testing.T) {
	n := testnet.New(t)
	a, b, c, silent := n.Start("a.example"), n.Start("b.example"), n.Start("c.example"), n.Start("silent.example")
	silent.AskNothing()
	proxies := map[*testnet.Gateway]*testnet.Proxy{a: a.Behind(), c: c.Behind(), silent: silent.Behind()}
	alice, bob, carol, sam := n.As("alice@a.example"), n.As("bob@b.example"), n.As("carol@c.example"),
		n.As("sam@silent.example")
	bob.Send("first", "alice@a.example", "sam@silent.example")
	alice.Receives(1)
	sam.Receives(1)
	sent := map[string]amtp.MessageID{}
	for _, subject := range []string{"one", "two", "three"} {
		sent[subject] = alice.Send(subject, "bob@b.example").MessageID
	}
	stranger, unasked := carol.Send("stranger", "bob@b.example").MessageID,
		sam.Send("unasked", "bob@b.example").MessageID
	got := map[string]amtp.MessageID{}
	for _, m := range bob.Receives(5) {
		got[m.Subject] = m.MessageID
	}
	for _, w := range []struct {
		p  *testnet.Person
		id amtp.MessageID
	}{{alice, sent["one"]}, {alice, sent["two"]}, {alice, sent["three"]}, {carol, stranger}, {sam, unasked}} {
		w.p.Hears(w.id, amtp.StatusDelivered)
	}
	before := map[*testnet.Gateway]int{}
	for g, p := range proxies {
		before[g] = p.Posts()
	}
	for _, id := range got {
		read(t, bob, id)
	}
	bob.Ack(got["two"])
	b.Stop() // perhaps no receipt was sent yet
	b.Run()
	for subject, id := range sent {
		if r := statusUntil(t, alice, id, isRead); r.ReadAt.IsZero() || r.Status != amtp.StatusDelivered ||
			r.LocalDelivery {
			t.Errorf("for %s alice is told %+v, want read with the time", subject, r)
		}
	}
	if r := statusUntil(t, alice, sent["two"], isAcked); r.AcknowledgedAt.IsZero() ||
		r.AcknowledgedAt.Before(r.DeliveredAt.Time) {
		t.Errorf("alice is told %+v, want acknowledged at a time after the delivery", r)
	}
	untold(t, "the stranger", carol, stranger)
	untold(t, "who does not ask", sam, unasked)
	for _, g := range []*testnet.Gateway{c, silent} {
		if calls := proxies[g].Posts() - before[g]; calls != 0 {
			t.Errorf("%s had %d calls since the messages were read, want none", g.Domain, calls)
		}
	}
	if calls := proxies[a].Posts() - before[a]; calls < 1 || calls > 4 {
		t.Errorf("a.example had %d calls for three messages, want few", calls)
	}
	if m := alice.Inbox(); len(m) != 1 {
		t.Errorf("alice has %d messages, want the first of bob's and no receipt", len(m))
	}
	for _, g := range []*testnet.Gateway{a, b} {
		if strings.Contains(g.Log(), "do not get through") {
			t.Errorf("%s says that receipts do not get through", g.Domain)
		}
	}
}

// TestReceiptsByPolicy: the operator allows receipts to every verified domain, and an
// agent to none. A stranger that proves nothing gets none, not even when it sends the
// message again.
func TestReceiptsByPolicy(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	b := n.Start("b.example", "AMTP_FEDERATION_RECEIPTS=all")
	alice, bob, mute := n.As("alice@a.example"), n.As("bob@b.example"), n.As("mute@b.example")
	never := "never"
	if agent, err := mute.Client.UpdateAgent(t.Context(), "mute", amtp.AgentUpdate{Receipts: &never}); err != nil ||
		agent.Receipts != "never" {
		t.Fatalf("UpdateAgent = %+v, %v; want receipts never", agent, err)
	}
	told, kept := alice.Send("told", "bob@b.example").MessageID, alice.Send("kept", "mute@b.example").MessageID
	alice.Hears(kept, amtp.StatusDelivered)
	mute.Ack(mute.Receives(1)[0].MessageID)
	bob.Ack(bob.Receives(1)[0].MessageID)
	statusUntil(t, alice, told, isAcked)
	untold(t, "alice, of who never tells,", alice, kept)

	w := &world{T: t, net: n, gate: b, http: n.HTTP("b.example")}
	d := w.newDomain(false)
	l := d.writes("bob@b.example")
	if a := w.post(l.bytes()); a.status != http.StatusAccepted {
		t.Fatalf("an unsigned message is answered %d: %s", a.status, a.text)
	}
	m := bob.Receives(1)[0]
	read(t, bob, m.MessageID)
	bob.Ack(m.MessageID)
	a := w.post(l.bytes())
	if r := a.result.Recipients; !a.replayed || len(r) != 1 || r[0].Acknowledged || r[0].Read ||
		!r[0].AcknowledgedAt.IsZero() {
		t.Errorf("a repeated message is answered %s (replayed %t), want delivered and no more", a.text, a.replayed)
	}
}

// TestForgedReceipts: a receipt that the recipient's own gateway did not sign changes
// nothing. The answer does not show which messages exist.
func TestForgedReceipts(t *testing.T) {
	w := openWorld(t)
	w.net.Start("peer.example")
	alice, bob := w.net.As("alice@"+ours), w.net.As("bob@peer.example")
	id := alice.Send("hello", "bob@peer.example").MessageID
	alice.Hears(id, amtp.StatusDelivered)
	bob.Receives(1)
	other := w.newDomain(true)
	receipts := func(d *domain, sender, to, recipient string) letter {
		l := d.writes(to + "@" + ours)
		l["sender"] = sender + "@" + d.name
		l["headers"] = map[string]any{"auto-submitted": "auto-generated"}
		l["payload"] = map[string]any{"message_type": "receipts", "receipts": []any{map[string]any{
			"message_id": string(id), "recipient": recipient, "read_at": "2026-01-01T00:00:00Z",
			"acknowledged_at": "2026-01-01T00:00:00Z",
			"refused_at":      "2026-01-01T00:00:00Z",
		}}}
		return l
	}
	forged := receipts(other, "amtp-receipts", "amtp-receipts", "bob@peer.example")
	posed := forged.with("sender", "amtp-receipts@peer.example")
	foreign := w.newDomain(false)
	for name, tc := range map[string]struct {
		body   letter
		status int
	}{
		"another domain's": {other.signs(forged), http.StatusAccepted},
		"of nothing that there is": {other.signs(receipts(other, "amtp-receipts", "amtp-receipts",
			"ann@"+other.name)), http.StatusAccepted},
		"unsigned, of who signs": {forged, http.StatusForbidden},
		"unsigned, of who does not": {receipts(foreign, "amtp-receipts", "amtp-receipts", "bob@peer.example"),
			http.StatusNotFound},
		"in the name of the recipient": {other.signs(posed), http.StatusServiceUnavailable},
		"by an agent there": {other.signs(receipts(other, "ann", "amtp-receipts", "bob@peer.example")),
			http.StatusNotFound},
		"to another name": {other.signs(receipts(other, "amtp-receipts", "amtp-receipt",
			"bob@peer.example")), http.StatusNotFound},
		"without receipts in it": {other.signs(forged.with("payload", map[string]any{"a": 1})),
			http.StatusBadRequest},
		"again with other content": {other.signs(forged.with("idempotency_key", uuid.NewString())),
			http.StatusAccepted},
		"to a second recipient as well": {other.signs(forged.with("recipients",
			[]string{"amtp-receipts@" + ours, "nobody@" + ours})), http.StatusNotFound},
	} {
		a := w.post(tc.body.bytes())
		if a.status != tc.status {
			t.Errorf("%s: the answer is %d, want %d: %s", name, a.status, tc.status, a.text)
		}
	}
	untold(t, "alice, from forgers,", alice, id)
	if n := w.stored(); n != 1 {
		t.Errorf("%d messages are stored, want alice's alone", n)
	}
	own := w.newDomain(true) // a domain that reports on its own recipient
	mine := alice.Post(amtp.Message{Payload: []byte(`1`)}, "ann@"+own.name).MessageID
	l := receipts(own, "amtp-receipts", "amtp-receipts", "ann@"+own.name)
	l["payload"].(map[string]any)["receipts"].([]any)[0].(map[string]any)["message_id"] = string(mine)
	if a := w.post(own.signs(l).bytes()); a.status != http.StatusAccepted || a.result.Status != amtp.StatusDelivered {
		t.Errorf("receipts are answered %d: %s, want 202 delivered", a.status, a.text)
	}
	s, err := alice.Client.Status(t.Context(), mine)
	if err != nil || s.Recipients[0].Acknowledged || s.Recipients[0].Read {
		t.Errorf("for a message that never arrived there alice is told %+v, %v", s.Recipients, err)
	}
}

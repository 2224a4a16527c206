package amtp_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/strictjson"
)

func at(t testing.TB, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// envelope is one for a peer with two recipients.
func envelope(t testing.TB, changes ...func(*amtp.PeerEnvelope)) amtp.PeerEnvelope {
	e := amtp.PeerEnvelope{
		MessageID: "019b1d3e-7c00-7000-8000-000000000001", IdempotencyKey: "550e8400-e29b-41d4-a716-446655440000",
		Timestamp: time.Date(2026, 11, 22, 18, 0, 0, 123999999, time.FixedZone("", 3600)),
		Sender:    at(t, "Alice@Shop.Example"), Recipients: []amtp.Address{at(t, "bob@PEER.test"), at(t, "Carol@peer.test")},
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

const facts = `{"version":"1.0","message_id":"019b1d3e-7c00-7000-8000-000000000001","idempotency_key":"550e8400-e29b-41d4-a716-446655440000",` +
	`"timestamp":"2026-11-22T17:00:00.123Z","sender":"Alice@shop.example","recipients":["bob@peer.test","Carol@peer.test"]`

func TestPeerBody(t *testing.T) {
	reply := func(e *amtp.PeerEnvelope) { e.InReplyTo = "parent-at-peer" }
	for _, c := range []struct {
		name, body string
		change     func(*amtp.PeerEnvelope)
		want       string
	}{
		{"the least", `{"sender":"alice@shop.example","recipients":["bob@peer.test"]}`, nil, facts + `,"payload":null}`},
		{"what the sender wrote about the facts is replaced",
			`{"recipients":["eve@other.test"],"sender":"ALICE@shop.example","version":null,"message_id":"m-1","idempotency_key":"","timestamp":"2020-01-01T00:00:00+05:00"}`, nil,
			facts + `,"payload":null}`},
		{"everything else keeps its order and its bytes",
			"{ \"x-z\" : [1.0,1e0, 9007199254740993 ] ,\"payload\":\t{ \"b\":\"\\u00e9\\/\" , \"a\":-0 }\n,\"sender\":\"a@b.test\",\"subject\":\"\",\"headers\":null,\"x-a\":\"<&\u2028>\"}", nil,
			facts + ",\"x-z\":[1.0,1e0, 9007199254740993 ],\"payload\":{ \"b\":\"\\u00e9\\/\" , \"a\":-0 },\"subject\":\"\",\"headers\":null,\"x-a\":\"<&\u2028>\"}"},
		{"names of unknown members", `{"<é>":1,"\"\\\u0001\ud83d\ude00":2,"":3,"\u0061":4}`, nil, facts + `,"<é>":1,"\"\\\u0001😀":2,"":3,"a":4,"payload":null}`},
		{"a null for a payload stays where it is", `{"payload":null,"x":1}`, nil, facts + `,"payload":null,"x":1}`},
		{"a null for a signature goes", `{"signature":null,"x":1}`, nil, facts + `,"x":1,"payload":null}`},
		{"an answer as the sender wrote it", `{"in_reply_to":"m-1"}`, nil, facts + `,"in_reply_to":"m-1","payload":null}`},
		{"an answer as the peer knows it", `{"in_reply_to":"m-1"}`, reply, facts + `,"in_reply_to":"parent-at-peer","payload":null}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := envelope(t)
			if c.change != nil {
				c.change(&e)
			}
			got, err := amtp.PeerBody([]byte(c.body), e)
			if err != nil || string(got) != c.want {
				t.Fatalf("PeerBody = %s, %v, want %s; body %s", got, err, c.want, c.body)
			}
			again, err := amtp.PeerBody(got, e)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("PeerBody of its own result = %s, %v, want no change; body %s", again, err, got)
			}
		})
	}
}

func TestPeerBodyRefuses(t *testing.T) {
	two := envelope(t).Recipients
	for _, c := range []struct {
		name, body string
		change     func(*amtp.PeerEnvelope)
	}{
		{"no JSON", `{`, func(*amtp.PeerEnvelope) {}},
		{"no object", `[]`, func(*amtp.PeerEnvelope) {}},
		{"a signature", `{"signature":{}}`, func(*amtp.PeerEnvelope) {}},
		{"another spelling of a fact", `{"SENDER":"ceo@shop.example"}`, func(*amtp.PeerEnvelope) {}},
		{"another spelling of another member", `{"Payload":1}`, func(*amtp.PeerEnvelope) {}},
		{"a long s for an s", `{"\u017fender":"ceo@shop.example"}`, func(*amtp.PeerEnvelope) {}},
		{"no recipients", `{}`, func(e *amtp.PeerEnvelope) { e.Recipients = nil }},
		{"two domains", `{}`, func(e *amtp.PeerEnvelope) { e.Recipients = append(slices.Clone(two), at(t, "x@y.test")) }},
		{"two recipients where one is allowed", `{}`, func(e *amtp.PeerEnvelope) { e.Single = true }},
	} {
		if got, err := amtp.PeerBody([]byte(c.body), envelope(t, c.change)); err == nil {
			t.Errorf("%s: PeerBody = %s, want an error; body %s", c.name, got, c.body)
		}
	}
}

// A message signed for a peer is PeerBody's, signed; and nothing leaves signed that
// Sign would refuse.
func TestSignPeer(t *testing.T) {
	s := signer(t)
	m, failure := amtp.ParseMessage([]byte(`{"sender":"alice@shop.example","recipients":["bob@peer.test"],"x":[1.50,"\u00e9"]}`))
	if failure != nil {
		t.Fatal(failure)
	}
	wire, err := amtp.PeerBody(m.Raw(), envelope(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Sign(wire)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.SignPeer(m, envelope(t)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("SignPeer = %s, %v, want %s", got, err, want)
	}
	for _, c := range []struct {
		name   string
		body   string
		change func(*amtp.PeerEnvelope)
	}{
		{"no sender", `{}`, func(e *amtp.PeerEnvelope) { e.Sender = amtp.Address{} }},
		{"no timestamp", `{}`, func(e *amtp.PeerEnvelope) { e.Timestamp = time.Time{} }},
		{"no recipient", `{}`, func(e *amtp.PeerEnvelope) { e.Recipients = nil }},
		{"a signature", `{"signature":{}}`, func(*amtp.PeerEnvelope) {}},
		{"a number that changes", `{"x":9007199254740993}`, func(*amtp.PeerEnvelope) {}},
		{"another spelling", `{"Payload":1}`, func(*amtp.PeerEnvelope) {}},
	} {
		body := strings.Replace(c.body, "{", `{"sender":"alice@shop.example","recipients":["bob@peer.test"],`, 1)
		m, failure := amtp.ParseMessage([]byte(strings.Replace(body, ",}", "}", 1)))
		if failure != nil {
			t.Fatal(failure)
		}
		if got, err := s.SignPeer(m, envelope(t, c.change)); err == nil {
			t.Errorf("SignPeer = %s, want an error; %s", got, c.name)
		}
	}
}

// What goes to a peer has the forms that the reference gateway insists on,
// whatever ours look like.
func TestPeerForms(t *testing.T) {
	const ours = "019b1d3e-7c00-7000-8000-000000000001"
	if got := amtp.PeerMessageID(ours); got != ours {
		t.Errorf("PeerMessageID = %s, want %s itself: it is a UUIDv7", got, ours)
	}
	for _, id := range []amtp.MessageID{"550e8400-e29b-41d4-a716-446655440000", "order:17", "x", "019b1d3e-7c00-7000-c000-000000000001", "019b1d3e7c0070008000000000000001"} {
		got := string(amtp.PeerMessageID(id))
		if !hasForm(got, '7') || got != string(amtp.PeerMessageID(id)) {
			t.Errorf("PeerMessageID = %s, want a UUIDv7, the same each time; id %s", got, id)
		}
	}
	if got, want := amtp.PeerMessageID("order:17"), amtp.MessageID("de8cc52b-ba46-7b17-a4b7-e4383e8b4669"); got != want {
		t.Errorf("PeerMessageID = %s, want %s for ever: a retry after an upgrade must not be another message", got, want)
	}
}

// hasForm checks what the reference gateway checks: hyphens, version, variant.
func hasForm(s string, version byte) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && s[14] == version && strings.IndexByte("89ab", s[19]) >= 0 && s == strings.ToLower(s)
}

func TestPeerKeys(t *testing.T) {
	bob, carol := []amtp.Address{at(t, "bob@peer.test")}, []amtp.Address{at(t, "carol@peer.test")}
	key := func(changes ...func(*amtp.PeerEnvelope)) string { return envelope(t, changes...).PeerKey() }
	named := func(e *amtp.PeerEnvelope) { e.IdempotencyKey = "order-17" }
	unnamed := func(e *amtp.PeerEnvelope) { e.IdempotencyKey = "" }
	to := func(r []amtp.Address) func(*amtp.PeerEnvelope) {
		return func(e *amtp.PeerEnvelope) { e.Single, e.Recipients = true, r }
	}
	from := func(s string) func(*amtp.PeerEnvelope) {
		return func(e *amtp.PeerEnvelope) { e.Sender = at(t, s) }
	}
	if got, want := key(), "550e8400-e29b-41d4-a716-446655440000"; got != want {
		t.Errorf("PeerKey = %s, want the sender's own %s", got, want)
	}
	seen := map[string]string{key(): "the sender's own"}
	for name, got := range map[string]string{
		"a key that is no UUID":        key(named),
		"the same of another sender":   key(named, from("dave@shop.example")),
		"no key":                       key(unnamed),
		"no key, another message":      key(unnamed, func(e *amtp.PeerEnvelope) { e.MessageID = "m-2" }),
		"a key that is a message's id": key(func(e *amtp.PeerEnvelope) { e.IdempotencyKey = string(e.MessageID) }),
		"for bob alone":                key(to(bob)),
		"for carol alone":              key(to(carol)),
		"not a UUID, for bob alone":    key(named, to(bob)),
		"second round":                 key(func(e *amtp.PeerEnvelope) { e.Round = 1 }),
		"third round":                  key(func(e *amtp.PeerEnvelope) { e.Round = 2 }),
		"second round for bob alone":   key(to(bob), func(e *amtp.PeerEnvelope) { e.Round = 1 }),
	} {
		if other, ok := seen[got]; ok || !hasForm(got, '4') {
			t.Errorf("PeerKey = %s, want a UUIDv4 other than that of %q; %s", got, other, name)
		}
		seen[got] = name
	}
	if key(named) != key(named, from("ALICE@shop.example")) || key(to(bob)) != key(to([]amtp.Address{at(t, "BOB@peer.test")})) {
		t.Error("PeerKey differs by the case of an address, want it not to")
	}
	if got, want := key(named), "d9a75838-ebd5-49c2-99ab-ad9bb1b1921a"; got != want {
		t.Errorf("PeerKey = %s, want %s for ever: a retry after an upgrade must not be another message", got, want)
	}
}

// FuzzPeerBody checks that whatever was accepted goes out as a message that says
// the same, and that can be signed and verified unless Signable said otherwise.
func FuzzPeerBody(f *testing.F) {
	f.Add([]byte(complete), "order-17", true)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"]}`), "", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"signature":null,"in_reply_to":"x","\u003c\"":[1e0 , {}]}`), "550e8400-e29b-41d4-a716-446655440000", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"Sender":1}`), "k", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"payload":9007199254740993}`), "k", false)
	s := signer(f)
	f.Fuzz(func(t *testing.T, body []byte, key string, single bool) {
		m, failure := amtp.ParseMessage(body)
		if failure != nil || key != "" && amtp.CheckIdempotencyKey(key) != nil {
			return
		}
		e := amtp.PeerEnvelope{
			MessageID: m.MessageID, IdempotencyKey: key, Timestamp: time.UnixMilli(1795366800123), Sender: m.Sender, Recipients: m.Recipients[:1], Single: single,
		}
		out, err := amtp.PeerBody(body, e)
		signable := m.Signable()
		if err != nil {
			if signable == nil {
				t.Fatalf("PeerBody = %v, Signable has no objection; body %q", err, body)
			}
			return
		}
		again, err := amtp.PeerBody(out, e)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("PeerBody of its own result = %q, %v, want %q; body %q", again, err, out, body)
		}
		sameMembers(t, body, out)
		whole, err := s.Sign(out)
		if (err == nil) != (signable == nil) {
			t.Fatalf("Sign = %v, Signable = %v; body %q", err, signable, out)
		}
		if err != nil {
			return
		}
		if short, err := s.SignPeer(m, e); err != nil || !bytes.Equal(short, whole) {
			t.Fatalf("SignPeer = %q, %v, want what Sign makes of PeerBody, %q; body %q", short, err, whole, body)
		}
		if _, err := check(t, string(whole), s.KeyRecord()); err != nil {
			t.Fatalf("Verify = %v of our own signature; body %q", err, whole)
		}
	})
}

// sameMembers checks that all that no envelope knows stands in both, byte for byte.
func sameMembers(t *testing.T, body, out []byte) {
	before, err := strictjson.Object(body)
	if err != nil {
		t.Fatal(err)
	}
	var after map[string]json.RawMessage
	if err := json.Unmarshal(out, &after); err != nil {
		t.Fatal(err)
	}
	for _, m := range before {
		if slices.Contains([]string{"version", "message_id", "idempotency_key", "timestamp", "sender", "recipients", "signature"}, m.Name) {
			continue
		}
		if !bytes.Equal(after[m.Name], m.Value) {
			t.Fatalf("member %q = %q, want %q; body %q", m.Name, after[m.Name], m.Value, body)
		}
	}
}

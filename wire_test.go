package amtp_test

import (
	"bytes"
	"encoding/json"
	"errors"
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

// envelope returns an envelope for a peer.
func envelope(t testing.TB, changes ...func(*amtp.PeerEnvelope)) amtp.PeerEnvelope {
	e := amtp.PeerEnvelope{
		MessageID: "019b1d3e-7c00-7000-8000-000000000001", IdempotencyKey: "550e8400-e29b-41d4-a716-446655440000",
		Timestamp: time.Date(2026, 11, 22, 18, 0, 0, 123999999, time.FixedZone("", 3600)),
		Sender:    at(t, "Alice@Shop.Example"), Recipient: at(t, "Bob@PEER.test"),
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

const facts = `{"version":"1.0","message_id":"019b1d3e-7c00-7000-8000-000000000001","idempotency_key":"550e8400-e29b-41d4-a716-446655440000",` +
	`"timestamp":"2026-11-22T17:00:00.123Z","sender":"Alice@shop.example","recipients":["Bob@peer.test"]`

func TestPeerBody(t *testing.T) {
	const v7 = "019b1d3e-7c00-7000-8000-0000000000ff"
	any := func(e *amtp.PeerEnvelope) { e.AnyReply = true }
	reply := func(e *amtp.PeerEnvelope) { e.InReplyTo = v7 }
	token := func(e *amtp.PeerEnvelope) { e.InReplyTo = "parent-at-peer" }
	again := func(e *amtp.PeerEnvelope) { e.RedriveOf = "m-0" }
	for _, c := range []struct {
		name, body string
		change     func(*amtp.PeerEnvelope)
		want       string
	}{
		{"the least", `{"sender":"alice@shop.example","recipients":["bob@peer.test"]}`, nil,
			facts + `,"payload":null}`},
		{"what the sender wrote about the facts is replaced",
			`{"recipients":["eve@other.test"],"sender":"ALICE@shop.example","version":null,"message_id":"m-1","idempotency_key":"","timestamp":"2020-01-01T00:00:00+05:00"}`,
			nil,
			facts + `,"payload":null}`},
		{"everything else keeps its order and its bytes",
			"{ \"x-z\" : [1.0,1e0, 9007199254740993 ] ,\"payload\":\t{ \"b\":\"\\u00e9\\/\" , \"a\":-0 }\n,\"sender\":\"a@b.test\",\"subject\":\"\",\"headers\":null,\"x-a\":\"<&\u2028>\"}",
			nil,
			facts +
				",\"x-z\":[1.0,1e0, 9007199254740993 ],\"payload\":{ \"b\":\"\\u00e9\\/\" , \"a\":-0 },\"subject\":\"\",\"headers\":null,\"x-a\":\"<&\u2028>\"}"},
		{"names of unknown members", `{"<é>":1,"\"\\\u0001\ud83d\ude00":2,"":3,"\u0061":4}`, nil,
			facts + `,"<é>":1,"\"\\\u0001😀":2,"":3,"a":4,"payload":null}`},
		{"a null for a payload stays where it is", `{"payload":null,"x":1}`, nil, facts + `,"payload":null,"x":1}`},
		{"a null for a signature goes", `{"signature":null,"x":1}`, nil, facts + `,"x":1,"payload":null}`},
		{"an answer as the sender wrote it", `{"in_reply_to":"m-1"}`, any,
			facts + `,"in_reply_to":"m-1","payload":null}`},
		{"an answer as the peer knows it", `{"in_reply_to":"m-1"}`, reply,
			facts + `,"in_reply_to":"` + v7 + `","payload":null}`},
		{"an answer to the peer's own token", `{"in_reply_to":"m-1"}`, func(e *amtp.PeerEnvelope) { token(e); any(e) },
			facts + `,"in_reply_to":"parent-at-peer","payload":null}`},
		{"an answer to a UUIDv7 that nobody knows", `{"in_reply_to":"` + v7 + `"}`, nil,
			facts + `,"in_reply_to":"` + v7 + `","payload":null}`},
		{"an answer to nothing", `{"in_reply_to":null}`, nil, facts + `,"in_reply_to":null,"payload":null}`},
		{"an answer to an empty text", `{"in_reply_to":""}`, nil, facts + `,"in_reply_to":"","payload":null}`},
		{"an id that a peer may refuse, in a header", `{"in_reply_to":"m\u002d1","x":1}`, nil,
			facts + `,"x":1,"headers":{"amtp-in-reply-to":"m-1"},"payload":null}`},
		{"the same behind headers, whose bytes stay",
			`{"headers": { "b" : 1.0,"a":"\u00e9" } ,"in_reply_to":"m-1","payload":1}`, nil,
			facts + `,"headers":{ "b" : 1.0,"a":"\u00e9" ,"amtp-in-reply-to":"m-1"},"payload":1}`},
		{"the same in place of no headers", `{"headers":null,"in_reply_to":"m-1"}`, nil,
			facts + `,"headers":{"amtp-in-reply-to":"m-1"},"payload":null}`},
		{"the same in empty headers", `{"headers":{ },"in_reply_to":"m-1"}`, nil,
			facts + `,"headers":{ "amtp-in-reply-to":"m-1"},"payload":null}`},
		{"the same in place of the sender's", `{"headers":{"amtp-in-reply-to":"lie","x":1.0},"in_reply_to":"m-1"}`, nil,
			facts + `,"headers":{"x":1.0,"amtp-in-reply-to":"m-1"},"payload":null}`},
		{"a header of the sender's own stays", `{"headers":{"amtp-in-reply-to":"mine"}}`, nil,
			facts + `,"headers":{"amtp-in-reply-to":"mine"},"payload":null}`},
		{"a known id of another form, in a header", `{"in_reply_to":"m-1"}`, token,
			facts + `,"headers":{"amtp-in-reply-to":"parent-at-peer"},"payload":null}`},
		{"a late redrive", `{"headers":{"x":1.0,"amtp-redrive-of":"lie"}}`, again,
			facts + `,"headers":{"x":1.0,"amtp-redrive-of":"m-0"},"payload":null}`},
		{"a late redrive of an answer", `{"in_reply_to":"m-1"}`, again,
			facts + `,"headers":{"amtp-in-reply-to":"m-1","amtp-redrive-of":"m-0"},"payload":null}`},
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
		{"no recipient", `{}`, func(e *amtp.PeerEnvelope) { e.Recipient = amtp.Address{} }},
	} {
		if got, err := amtp.PeerBody([]byte(c.body), envelope(t, c.change)); err == nil {
			t.Errorf("%s: PeerBody = %s, want an error; body %s", c.name, got, c.body)
		}
	}
}

// TestSignPeer: a message signed for a peer is the signed output of PeerBody. A message
// that Sign would refuse is never signed.
func TestSignPeer(t *testing.T) {
	s := signer(t)
	m,
		failure := amtp.ParseMessage([]byte(`{"sender":"alice@shop.example","recipients":["bob@peer.test"],"x":[1.50,"\u00e9"]}`))
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
		{"no recipient", `{}`, func(e *amtp.PeerEnvelope) { e.Recipient = amtp.Address{} }},
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

// TestPeerForms: ids and keys for a peer have the forms that the reference gateway
// demands, whatever form ours have.
func TestPeerForms(t *testing.T) {
	const ours = "019b1d3e-7c00-7000-8000-000000000001"
	if got := amtp.PeerMessageID(ours); got != ours {
		t.Errorf("PeerMessageID = %s, want %s itself: it is a UUIDv7", got, ours)
	}
	for _, id := range []amtp.MessageID{"550e8400-e29b-41d4-a716-446655440000", "order:17", "x",
		"019b1d3e-7c00-7000-c000-000000000001", "019b1d3e7c0070008000000000000001"} {
		got := string(amtp.PeerMessageID(id))
		if !hasForm(got, '7') || got != string(amtp.PeerMessageID(id)) {
			t.Errorf("PeerMessageID = %s, want a UUIDv7, the same each time; id %s", got, id)
		}
	}
	if got, want := amtp.PeerMessageID("order:17"),
		amtp.MessageID("de8cc52b-ba46-7b17-a4b7-e4383e8b4669"); got != want {
		t.Errorf("PeerMessageID = %s, want %s for ever: a retry after an upgrade must not be another message", got,
			want)
	}
}

// hasForm checks what the reference gateway checks: hyphens, version, variant.
func hasForm(s string, version byte) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && s[14] == version &&
		strings.IndexByte("89ab", s[19]) >= 0 && s == strings.ToLower(s)
}

// TestPeerKeys: a recipient has one key at every peer, whatever is known of the peer.
func TestPeerKeys(t *testing.T) {
	bob, carol := at(t, "bob@peer.test"), at(t, "carol@peer.test")
	key := func(changes ...func(*amtp.PeerEnvelope)) string { return envelope(t, changes...).PeerKey() }
	named := func(e *amtp.PeerEnvelope) { e.IdempotencyKey = "order-17" }
	unnamed := func(e *amtp.PeerEnvelope) { e.IdempotencyKey = "" }
	further := func(a amtp.Address) func(*amtp.PeerEnvelope) {
		return func(e *amtp.PeerEnvelope) { e.Further, e.Recipient = true, a }
	}
	from := func(s string) func(*amtp.PeerEnvelope) {
		return func(e *amtp.PeerEnvelope) { e.Sender = at(t, s) }
	}
	known := func(e *amtp.PeerEnvelope) { e.FanOut, e.AnyReply = true, true }
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
		"further, for bob":             key(further(bob)),
		"further, for carol":           key(further(carol)),
		"not a UUID, further":          key(named, further(bob)),
		"second round":                 key(func(e *amtp.PeerEnvelope) { e.Round = 1 }),
		"third round":                  key(func(e *amtp.PeerEnvelope) { e.Round = 2 }),
		"further, second round":        key(further(bob), func(e *amtp.PeerEnvelope) { e.Round = 1 }),
	} {
		if other, ok := seen[got]; ok || !hasForm(got, '4') {
			t.Errorf("PeerKey = %s, want a UUIDv4 other than that of %q; %s", got, other, name)
		}
		seen[got] = name
	}
	if key(named) != key(named, from("ALICE@shop.example")) ||
		key(further(bob)) != key(further(at(t, "BOB@peer.test"))) {
		t.Error("PeerKey differs by the case of an address, want it not to")
	}
	if key() != key(known) || key(further(bob)) != key(further(bob), known) {
		t.Error("PeerKey differs by what is known of the peer, want it not to")
	}
	if got, want := key(named), "d9a75838-ebd5-49c2-99ab-ad9bb1b1921a"; got != want {
		t.Errorf("PeerKey = %s, want %s for ever: a retry after an upgrade must not be another message", got, want)
	}
	if got, want := key(further(carol)), "dc9d778f-569d-4654-9b23-b711caa1e221"; got != want {
		t.Errorf("PeerKey of a further recipient = %s, want %s for ever", got, want)
	}
}

// TestPeerIDs: the first recipient gets the message's id at every peer. A further
// recipient gets an id of its own where one id may not come twice.
func TestPeerIDs(t *testing.T) {
	carol := at(t, "carol@peer.test")
	id := func(changes ...func(*amtp.PeerEnvelope)) amtp.MessageID { return envelope(t, changes...).PeerID() }
	further := func(e *amtp.PeerEnvelope) { e.Further, e.Recipient = true, carol }
	known := func(e *amtp.PeerEnvelope) { e.FanOut = true }
	v4 := func(e *amtp.PeerEnvelope) { e.MessageID = "550e8400-e29b-41d4-a716-446655440000" }
	own := envelope(t).MessageID
	if id() != own || id(known) != own || id(further, known) != own {
		t.Errorf("PeerID = %s, %s, %s, want %s for the first, and for all where fan-out is known", id(), id(known),
			id(further, known), own)
	}
	if got := id(further); got == own || !hasForm(string(got), '7') ||
		got != amtp.PeerCopyID(own, at(t, "CAROL@Peer.test")) {
		t.Errorf("PeerID of a further recipient = %s, want a UUIDv7 of its own, that of PeerCopyID", got)
	}
	if id(further) == id(further, func(e *amtp.PeerEnvelope) { e.Recipient = at(t, "dan@peer.test") }) {
		t.Error("PeerID of two further recipients is the same, want two")
	}
	if id(v4, further) != amtp.PeerCopyID(id(v4), carol) || id(v4, further) == id(v4) {
		t.Error("PeerID of a further recipient follows from more than the id under which the message leaves")
	}
	if got, want := id(further), amtp.MessageID("38441552-28df-77ab-94c7-c32e77af96f3"); got != want {
		t.Errorf("PeerID = %s, want %s for ever: answers name it", got, want)
	}
}

// FuzzPeerBody checks that every accepted message is sent with the same meaning. It can
// be signed and verified unless Signable refused it.
func FuzzPeerBody(f *testing.F) {
	f.Add([]byte(complete), "order-17", true)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"]}`), "", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"signature":null,"in_reply_to":"x","\u003c\"":[1e0 , {}]}`),
		"550e8400-e29b-41d4-a716-446655440000", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"Sender":1}`), "k", false)
	f.Add([]byte(`{"sender":"a@x.test","recipients":["b@peer.test"],"payload":9007199254740993}`), "k", false)
	s := signer(f)
	f.Fuzz(func(t *testing.T, body []byte, key string, known bool) {
		m, failure := amtp.ParseMessage(body)
		if failure != nil || key != "" && amtp.CheckIdempotencyKey(key) != nil {
			return
		}
		e := amtp.PeerEnvelope{
			MessageID: m.MessageID, IdempotencyKey: key, Timestamp: time.UnixMilli(1795366800123), Sender: m.Sender,
			Recipient: m.Recipients[0],
			Further:   len(m.Recipients) > 1, FanOut: known, AnyReply: known,
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
		sameMembers(t, body, out, known)
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

// sameMembers checks that both bodies have all members that no envelope replaces, byte
// for byte, and that a member which was moved to a header is there.
func sameMembers(t *testing.T, body, out []byte, known bool) {
	before, err := strictjson.Object(body)
	if err != nil {
		t.Fatal(err)
	}
	var after map[string]json.RawMessage
	if err := json.Unmarshal(out, &after); err != nil {
		t.Fatal(err)
	}
	for _, m := range before {
		if slices.Contains([]string{"version", "message_id", "idempotency_key", "timestamp", "sender", "recipients",
			"signature"}, m.Name) {
			continue
		}
		if _, stays := after["in_reply_to"]; m.Name == "in_reply_to" && !stays && !known {
			var reply string
			var headers map[string]json.RawMessage
			if err := errors.Join(json.Unmarshal(m.Value, &reply),
				json.Unmarshal(after["headers"], &headers)); err != nil {
				t.Fatalf("the answer is in no header: %v; body %q", err, body)
			}
			if got := string(headers[amtp.HeaderInReplyTo]); got != `"`+reply+`"` {
				t.Fatalf("header %s = %s, want %q; body %q", amtp.HeaderInReplyTo, got, reply, body)
			}
			continue
		}
		if m.Name == "headers" && !known {
			if !bytes.HasPrefix(after[m.Name], bytes.TrimRight(m.Value, "} \t\r\n")) &&
				!bytes.Contains(m.Value, []byte("reply")) && string(m.Value) != "null" {
				t.Fatalf("headers = %q, want those of the sender first, %q; body %q", after[m.Name], m.Value, body)
			}
			continue
		}
		if !bytes.Equal(after[m.Name], m.Value) {
			t.Fatalf("member %q = %q, want %q; body %q", m.Name, after[m.Name], m.Value, body)
		}
	}
}

package testnet_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// TestToReference: a message to several recipients at a reference gateway is posted
// once for each recipient, in the form that it accepts. Every recipient has it once.
func TestToReference(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	sent := alice.Post(amtp.Message{
		MessageID: "my-own-id", IdempotencyKey: "my-own-key", Subject: "<three>", Schema: "agntcy:commerce.order.v1",
		Headers: json.RawMessage(`{"priority":"high"}`), Payload: json.RawMessage(`{"n":1.0,"text":"h\u00e9"}`),
		Attachments: []amtp.Attachment{{Filename: "a", ContentType: "t/p", Size: 1,
			Hash: "sha256:" + strings.Repeat("ab", 32), URL: "https://h.example/x"}},
	}, "bob@ref.example", "Carol@REF.example", "dan@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)

	if posts := ref.Posts(); len(posts) != 3 {
		t.Fatalf("%d posts, want 3: %+v", len(posts), posts)
	}
	for _, p := range ref.Posts() {
		if p.Status != 200 || len(p.Body.Recipients) != 1 || p.Header.Get("X-Amtp-Version") != "1.0" ||
			!strings.HasPrefix(p.Header.Get("User-Agent"), "AMTP/1.0 (amtp/") {
			t.Errorf("answered %d, for %v, header %v; want one recipient, taken", p.Status, p.Body.Recipients, p.Header)
		}
		if got := p.Body; got.Subject != "<three>" || string(got.Payload) != `{"n":1.0,"text":"h\u00e9"}` ||
			got.Headers["priority"] != "high" || len(got.Attachments) != 1 || got.Schema != "agntcy:commerce.order.v1" {
			t.Errorf("the reference gateway read %+v", got)
		}
	}
	for address, id := range map[string]amtp.MessageID{
		"bob@ref.example":   amtp.PeerMessageID(sent.MessageID),
		"Carol@ref.example": copyID(t, sent.MessageID, "carol@ref.example"),
		"dan@ref.example":   copyID(t, sent.MessageID, "dan@ref.example"),
	} {
		if got := ref.Inbox(address); len(got) != 1 || got[0].MessageID != string(id) {
			t.Errorf("%s has %+v, want one message %s", address, got, id)
		}
	}
}

// copyID returns the id under which a further recipient of a domain gets a message.
func copyID(t *testing.T, id amtp.MessageID, address string) amtp.MessageID {
	t.Helper()
	a, err := amtp.ParseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	return amtp.PeerCopyID(id, a)
}

// once checks that each of the names has one message at the reference gateway.
func once(t *testing.T, ref *testnet.Reference, names ...string) {
	t.Helper()
	for _, name := range names {
		if got := ref.Inbox(name + "@ref.example"); len(got) != 1 {
			t.Errorf("%s has %d messages, want 1", name, len(got))
		}
	}
}

// TestReferencePartialFailure: recipients to which the reference gateway failed to
// deliver are tried again. Each retry has a new key, because the gateway repeats its
// answer to the old one, and the recipient's former id. In whatever order the
// recipients are named, none loses a message or gets it twice.
func TestReferencePartialFailure(t *testing.T) {
	for _, order := range []string{"bob carol dan", "dan carol bob"} {
		t.Run(order, func(t *testing.T) {
			n := testnet.New(t)
			n.Start("a.example")
			ref := n.Reference("ref.example")
			alice := n.As("alice@a.example")
			ref.Fail("bob@ref.example", 2)
			ref.Fail("carol@ref.example", 1)
			var to []string
			for name := range strings.FieldsSeq(order) {
				to = append(to, name+"@ref.example")
			}
			sent := alice.Send("mixed", to...)
			alice.Hears(sent.MessageID, amtp.StatusDelivered)

			keys, ids, posts := make(map[string]bool), make(map[string]string), make(map[string]int)
			for _, p := range ref.Posts() {
				address := p.Body.Recipients[0]
				if other := ids[p.Body.MessageID]; other != "" && other != address {
					t.Errorf("the id of %s came for %s", other, address)
				}
				ids[p.Body.MessageID], keys[p.Body.IdempotencyKey] = address, true
				posts[address]++
			}
			if fmt.Sprint(posts) != "map[bob@ref.example:3 carol@ref.example:2 dan@ref.example:1]" || len(keys) != 6 ||
				len(ids) != 3 {
				t.Errorf("posts %v with %d keys and %d ids, want 3, 2 and 1 with 6 and 3", posts, len(keys), len(ids))
			}
			once(t, ref, "bob", "carol", "dan")
		})
	}
}

// TestReferenceAnswerLost: after a lost answer the message is posted again for that
// recipient under the same id and key, and the reference gateway recognises it.
func TestReferenceAnswerLost(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	ref.Mute(1)
	sent := alice.Send("say it again", "bob@ref.example", "carol@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	answers := make(map[string]string)
	repeated := 0
	for _, p := range ref.Posts() {
		key := p.Body.Recipients[0] + p.Body.MessageID + p.Body.IdempotencyKey
		if answers[key] == p.Answer {
			repeated++
		}
		answers[key] = p.Answer
	}
	if len(answers) != 2 || repeated != 1 {
		t.Errorf("%d names and %d repetitions in %+v, want two and one", len(answers), repeated, ref.Posts())
	}
	once(t, ref, "bob", "carol")
}

// TestReferenceRefuses: the sender is told the refusal of the reference gateway, and
// the operator's log has its reason. When the cause is gone, a redrive delivers the
// message. No other recipient loses a message by that.
func TestReferenceRefuses(t *testing.T) {
	for _, order := range [][]string{{"bob@ref.example", "carol@ref.example"},
		{"carol@ref.example", "bob@ref.example"}} {
		t.Run("first "+order[0], func(t *testing.T) {
			n := testnet.New(t)
			g := n.Start("a.example")
			ref := n.Reference("ref.example")
			alice := n.As("alice@a.example")
			ref.Refuse("carol@ref.example", "MESSAGE_VALIDATION_FAILED")
			sent := alice.Send("not good enough", order...)
			report := alice.Receives(1)[0]
			s, err := alice.Client.Status(t.Context(), sent.MessageID)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range s.Recipients {
				if r.Address.Local() == "carol" && (r.Status != amtp.StatusFailed ||
					r.ErrorCode != amtp.CodeInvalidMessage ||
					!strings.Contains(r.ErrorMessage, "(MESSAGE_VALIDATION_FAILED)") ||
					strings.Contains(r.ErrorMessage, "good enough")) {
					t.Errorf("the status of carol is %+v, want %s with the code of the other side", r,
						amtp.CodeInvalidMessage)
				}
			}
			if !strings.Contains(string(report.Payload), "(MESSAGE_VALIDATION_FAILED)") {
				t.Errorf("the report says %s", report.Payload)
			}
			if log := g.Log(); !strings.Contains(log, "Request validation failed") {
				t.Error("the log does not have the other side's error")
			}
			ref.Refuse("carol@ref.example", "")
			if did, err := g.Operator().Redrive(t.Context(),
				admin.DeadLetterChoice{Message: sent.MessageID}); err != nil || did != 1 {
				t.Fatalf("Redrive = %d, %v; want 1", did, err)
			}
			alice.Hears(sent.MessageID, amtp.StatusDelivered)
			once(t, ref, "bob", "carol")
		})
	}
}

// TestReferenceMany: fifty recipients of one domain cause fifty posts on the same few
// connections.
func TestReferenceMany(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	var to []string
	for i := range 50 {
		to = append(to, fmt.Sprintf("agent%d@ref.example", i))
	}
	sent := alice.Send("to all", to...)
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	for _, address := range to {
		if got := ref.Inbox(address); len(got) != 1 {
			t.Errorf("%s has %d messages, want 1", address, len(got))
		}
	}
	if posts, conns := len(ref.Posts()), ref.Conns(); posts != 50 || conns > 8 {
		t.Errorf("%d posts on %d connections, want 50 on at most 8", posts, conns)
	}
}

// TestReferenceReplies: a reply names the answered message to the reference gateway by
// the id that its sender there knows.
func TestReferenceReplies(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	for _, id := range []amtp.MessageID{"550e8400-e29b-41d4-a716-446655440000", "my-own-id-1",
		"01H8X9Z2K3M4N5P6Q7R8S9T2"} {
		sent := alice.Post(amtp.Message{InReplyTo: id, Headers: json.RawMessage(`{"priority":"high"}`)},
			"bob@ref.example")
		alice.Hears(sent.MessageID, amtp.StatusDelivered)
		list := ref.Inbox("bob@ref.example")
		got := list[len(list)-1]
		if got.InReplyTo != "" || got.Headers[amtp.HeaderInReplyTo] != string(id) || got.Headers["priority"] != "high" {
			t.Errorf("bob has an answer to %q with headers %v, want %s in a header", got.InReplyTo, got.Headers, id)
		}
	}
	first := alice.Send("to two", "bob@ref.example", "carol@ref.example")
	alice.Hears(first.MessageID, amtp.StatusDelivered)
	second := alice.Post(amtp.Message{InReplyTo: first.MessageID}, "bob@ref.example", "carol@ref.example")
	alice.Hears(second.MessageID, amtp.StatusDelivered)
	for name, known := range map[string]amtp.MessageID{"bob": first.MessageID,
		"carol": copyID(t, first.MessageID, "carol@ref.example")} {
		list := ref.Inbox(name + "@ref.example")
		if got := list[len(list)-1]; got.InReplyTo != string(known) {
			t.Errorf("%s has an answer to %s, want to %s, as it knows the message", name, got.InReplyTo, known)
		}
	}
}

const (
	refID  = "01a20449-e7ee-7e45-9a3f-45acd5b9b452"
	refKey = "62def701-eba2-421a-8c20-f7c5a6f7d33d"
)

// taken checks the answer that a reference gateway gets for a message that was
// accepted.
func taken(t *testing.T, r testnet.RefResult, id, to string) amtp.SendResult {
	t.Helper()
	var s amtp.SendResult
	if err := json.Unmarshal([]byte(r.Text), &s); err != nil {
		t.Fatalf("answered %d %q: %v", r.StatusCode, r.Text, err)
	}
	if r.StatusCode != 202 || r.Proto != "HTTP/1.1" || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("answered %s %d, %v: want HTTP/1.1 202 without an encoding; %s", r.Proto, r.StatusCode,
			r.Header, r.Text)
	}
	if string(s.MessageID) != id || len(s.Recipients) != 1 || s.Recipients[0].Address.String() != to ||
		s.Recipients[0].Status != amtp.StatusDelivered {
		t.Errorf("answered %s, want %s delivered to %s", r.Text, id, to)
	}
	return s
}

// raw returns a message as its reader gets it.
func raw(t *testing.T, g *testnet.Gateway, p *testnet.Person, id string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"/v1/messages/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Client.Key)
	res, err := p.Client.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFromReference: a reference gateway posts one message once for every recipient,
// under one id and key. Every recipient has it once, however often it is posted.
func TestFromReference(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	names := []string{"alice", "bob", "carol"}
	for _, name := range names {
		n.As(name + "@a.example")
	}
	for range 2 { // and then it tries again, because it got no answer
		for _, name := range names {
			to := name + "@a.example"
			body := ref.RefBody("ann", to, refID, refKey, map[string]string{
				"attachments":  `[{"filename":"a","content_type":"t/p","size":1,"hash":"md5:ab","url":"http://h/x"}]`,
				"coordination": `{"type":"parallel","timeout":60,"required_responses":["alice@a.example"]}`,
				"payload":      `{"big":12345678901234567890,"one":1.0}`,
			})
			taken(t, ref.Post(g, "/v1/messages", body), refID, to)
		}
	}
	for _, name := range names {
		p := n.As(name + "@a.example")
		got := p.Receives(1)[0]
		if got.MessageID != refID || got.Sender.String() != "ann@ref.example" || got.Subject != "cross" ||
			string(got.Payload) != `{"big":12345678901234567890,"one":1.0}` {
			t.Errorf("%s has %+v", name, got)
		}
		if got.Trust != amtp.TrustUnverified || got.Authentication.Result != "none" {
			t.Errorf("%s sees trust %q, authentication %+v; want unverified, none", name, got.Trust, got.Authentication)
		}
		if len(got.Attachments) != 1 || got.Attachments[0].Hash != "md5:ab" {
			t.Errorf("%s has attachments %+v, want the one that was sent", name, got.Attachments)
		}
		if whole := raw(t, g, p, refID); !strings.Contains(whole, `"coordination":{"type":"parallel",`) {
			t.Errorf("%s does not have the coordination that was sent: %s", name, whole)
		}
		p.Ack(got.MessageID)
	}
	// Also after the acknowledgement.
	taken(t, ref.Post(g, "/v1/messages", ref.RefBody("ann", "alice@a.example", refID, refKey, map[string]string{
		"attachments":  `[{"filename":"a","content_type":"t/p","size":1,"hash":"md5:ab","url":"http://h/x"}]`,
		"coordination": `{"type":"parallel","timeout":60,"required_responses":["alice@a.example"]}`,
		"payload":      `{"big":12345678901234567890,"one":1.0}`,
	})), refID, "alice@a.example")
	if left := n.As("alice@a.example").Inbox(); len(left) != 0 {
		t.Errorf("alice has it again: %+v", left)
	}
}

// TestReferenceIDCollision: two senders use one id, one of them perhaps to hide the
// other's message. Both messages arrive. Each gateway is told the id that it sent, and
// an answer names the id that its receiver knows.
func TestReferenceIDCollision(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	first, second := n.Reference("one.example"), n.Reference("two.example")
	alice := n.As("alice@a.example")
	taken(t, first.Post(g, "/v1/messages", first.RefBody("mallory", "alice@a.example", refID, refKey,
		map[string]string{"subject": `"first"`})), refID, "alice@a.example")
	s := taken(t, second.Post(g, "/v1/messages", second.RefBody("ann", "alice@a.example", refID, refKey,
		map[string]string{"subject": `"second"`})), refID, "alice@a.example")
	if s.LocalID == "" || s.LocalID == refID {
		t.Errorf("the local id of the second is %q, want one of its own", s.LocalID)
	}
	got := alice.Receives(2)
	if got[0].MessageID != refID || got[0].Subject != "first" || got[1].MessageID != s.LocalID ||
		got[1].Subject != "second" {
		t.Fatalf("alice has %s %q and %s %q", got[0].MessageID, got[0].Subject, got[1].MessageID, got[1].Subject)
	}
	for i, ref := range []*testnet.Reference{first, second} {
		answer := alice.Post(amtp.Message{Subject: "an answer", InReplyTo: got[i].MessageID}, got[i].Sender.String())
		alice.Hears(answer.MessageID, amtp.StatusDelivered)
		if inbox := ref.Inbox(got[i].Sender.String()); len(inbox) != 1 || inbox[0].InReplyTo != refID {
			t.Errorf("%s has %+v, want one answer to %s", got[i].Sender, inbox, refID)
		}
	}
}

// TestReferenceAnswer: an answer from a reference gateway finds the message that it
// answers, by the id under which each recipient has that message.
func TestReferenceAnswer(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	sent := alice.Send("a question", "bob@ref.example", "carol@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	for i, name := range []string{"bob", "carol"} {
		known := ref.Inbox(name + "@ref.example")[0].MessageID
		id, key := strings.Replace(refID, "01a", fmt.Sprint("01", i), 1),
			strings.Replace(refKey, "62d", fmt.Sprint("62", i), 1)
		taken(t, ref.Post(g, "/v1/messages", ref.RefBody(name, "alice@a.example", id, key,
			map[string]string{"in_reply_to": `"` + known + `"`})), id, "alice@a.example")
		got := alice.Receives(i + 1)[i]
		if string(got.InReplyTo) != known || got.ThreadID != sent.MessageID {
			t.Errorf("the answer of %s is to %s in thread %s, want %s in %s", name, got.InReplyTo, got.ThreadID, known,
				sent.MessageID)
		}
	}
}

// TestReferenceIsNotRedirected: no answer to a post is a redirect. The reference
// gateway would follow it with a GET and take the result for success.
func TestReferenceIsNotRedirected(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	taken(t, ref.Post(g, "//v1/messages", ref.RefBody("ann", "alice@a.example", refID, refKey, nil)), refID,
		"alice@a.example")
	alice.Receives(1)
	for _, path := range []string{"/v1/messages/", "/v1//messages", "/v1/./messages", "/x/../v1/messages", "/", "/v1",
		"/v1/messages?x=1", "/V1/Messages"} {
		r := ref.Post(g, path, ref.RefBody("ann", "alice@a.example", strings.Replace(refID, "01a2", "01a3", 1),
			strings.Replace(refKey, "62", "63", 1), nil))
		if r.StatusCode < 200 || r.StatusCode >= 300 && r.StatusCode < 400 {
			t.Errorf("%s is answered %d, want no redirect", path, r.StatusCode)
		}
		if r.StatusCode < 300 != strings.Contains(r.Text, `"delivered"`) {
			t.Errorf("%s is answered %d %s", path, r.StatusCode, r.Text)
		}
	}
	if got := len(alice.Inbox()); got > 2 {
		t.Errorf("alice has %d messages, want 1 or 2", got)
	}
}

// TestReferenceUnknownRecipient: the status tells a reference gateway that a recipient
// does not exist, whether it posts for that recipient first or last. Its other
// recipients have the message.
func TestReferenceUnknownRecipient(t *testing.T) {
	for _, order := range []string{"nobody alice nobody", "alice nobody alice"} {
		t.Run(order, func(t *testing.T) {
			n := testnet.New(t)
			g := n.Start("a.example")
			ref := n.Reference("ref.example")
			alice := n.As("alice@a.example")
			for name := range strings.FieldsSeq(order) {
				r := ref.Post(g, "/v1/messages", ref.RefBody("ann", name+"@a.example", refID, refKey, nil))
				if name == "alice" {
					taken(t, r, refID, "alice@a.example")
					continue
				}
				if r.StatusCode != 404 || !strings.Contains(r.Text, `"AGENT_UNKNOWN"`) ||
					!strings.Contains(r.Text, refID) {
					t.Errorf("answered %d %s, want 404 AGENT_UNKNOWN of that message", r.StatusCode, r.Text)
				}
			}
			alice.Receives(1)
		})
	}
}

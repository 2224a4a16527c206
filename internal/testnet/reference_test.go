package testnet_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/testnet"
)

// TestToReference: a message to several recipients at a reference gateway goes
// there in one post, in the form that it takes, and every one of them has it
// once.
func TestToReference(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	sent := alice.Post(amtp.Message{
		MessageID: "my-own-id", IdempotencyKey: "my-own-key", Subject: "<three>", Schema: "agntcy:commerce.order.v1",
		Headers: json.RawMessage(`{"priority":"high"}`), Payload: json.RawMessage(`{"n":1.0,"text":"h\u00e9"}`),
		Attachments: []amtp.Attachment{{Filename: "a", ContentType: "t/p", Size: 1, Hash: "sha256:" + strings.Repeat("ab", 32), URL: "https://h.example/x"}},
	}, "bob@ref.example", "Carol@REF.example", "dan@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)

	posts := ref.Posts()
	if len(posts) != 1 || posts[0].Status != 200 {
		t.Fatalf("%d posts, answered %+v; want one, taken", len(posts), posts)
	}
	p := posts[0]
	if p.Header.Get("X-Amtp-Version") != "1.0" || !strings.HasPrefix(p.Header.Get("User-Agent"), "AMTP/1.0 (amtp/") {
		t.Errorf("header %v", p.Header)
	}
	if got := p.Body; got.MessageID != string(amtp.PeerMessageID(sent.MessageID)) || got.Subject != "<three>" || string(got.Payload) != `{"n":1.0,"text":"h\u00e9"}` ||
		got.Headers["priority"] != "high" || len(got.Attachments) != 1 || got.Schema != "agntcy:commerce.order.v1" {
		t.Errorf("the reference gateway read %+v", got)
	}
	for _, address := range []string{"bob@ref.example", "Carol@ref.example", "dan@ref.example"} {
		if got := ref.Inbox(address); len(got) != 1 {
			t.Errorf("%s has %d messages, want 1", address, len(got))
		}
	}
}

// TestReferencePartialFailure: recipients that the reference gateway failed to
// deliver to are tried again alone and under a new key, because it repeats its
// answer to the old one; nobody gets the message twice.
func TestReferencePartialFailure(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	ref.Fail("bob@ref.example", 2)
	ref.Fail("carol@ref.example", 1)
	sent := alice.Send("mixed", "bob@ref.example", "carol@ref.example", "dan@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)

	var keys []string
	var to [][]string
	for _, p := range ref.Posts() {
		keys = append(keys, p.Body.IdempotencyKey)
		to = append(to, p.Body.Recipients)
	}
	if want := "[[bob@ref.example carol@ref.example dan@ref.example] [bob@ref.example carol@ref.example] [bob@ref.example]]"; fmt.Sprint(to) != want {
		t.Errorf("posts for %v, want %s", to, want)
	}
	slices.Sort(keys)
	if n := len(slices.Compact(keys)); n != len(to) {
		t.Errorf("%d keys in %d posts, want another in each", n, len(to))
	}
	for _, name := range []string{"bob", "carol", "dan"} {
		if got := ref.Inbox(name + "@ref.example"); len(got) != 1 {
			t.Errorf("%s has %d messages, want 1", name, len(got))
		}
	}
}

// TestReferenceAnswerLost: an answer that is lost leads to a second post under
// the same key, which the reference gateway recognises.
func TestReferenceAnswerLost(t *testing.T) {
	n := testnet.New(t)
	n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	ref.Mute(1)
	sent := alice.Send("say it again", "bob@ref.example", "carol@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	posts := ref.Posts()
	if len(posts) != 2 || posts[0].Body.IdempotencyKey != posts[1].Body.IdempotencyKey || posts[0].Answer != posts[1].Answer {
		t.Errorf("posts %+v, want the same one twice", posts)
	}
	for _, name := range []string{"bob", "carol"} {
		if got := ref.Inbox(name + "@ref.example"); len(got) != 1 {
			t.Errorf("%s has %d messages, want 1", name, len(got))
		}
	}
}

const (
	refID  = "01a20449-e7ee-7e45-9a3f-45acd5b9b452"
	refKey = "62def701-eba2-421a-8c20-f7c5a6f7d33d"
)

// taken checks what a reference gateway hears of a message that was taken.
func taken(t *testing.T, r testnet.RefResult, id, to string) amtp.SendResult {
	t.Helper()
	var s amtp.SendResult
	if err := json.Unmarshal([]byte(r.Text), &s); err != nil {
		t.Fatalf("answered %d %q: %v", r.StatusCode, r.Text, err)
	}
	if r.StatusCode != 202 || r.Proto != "HTTP/1.1" || r.Header.Get("Content-Encoding") != "" {
		t.Errorf("answered %s %d, %v: want HTTP/1.1 202 without an encoding; %s", r.Proto, r.StatusCode, r.Header, r.Text)
	}
	if string(s.MessageID) != id || len(s.Recipients) != 1 || s.Recipients[0].Address.String() != to || s.Recipients[0].Status != amtp.StatusDelivered {
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

// TestFromReference: a reference gateway posts one message once for every
// recipient, under one id and key; every one of them has it once, however often
// it is posted.
func TestFromReference(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	names := []string{"alice", "bob", "carol"}
	for _, name := range names {
		n.As(name + "@a.example")
	}
	for range 2 { // and then it tries again, not having heard
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
		if got.MessageID != refID || got.Sender.String() != "ann@ref.example" || got.Subject != "cross" || string(got.Payload) != `{"big":12345678901234567890,"one":1.0}` {
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
	// Also behind the acknowledgement.
	taken(t, ref.Post(g, "/v1/messages", ref.RefBody("ann", "alice@a.example", refID, refKey, map[string]string{
		"attachments":  `[{"filename":"a","content_type":"t/p","size":1,"hash":"md5:ab","url":"http://h/x"}]`,
		"coordination": `{"type":"parallel","timeout":60,"required_responses":["alice@a.example"]}`,
		"payload":      `{"big":12345678901234567890,"one":1.0}`,
	})), refID, "alice@a.example")
	if left := n.As("alice@a.example").Inbox(); len(left) != 0 {
		t.Errorf("alice has it again: %+v", left)
	}
}

// TestReferenceIDCollision: two senders that use one id, one of them perhaps to
// hide the other's message, both arrive; each gateway hears of the id that it
// sent, and an answer names the id that its receiver knows.
func TestReferenceIDCollision(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	first, second := n.Reference("one.example"), n.Reference("two.example")
	alice := n.As("alice@a.example")
	taken(t, first.Post(g, "/v1/messages", first.RefBody("mallory", "alice@a.example", refID, refKey, map[string]string{"subject": `"first"`})), refID, "alice@a.example")
	s := taken(t, second.Post(g, "/v1/messages", second.RefBody("ann", "alice@a.example", refID, refKey, map[string]string{"subject": `"second"`})), refID, "alice@a.example")
	if s.LocalID == "" || s.LocalID == refID {
		t.Errorf("the local id of the second is %q, want one of its own", s.LocalID)
	}
	got := alice.Receives(2)
	if got[0].MessageID != refID || got[0].Subject != "first" || got[1].MessageID != s.LocalID || got[1].Subject != "second" {
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

// TestReferenceAnswer: an answer from a reference gateway finds the message that
// it answers.
func TestReferenceAnswer(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	sent := alice.Send("a question", "bob@ref.example")
	alice.Hears(sent.MessageID, amtp.StatusDelivered)
	known := ref.Inbox("bob@ref.example")[0].MessageID
	taken(t, ref.Post(g, "/v1/messages", ref.RefBody("bob", "alice@a.example", refID, refKey, map[string]string{"in_reply_to": `"` + known + `"`})), refID, "alice@a.example")
	got := alice.Receives(1)[0]
	if string(got.InReplyTo) != known || got.ThreadID != sent.MessageID {
		t.Errorf("the answer is to %s in thread %s, want %s in %s", got.InReplyTo, got.ThreadID, known, sent.MessageID)
	}
}

// TestReferenceIsNotRedirected: no answer to a post is a redirect, which the
// reference gateway would follow with a GET and take for success.
func TestReferenceIsNotRedirected(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	taken(t, ref.Post(g, "//v1/messages", ref.RefBody("ann", "alice@a.example", refID, refKey, nil)), refID, "alice@a.example")
	alice.Receives(1)
	for _, path := range []string{"/v1/messages/", "/v1//messages", "/v1/./messages", "/x/../v1/messages", "/", "/v1", "/v1/messages?x=1", "/V1/Messages"} {
		r := ref.Post(g, path, ref.RefBody("ann", "alice@a.example", strings.Replace(refID, "01a2", "01a3", 1), strings.Replace(refKey, "62", "63", 1), nil))
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

// TestReferenceUnknownRecipient: a reference gateway hears at once that there is
// nobody, and its other recipients have the message.
func TestReferenceUnknownRecipient(t *testing.T) {
	n := testnet.New(t)
	g := n.Start("a.example")
	ref := n.Reference("ref.example")
	alice := n.As("alice@a.example")
	r := ref.Post(g, "/v1/messages", ref.RefBody("ann", "nobody@a.example", refID, refKey, nil))
	if r.StatusCode != 404 || !strings.Contains(r.Text, `"AGENT_UNKNOWN"`) {
		t.Errorf("answered %d %s, want 404 AGENT_UNKNOWN", r.StatusCode, r.Text)
	}
	taken(t, ref.Post(g, "/v1/messages", ref.RefBody("ann", "alice@a.example", refID, refKey, nil)), refID, "alice@a.example")
	alice.Receives(1)
}

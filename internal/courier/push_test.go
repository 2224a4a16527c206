package courier_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/intake"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// stage is a gateway without a queue: the test claims, carries and settles. Bob gets
// alice's messages at an endpoint.
type stage struct {
	*courier.Push
	t        *testing.T
	store    *sqlite.Store
	in       *intake.Intake
	alice    gateway.Agent
	bob      gateway.Agent
	secret   string
	log      *bytes.Buffer
	endpoint *endpoint
	hurried  []gateway.Destination
	replier  *automail.PushReplier
	ahead    time.Duration // by which the clock is set forward
}

// endpoint is a receiver that answers as the test says and keeps the requests.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	got    []*http.Request
	bodies [][]byte
	answer http.HandlerFunc
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // the checks show what is missing
	e.mu.Lock()
	e.got, e.bodies = append(e.got, r), append(e.bodies, body)
	answer := e.answer
	e.mu.Unlock()
	answer(w, r)
}

const planted = "canary-secret"

func set(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, log: new(bytes.Buffer), endpoint: new(endpoint)}
	s.endpoint.Server = httptest.NewServer(s.endpoint)
	t.Cleanup(s.endpoint.Close)
	s.answers(200, "", "")
	var err error
	if s.store, err = sqlite.Open(sqlite.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	seal, err := gateway.NewSeal(bytes.Repeat([]byte{7}, gateway.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(s.ahead) }
	s.in = &intake.Intake{Store: s.store, Domain: "shop.example", Now: now, Federated: true}
	allow := []outbound.Rule{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.replier = &automail.PushReplier{Acceptor: s.in, Log: log}
	s.Push = &courier.Push{Store: s.store, Seal: seal,
		Client:  outbound.New(outbound.Options{Allow: allow, PlainAllowed: true}),
		Replier: s.replier, Queue: s, Log: log, Now: now}
	s.alice = s.add("alice", "pull")
	s.bob = s.add("bob", "push")
	e := gateway.Endpoint{Headers: map[string]string{"Authorization": "Bearer " + planted, "x-agent-id": "7"}}
	s.secret = e.Renew(now(), 0)
	s.seal(e)
	return s
}

// RetryNow implements courier.Retrier.
func (s *stage) RetryNow(_ context.Context, d gateway.Destination) { s.hurried = append(s.hurried, d) }

func (s *stage) seal(e gateway.Endpoint) {
	s.t.Helper()
	err := s.store.ChangeDocuments(context.Background(), gateway.EndpointKind(s.bob.ID),
		func([]gateway.Document) ([]gateway.Document, error) {
			sealed, err := e.Seal(s.Seal, s.bob.ID, time.Now())
			return []gateway.Document{sealed}, err
		})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) add(name, mode string) gateway.Agent {
	s.t.Helper()
	address, err := amtp.ParseAddress(name + "@shop.example")
	if err != nil {
		s.t.Fatal(err)
	}
	a := gateway.Agent{Address: address, DeliveryMode: mode, Listed: true, CreatedAt: time.Now(),
		LastActive: time.Now()}
	if mode == "push" {
		a.Target = s.endpoint.URL + "/hook?token=" + planted
	}
	_, key := gateway.NewKey(0, time.Now())
	if a, err = s.store.AddAgent(context.Background(), a, key); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *stage) update(change func(*gateway.Agent)) {
	s.t.Helper()
	if _, err := s.store.UpdateAgent(context.Background(), gateway.Acting{}, s.bob.ID,
		func(a *gateway.Agent) error { change(a); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// answers sets the endpoint's answer from now on: headers are "Name: value", one on a
// line.
func (s *stage) answers(status int, headers, body string) {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	s.endpoint.answer = func(w http.ResponseWriter, _ *http.Request) {
		for h := range strings.SplitSeq(headers, "\n") {
			if name, value, ok := strings.Cut(h, ": "); ok {
				w.Header().Set(name, value)
			}
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// send makes a principal send a message with more members, and returns its id.
func (s *stage) send(p gateway.Principal, members string) amtp.MessageID {
	s.t.Helper()
	from := s.alice.Address.String()
	if p.Domain != "" {
		from = "zoe@" + string(p.Domain)
	}
	m, refused := amtp.ParseMessage(fmt.Appendf(nil, `{"sender":%q,"recipients":["bob@shop.example"]%s}`,
		from, members))
	if refused != nil {
		s.t.Fatal(refused)
	}
	r, err := s.in.Accept(context.Background(), p, m, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	if r.LocalID != "" {
		return r.LocalID
	}
	return r.MessageID
}

func (s *stage) asAlice() gateway.Principal { return gateway.Principal{Agent: &s.alice} }

// claim leases bob's next job, whenever it is due.
func (s *stage) claim() gateway.Parcel {
	s.t.Helper()
	ctx := context.Background()
	waiting, err := s.store.Waiting(ctx, "", 10)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, w := range waiting {
		if w.Destination != gateway.PushTo(s.bob.ID) {
			continue
		}
		if behind := w.Due.Sub(s.Now()); behind > 0 {
			s.ahead += behind
		}
		got, err := s.store.Claim(ctx, []gateway.Claiming{{Destination: w.Destination, Limit: 1}}, s.Now(),
			s.Now().Add(time.Minute))
		if err != nil || len(got) != 1 || len(got[0].Jobs) != 1 {
			s.t.Fatalf("claimed %+v, %v", got, err)
		}
		p, err := s.store.Parcel(ctx, got[0].Jobs[0].ID, got[0].Jobs[0].Fence)
		if err != nil {
			s.t.Fatal(err)
		}
		return p
	}
	s.t.Fatal("nothing waits for bob")
	return gateway.Parcel{}
}

// attempt makes the next attempt and stores its outcome.
func (s *stage) attempt() gateway.Carriage {
	s.t.Helper()
	p := s.claim()
	c := s.Carry(context.Background(), p)
	if err := s.store.Settle(context.Background(), p.Settle(c, s.Now())); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *stage) status(id amtp.MessageID) gateway.Delivery {
	s.t.Helper()
	rec, err := s.store.Message(context.Background(), gateway.Reader{Everyone: true}, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return rec.Deliveries[0]
}

func (s *stage) inbox(a gateway.Agent) []gateway.InboxItem {
	s.t.Helper()
	page, err := s.store.Inbox(context.Background(), gateway.Acting{Agent: a.ID}, gateway.InboxFilter{})
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Items
}

// TestPushBody: the endpoint gets the twelve members of the reference gateway, and
// ours, with the sender's bytes unchanged. It also gets the configured headers, and a
// signature that the library of Standard Webhooks verifies.
func TestPushBody(t *testing.T) {
	s := set(t)
	for _, c := range []struct{ members, want string }{
		{``,
			`{"attachments":null,"coordination":null,"headers":null,"in_reply_to":"","payload":null,"response_type":"","schema":"","subject":"","recipients":["bob@shop.example"]}`},
		{`,"payload":{"n":1.50,"u":"\u00e9","<":[ 1 ]},"headers":{"priority":"high"},"subject":"s","schema":null,"x_own":{"a":[1]}`,
			`{"attachments":null,"coordination":null,"headers":{"priority":"high"},"in_reply_to":"","payload":{"n":1.50,"u":"\u00e9","<":[ 1 ]},"response_type":"","schema":"","subject":"s","recipients":["bob@shop.example"],"x_own":{"a":[1]}}`},
	} {
		id := s.send(s.asAlice(), c.members)
		s.attempt()
		n := len(s.endpoint.got) - 1
		r, body := s.endpoint.got[n], s.endpoint.bodies[n]
		var got, want map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(body, &got), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		ours := map[string]string{"message_id": `"` + string(id) + `"`, "sender": `"alice@shop.example"`,
			"recipient": `"bob@shop.example"`,
			"version":   `"1.0"`, "thread_id": `"` + string(id) + `"`, "trust": `"local"`,
			"authentication":      `{"result":"pass"}`,
			"sender_verification": `{"result":"authenticated","method":"agent_api_key"}`}
		for name, value := range ours {
			want[name] = json.RawMessage(value)
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Errorf("%s is %s, want %s", name, got[name], value)
			}
		}
		if len(got) != len(want)+2 || got["timestamp"] == nil || got["received_at"] == nil {
			t.Errorf("the body has other members: %s", body)
		}
		for name, value := range map[string]string{"Content-Type": "application/json", "X-Amtp-Local-Delivery": "true",
			"X-Amtp-Version": "1.0",
			"Webhook-Id":     string(id), "Authorization": "Bearer " + planted, "X-Agent-Id": "7",
			"User-Agent": "AMTP/1.0 (amtp/dev)"} {
			if r.Header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, r.Header.Get(name), value)
			}
		}
		s.verified(n)
		if d := s.status(id); d.State != gateway.Delivered || d.Mode != "push" || d.Attempts != 1 {
			t.Errorf("the delivery is %+v", d)
		}
	}
	if len(s.inbox(s.bob)) != 0 {
		t.Error("what was pushed is in the inbox too")
	}
}

// verified checks the signature of the nth push with the library of Standard Webhooks,
// and that another body does not pass.
func (s *stage) verified(n int) {
	s.t.Helper()
	hook, err := standardwebhooks.NewWebhook(s.secret)
	if err != nil {
		s.t.Fatal(err)
	}
	r, body := s.endpoint.got[n], s.endpoint.bodies[n]
	if err := hook.VerifyIgnoringTimestamp(body, r.Header); err != nil {
		s.t.Errorf("the signature of push %d does not verify: %v", n, err)
	}
	if hook.VerifyIgnoringTimestamp(append(slices.Clone(body), ' '), r.Header) == nil {
		s.t.Error("the signature verifies for another body")
	}
}

// TestPushOutcomes: the outcomes of an endpoint's answers.
func TestPushOutcomes(t *testing.T) {
	for _, c := range []struct {
		name            string
		status          int
		headers         string
		event           gateway.Event
		code            amtp.Code
		wait            time.Duration // that the endpoint asks for
		down, impatient bool
	}{
		{"200", 200, "", gateway.Success, "", 0, false, false},
		{"204", 204, "", gateway.Success, "", 0, false, false},
		{"a redirect", 302, "Location: /elsewhere", gateway.Postpone, amtp.CodeAccessDenied, 0, false, true},
		{"a redirect that keeps the method", 307, "Location: /elsewhere", gateway.Postpone, amtp.CodeAccessDenied, 0,
			false, true},
		{"400", 400, "", gateway.Postpone, amtp.CodeAccessDenied, 0, false, true},
		{"401", 401, "", gateway.Postpone, amtp.CodeAccessDenied, 0, false, true},
		{"404", 404, "", gateway.Postpone, amtp.CodeAccessDenied, 0, false, true},
		{"408", 408, "", gateway.Postpone, amtp.CodeRecipientUnavailable, 0, false, false},
		{"425", 425, "", gateway.Postpone, amtp.CodeRecipientUnavailable, 0, false, false},
		{"429", 429, "Retry-After: 77", gateway.Postpone, amtp.CodeRecipientUnavailable, 77 * time.Second, true, false},
		{"500", 500, "", gateway.Postpone, amtp.CodeRecipientUnavailable, 0, true, false},
		{"503", 503, "Retry-After: 3600", gateway.Postpone, amtp.CodeRecipientUnavailable, time.Hour, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := set(t)
			s.answers(c.status, c.headers, "")
			id := s.send(s.asAlice(), "")
			got := s.attempt()
			o := got.Outcomes[0]
			if len(got.Outcomes) != 1 || o.Event != c.event || o.Code != c.code || o.RetryAfter != c.wait ||
				got.Pause != c.wait || got.Down != c.down ||
				(o.Patience == gateway.Patience{Tries: 12, For: 24 * time.Hour}) != c.impatient {
				t.Errorf("got %+v", got)
			}
			if len(s.endpoint.got) != 1 {
				t.Errorf("%d requests, want 1: a redirect is not followed", len(s.endpoint.got))
			}
			want := gateway.Delivered
			if c.event == gateway.Postpone {
				want = gateway.Retrying
			}
			if d := s.status(id); d.State != want || strings.Contains(d.ErrorText, planted) {
				t.Errorf("the delivery is %+v, want %v", d, want)
			}
			s.quiet()
		})
	}
}

// quiet checks that neither a secret nor the URL is in the log.
func (s *stage) quiet() {
	s.t.Helper()
	if log := s.log.String(); strings.Contains(log, planted) || strings.Contains(log, s.secret) ||
		strings.Contains(log, "/hook") {
		s.t.Errorf("the log has a secret: %s", log)
	}
}

// TestPushWithoutAnAnswer: no server, half an answer, an address that the gateway does
// not call, and a secret that cannot be opened. All are retried, and no error has the
// URL.
func TestPushWithoutAnAnswer(t *testing.T) {
	for name, break_ := range map[string]func(*stage){
		"no server listens": func(s *stage) { s.endpoint.Close() },
		"half an answer": func(s *stage) {
			s.endpoint.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, `{"response":`)
			}
		},
		"a private address": func(s *stage) {
			s.update(func(a *gateway.Agent) { a.Target = "http://10.1.2.3/hook?token=" + planted })
		},
		"a key that was lost": func(s *stage) {
			s.Seal, _ = gateway.NewSeal(make([]byte, gateway.SealKeySize))
		},
		"no secret": func(s *stage) {
			_ = s.store.ChangeDocuments(context.Background(), gateway.EndpointKind(s.bob.ID),
				func([]gateway.Document) ([]gateway.Document, error) { return nil, nil })
		},
		"no URL": func(s *stage) { s.update(func(a *gateway.Agent) { a.Target = "https://%zz" + planted }) },
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			break_(s)
			id := s.send(s.asAlice(), "")
			got := s.attempt()
			o := got.Outcomes[0]
			if !got.Down || o.Event != gateway.Postpone || o.Code != amtp.CodeRecipientUnavailable ||
				strings.Contains(o.Reason, planted) || strings.Contains(o.Reason, "hook") {
				t.Errorf("got %+v, want it tried again", got)
			}
			if d := s.status(id); d.State != gateway.Retrying {
				t.Errorf("the delivery is %+v", d)
			}
			s.quiet()
		})
	}
}

// TestPushGoesOnRefused: an endpoint that refuses for a day has refused for good. The
// message is a dead letter and the sender gets a report.
func TestPushGoesOnRefused(t *testing.T) {
	s := set(t)
	s.answers(403, "", "")
	id := s.send(s.asAlice(), "")
	begun := s.Now()
	for s.status(id).State != gateway.Failed {
		if s.attempt(); s.Now().Sub(begun) > 26*time.Hour {
			t.Fatalf("after %v: %+v", s.Now().Sub(begun), s.status(id))
		}
	}
	if age := s.Now().Sub(begun); age < 24*time.Hour {
		t.Errorf("given up after %v", age)
	}
	dead, err := s.store.DeadLetters(context.Background(), gateway.DeadFilter{Destination: gateway.PushTo(s.bob.ID)})
	if err != nil || len(dead.Letters) != 1 || dead.Letters[0].Delivery.ErrorCode != amtp.CodeAccessDenied {
		t.Errorf("dead letters %+v, %v", dead, err)
	}
	waiting, err := s.store.Waiting(context.Background(), "", 10)
	if err != nil || len(waiting) != 1 || waiting[0].Destination != gateway.Reports {
		t.Errorf("waiting %+v, %v; want the report", waiting, err)
	}
}

// TestPushSettleIsLost (CP15): the endpoint answered 2xx and that is not stored. The
// message is pushed again with the same webhook-id and body, and its answers make one
// reply.
func TestPushSettleIsLost(t *testing.T) {
	s := set(t)
	s.answers(200, "Content-Type: application/json", `{"status":"accepted","response":{"price":1.50}}`)
	id := s.send(s.asAlice(), `,"payload":1,"subject":"a question"`)
	p := s.claim()
	if c := s.Carry(context.Background(), p); c.Outcomes[0].Event != gateway.Success {
		t.Fatalf("got %+v", c)
	}
	s.answers(200, "Content-Type: application/json", `{"response":"something else"}`)
	if c := s.attempt(); c.Outcomes[0].Event != gateway.Success {
		t.Fatalf("the second time: %+v", c)
	}
	if a, b := s.endpoint.got[0].Header.Get("webhook-id"),
		s.endpoint.got[1].Header.Get("webhook-id"); a != string(id) || a != b {
		t.Errorf("webhook-id %q and then %q, want %s", a, b, id)
	}
	if !bytes.Equal(s.endpoint.bodies[0], s.endpoint.bodies[1]) {
		t.Errorf("the body changed from %s to %s", s.endpoint.bodies[0], s.endpoint.bodies[1])
	}
	s.verified(0)
	s.verified(1)
	list := s.inbox(s.alice)
	if len(list) != 1 {
		t.Fatalf("alice has %d replies, want one", len(list))
	}
	got, refused := amtp.ParseMessage(list[0].Body)
	if refused != nil {
		t.Fatal(refused)
	}
	if got.Sender.String() != "bob@shop.example" || got.InReplyTo != id || got.ResponseType != "workflow_response" ||
		string(got.Payload) != `{"price":1.50}` ||
		got.Subject != "Re: a question" || list[0].Shown().Trust != amtp.TrustLocal {
		t.Errorf("the reply is %s, trust %s", list[0].Body, list[0].Shown().Trust)
	}
}

// TestPushReplies: which answers become a reply and which do not.
func TestPushReplies(t *testing.T) {
	const isJSON = "Content-Type: application/json"
	for _, c := range []struct {
		name, members, headers, answer string
		replies                        int
		logged                         string
	}{
		{"an object", "", isJSON, `{"status":"accepted","response":{"a":1}}`, 1, ""},
		{"a list", "", "Content-Type: application/json; charset=utf-8", `{"response":[1]}`, 1, ""},
		{"none", "", isJSON, `{"status":"accepted"}`, 0, ""},
		{"null", "", isJSON, `{"response":null}`, 0, ""},
		{"nothing at all", "", isJSON, ``, 0, ""},
		{"no JSON", "", isJSON, `{"response":1`, 0, ""},
		{"a name twice", "", isJSON, `{"response":1,"response":2}`, 0, ""},
		{"text", "", "Content-Type: text/html", `{"response":1}`, 0, ""},
		{"an array", "", isJSON, `[{"response":1}]`, 0, ""},
		{"too long", "", isJSON, `{"response":"` + strings.Repeat("x", 64<<10) + `"}`, 0, "longer"},
		{"to a reply", `,"response_type":"workflow_response"`, isJSON, `{"response":1}`, 0, "a reply"},
		{"to what a program sent by itself", `,"headers":{"Auto-Submitted":"auto-generated"}`, isJSON, `{"response":1}`,
			0, "a reply"},
		{"to what a person sent", `,"headers":{"auto-submitted":"no"}`, isJSON, `{"response":1}`, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := set(t)
			s.answers(200, c.headers, c.answer)
			id := s.send(s.asAlice(), c.members)
			s.attempt()
			if d := s.status(id); d.State != gateway.Delivered {
				t.Errorf("the delivery is %+v", d)
			}
			if got := len(s.inbox(s.alice)); got != c.replies {
				t.Errorf("%d replies, want %d", got, c.replies)
			}
			if log := s.log.String(); c.logged == "" && log != "" || !strings.Contains(log, c.logged) {
				t.Errorf("logged %q, want %q", log, c.logged)
			}
		})
	}
}

// TestPushReplyGoesElsewhere: the reply to a sender in another domain waits in the
// queue for it.
func TestPushReplyGoesElsewhere(t *testing.T) {
	s := set(t)
	s.answers(201, "Content-Type: application/json", `{"response":{"ok":true}}`)
	p := gateway.Principal{Domain: "far.example",
		Found: gateway.Finding{Authentication: amtp.Authentication{Result: "pass", Domain: "far.example"}}}
	s.send(p, `,"message_id":"their-id"`)
	s.attempt()
	var body struct {
		Given  string                  `json:"sender_message_id"`
		Trust  string                  `json:"trust"`
		Sender amtp.SenderVerification `json:"sender_verification"`
	}
	proven := amtp.SenderVerification{Result: amtp.SenderVerified, Method: amtp.MethodDomainSignature,
		Domain: "far.example"}
	if err := json.Unmarshal(s.endpoint.bodies[0], &body); err != nil || body.Given != "their-id" ||
		body.Trust != "verified" || body.Sender != proven {
		t.Errorf("the endpoint got %s", s.endpoint.bodies[0])
	}
	jobs, err := s.store.JobsPage(context.Background(), gateway.JobFilter{Destination: "far.example"})
	if err != nil || len(jobs.Jobs) != 1 || jobs.Jobs[0].Recipients[0].Recipient.String() != "zoe@far.example" {
		t.Errorf("jobs for far.example: %+v, %v", jobs, err)
	}
}

// busy is a door that accepts no message now.
type busy struct{ code amtp.Code }

func (b busy) Accept(context.Context, gateway.Principal, *amtp.Message, gateway.RequestID) (*amtp.SendResult,
	error) {
	return nil, amtp.Errorf(b.code, "Not %s.", planted)
}

// TestPushReplyCannotBeStored: when a reply cannot be stored now, the push is repeated.
// When it is refused, the push is not repeated, and the message counts as delivered.
func TestPushReplyCannotBeStored(t *testing.T) {
	for code, want := range map[amtp.Code]gateway.Event{
		amtp.CodeTemporaryFailure: gateway.Postpone, amtp.CodeInternal: gateway.Postpone,
		amtp.CodeAgentUnknown: gateway.Success, amtp.CodeIdempotencyKeyReused: gateway.Success,
	} {
		s := set(t)
		s.answers(200, "Content-Type: application/json", `{"response":1}`)
		s.send(s.asAlice(), "")
		s.replier.Acceptor = busy{code}
		if c := s.attempt(); c.Outcomes[0].Event != want {
			t.Errorf("%s: got %+v, want %v", code, c, want)
		}
		s.quiet()
	}
}

// TestPushIsGone (CP16): 410 changes the agent to its inbox. Whatever is lost in
// between, the message is in the inbox in the end, once, and the endpoint gets no more
// requests.
func TestPushIsGone(t *testing.T) {
	for _, lost := range []bool{false, true} {
		s := set(t)
		s.answers(410, "", "")
		first, second := s.send(s.asAlice(), `,"subject":"1"`), s.send(s.asAlice(), `,"subject":"2"`)
		if lost { // the mode is stored, and the outcome of the attempt is not
			if c := s.Carry(context.Background(), s.claim()); !c.Outcomes[0].Inbox {
				t.Fatalf("got %+v, want it in the inbox", c)
			}
			s.ahead += time.Hour // the lease ends
		}
		s.attempt()
		s.attempt()
		third := s.send(s.asAlice(), `,"subject":"3"`)
		var got []amtp.MessageID
		for _, item := range s.inbox(s.bob) {
			got = append(got, item.ID)
		}
		slices.Sort(got)
		want := []amtp.MessageID{first, second, third}
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("lost %v: bob has %v, want %v", lost, got, want)
		}
		if len(s.endpoint.got) != 1 {
			t.Errorf("lost %v: %d pushes, want 1", lost, len(s.endpoint.got))
		}
		a, err := s.store.AgentNamed(t.Context(), s.bob.Address)
		if err != nil || a.DeliveryMode != "pull" || a.Target != s.bob.Target {
			t.Errorf("bob is %+v, %v; want pull, and where it was pushed before", a, err)
		}
		if !slices.Equal(s.hurried, []gateway.Destination{gateway.PushTo(s.bob.ID)}) {
			t.Errorf("hurried %v, want what waits for bob, once", s.hurried)
		}
		if d := s.status(first); d.State != gateway.Delivered || d.Mode != "pull" {
			t.Errorf("the delivery is %+v", d)
		}
		s.quiet()
	}
}

// TestPushFollowsTheAgent: a message under way goes where the agent gets its messages
// now: another endpoint, its inbox, or nowhere.
func TestPushFollowsTheAgent(t *testing.T) {
	s := set(t)
	s.answers(410, "", "")
	s.endpoint.answer = func(w http.ResponseWriter, _ *http.Request) { // the owner is faster than the answer
		s.update(func(a *gateway.Agent) { a.Target = s.endpoint.URL + "/new" })
		s.answers(200, "", "")
		w.WriteHeader(410)
	}
	id := s.send(s.asAlice(), "")
	if c := s.attempt(); c.Outcomes[0].Event != gateway.Postpone {
		t.Errorf("410 of the old endpoint: %+v, want another attempt", c)
	}
	s.attempt()
	if path := s.endpoint.got[1].URL.Path; path != "/new" || s.status(id).Mode != "push" ||
		s.status(id).State != gateway.Delivered {
		t.Errorf("pushed to %s: %+v", path, s.status(id))
	}

	s.endpoint.answer = func(w http.ResponseWriter, _ *http.Request) {
		s.update(func(a *gateway.Agent) { a.DeliveryMode = "pull" })
		w.WriteHeader(503)
	}
	id = s.send(s.asAlice(), "")
	if s.attempt(); len(s.inbox(s.bob)) != 1 || s.status(id).State != gateway.Delivered {
		t.Errorf("the agent went to its inbox during the attempt: %+v", s.status(id))
	}

	s.update(func(a *gateway.Agent) { a.DeliveryMode = "push" })
	id = s.send(s.asAlice(), "")
	if err := s.store.RemoveAgent(context.Background(), gateway.Acting{}, s.bob.ID, s.Now()); err != nil {
		t.Fatal(err)
	}
	old := s.bob
	s.bob = s.add("bob", "push") // a new agent with the name gets none of it
	s.bob.ID = old.ID
	if s.attempt(); s.status(id).State != gateway.Failed || s.status(id).ErrorCode != amtp.CodeAgentUnknown ||
		len(s.endpoint.got) != 3 {
		t.Errorf("the agent is gone: %+v, %d pushes", s.status(id), len(s.endpoint.got))
	}
}

package amtp_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// asked is a request that a gateway received.
type asked struct {
	method, uri string
	header      http.Header
	body        string
}

// operator returns the operator's client that makes the same calls as c.
func operator(c *amtp.Client) *admin.Client { return &admin.Client{Client: *c} }

// answering starts a gateway that gives every request the same answer, and
// returns the requests.
func answering(t *testing.T, status int, body string) (*amtp.Client, *[]asked) {
	t.Helper()
	var got []asked
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, asked{r.Method, r.RequestURI, r.Header, string(b)})
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return &amtp.Client{URL: srv.URL, Key: "agent-key", AdminKey: "admin-key", Retries: -1}, &got
}

func address(t *testing.T, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEveryCallAsksForItsRoute(t *testing.T) {
	c, got := answering(t, 200, `{}`)
	ctx := t.Context()
	bob := address(t, "bob@shop.example")
	since := time.Date(2026, 1, 31, 13, 0, 0, 0, time.FixedZone("", 3600))
	role := "buyer"
	calls := []struct {
		want  string
		admin bool
		make  func() error
	}{
		{"GET /v1/messages/a%2Fb%20c", false, func() error { _, err := c.Message(ctx, "a/b c"); return err }},
		{"GET /v1/messages/m1/status", false, func() error { _, err := c.Status(ctx, "m1"); return err }},
		{"GET /v1/messages", false, func() error { _, err := c.Messages(ctx, amtp.MessageQuery{}); return err }},
		{"GET /v1/messages?limit=5&offset=2&recipient=bob%40shop.example&sender=bob%40shop.example&sent=true&since=2026-01-31T12%3A00%3A00Z&status=failed",
			false, func() error {
				_, err := c.Messages(ctx, amtp.MessageQuery{Status: amtp.StatusFailed, Sender: bob, Recipient: bob,
					Since: since, Sent: true, Limit: 5, Offset: 2})
				return err
			}},
		{"GET /v1/inbox/bob@shop.example?after=c1&limit=5&offset=2&since=2026-01-31T12%3A00%3A00Z&status=unread&wait=20",
			false, func() error {
				_, err := c.Inbox(ctx, bob, amtp.InboxQuery{Limit: 5, Offset: 2, Since: since, Status: "unread",
					After: "c1", Wait: 20 * time.Second})
				return err
			}},
		{"POST /v1/inbox/bob@shop.example/m1/read", false, func() error {
			_, err := c.MarkRead(ctx, bob, "m1")
			return err
		}},
		{"DELETE /v1/inbox/bob@shop.example/m1", false, func() error { _, err := c.Ack(ctx, bob, "m1"); return err }},
		{`POST /v1/inbox/bob@shop.example/ack {"ids":["m1","m2"]}`, false, func() error {
			_, err := c.AckAll(ctx, bob, []amtp.MessageID{"m1", "m2"}, nil)
			return err
		}},
		{`POST /v1/inbox/bob@shop.example/ack {"ids":["m1","m2"],"leases":{"m2":"4f"}}`, false, func() error {
			_, err := c.AckAll(ctx, bob, []amtp.MessageID{"m1", "m2"}, map[amtp.MessageID]string{"m2": "4f"})
			return err
		}},
		{`POST /v1/messages/m1/labels?mailbox=bob%40shop.example {"add":["a"],"remove":["b"]}`, false, func() error {
			_, err := c.Label(ctx, "m1", amtp.LabelChange{Add: []string{"a"}, Remove: []string{"b"}, Mailbox: bob})
			return err
		}},
		{"GET /v1/threads/m1?cursor=t1&limit=5", false, func() error {
			_, err := c.Thread(ctx, "m1", amtp.ThreadQuery{Limit: 5, Cursor: "t1"})
			return err
		}},
		{"GET /v1/threads", false, func() error { _, err := c.Threads(ctx, amtp.ThreadQuery{}); return err }},
		{"GET /v1/discovery/agents?active_only=true&address=bob&capability=ocr&delivery_mode=pull&role=buyer&schema=agntcy%3Acommerce.%2A",
			false, func() error {
				_, err := c.Discover(ctx, "", amtp.AgentQuery{Address: "bob", Role: role, DeliveryMode: "pull",
					ActiveOnly: true, Capability: "ocr", Schema: "agntcy:commerce.*"})
				return err
			}},
		{"GET /v1/discovery/agents/shop.example", false, func() error {
			_, err := c.Discover(ctx, "shop.example", amtp.AgentQuery{})
			return err
		}},
		{"GET /v1/whoami", false, func() error { _, err := c.WhoAmI(ctx); return err }},
		{"GET /health", false, func() error { _, err := c.Health(ctx); return err }},
		{"GET /ready", false, func() error { _, err := c.Ready(ctx); return err }},
		{`POST /v1/admin/agents {"address":"bob","delivery_mode":"pull"}`, true, func() error {
			_, err := c.Register(ctx, amtp.NewAgent{Address: "bob"})
			return err
		}},
		{"GET /v1/admin/agents", true, func() error { _, err := operator(c).Agents(ctx); return err }},
		{"GET /v1/admin/agents/bob", true, func() error { _, err := c.Agent(ctx, "bob"); return err }},
		{`PATCH /v1/admin/agents/bob {"role":"buyer"}`, true, func() error {
			_, err := c.UpdateAgent(ctx, "bob", amtp.AgentUpdate{Role: &role})
			return err
		}},
		{"DELETE /v1/admin/agents/bob", true, func() error { return c.DeleteAgent(ctx, "bob") }},
		{`POST /v1/admin/agents/bob/keys {"revoke_others":true}`, true, func() error {
			_, err := c.IssueKey(ctx, "bob", true)
			return err
		}},
		{"GET /v1/admin/agents/bob/keys", true, func() error { _, err := c.Keys(ctx, "bob"); return err }},
		{"DELETE /v1/admin/agents/bob/keys/k1", true, func() error { return c.RevokeKey(ctx, "bob", "k1") }},
	}
	for _, call := range calls {
		*got = nil
		if err := call.make(); err != nil {
			t.Errorf("%s: %v", call.want, err)
		}
		if len(*got) != 1 {
			t.Fatalf("%s: %d requests", call.want, len(*got))
		}
		r := (*got)[0]
		line := strings.TrimSpace(r.method + " " + r.uri + " " + r.body)
		if line != call.want {
			t.Errorf("got  %s\nwant %s", line, call.want)
		}
		if r.header.Get("Authorization") != "Bearer agent-key" {
			t.Errorf("%s: Authorization = %q", call.want, r.header.Get("Authorization"))
		}
		if admin := r.header.Get("X-Admin-Key"); admin != map[bool]string{true: "admin-key"}[call.admin] {
			t.Errorf("%s: X-Admin-Key = %q", call.want, admin)
		}
	}
}

func TestRequestsCarryTheProtocolsHeaders(t *testing.T) {
	c, got := answering(t, 200, `{}`)
	if _, err := c.WhoAmI(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := (*got)[0].header
	if h.Get("X-AMTP-Version") != "1.0" || !strings.HasPrefix(h.Get("User-Agent"), "AMTP/1.0 (amtp/") ||
		h.Get("Content-Type") != "" {
		t.Errorf("headers = %v", h)
	}
	c.UserAgent = "mine/2"
	c.WhoAmI(t.Context())
	if ua := (*got)[1].header.Get("User-Agent"); ua != "mine/2" {
		t.Errorf("User-Agent = %q, want mine/2", ua)
	}
}

func TestSendMintsAKeyAndKeepsTheBytesOfThePayload(t *testing.T) {
	const answer = `{"message_id":"m1","status":"accepted","recipients":[{"address":"bob@shop.example","status":"queued","timestamp":"2026-01-31T12:00:00Z","attempts":0}]}`
	c, got := answering(t, 202, answer)
	m := amtp.Message{
		Sender:     address(t, "alice@localhost"),
		Recipients: []amtp.Address{address(t, "bob@shop.example")},
		Payload:    json.RawMessage(`{"n":1.0,"big":12345678901234567890,"html":"<&>"}`),
	}
	sent, err := c.Send(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if sent.MessageID != "m1" || sent.Status != amtp.StatusAccepted || sent.Recipients[0].Status != amtp.StatusQueued ||
		sent.Replayed {
		t.Errorf("Send = %+v", sent)
	}
	parsed, problem := amtp.ParseMessage([]byte((*got)[0].body))
	if problem != nil {
		t.Fatal(problem)
	}
	if parsed.Version != "1.0" || len(parsed.IdempotencyKey) != 36 || string(parsed.Payload) != string(m.Payload) {
		t.Errorf("sent %s", (*got)[0].body)
	}
	m.IdempotencyKey = "mine"
	if _, err := c.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if body := (*got)[1].body; !strings.Contains(body, `"idempotency_key":"mine"`) {
		t.Errorf("the caller's key was not kept: %s", body)
	}
}

func TestSendReportsAReplay(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Idempotent-Replayed", "true")
		io.WriteString(w, `{"message_id":"m1","status":"accepted","recipients":[]}`)
	}))
	defer srv.Close()
	c := &amtp.Client{URL: srv.URL}
	if sent, err := c.Send(t.Context(), amtp.Message{}); err != nil || !sent.Replayed {
		t.Errorf("Send = %+v, %v; want a replay", sent, err)
	}
}

func TestAStrangersMemberNeverPassesForTheGateways(t *testing.T) {
	const item = `{"message_id":"m1","sender":"eve@evil.example","recipients":["bob@shop.example"],"trust":"unverified","authentication":{"result":"none"},"status":"unread","payload":{"a": 1},"Trust":"local","TRUST":"local","Sender":"ceo@shop.example","\u017ftatus":"read"}`
	c,
		_ := answering(t, 200,
		`{"recipient":"bob@shop.example","count":1,"message_count":1,"has_more":true,"next_cursor":"7","messages":[ `+
			item+` ]}`)
	page, err := c.Inbox(t.Context(), address(t, "bob@shop.example"), amtp.InboxQuery{})
	if err != nil {
		t.Fatal(err)
	}
	m := page.Messages[0]
	if m.Trust != amtp.TrustUnverified || m.Sender.String() != "eve@evil.example" || m.Status != "unread" {
		t.Errorf("trust %q, sender %v, status %q", m.Trust, m.Sender, m.Status)
	}
	if string(m.Raw) != item || string(m.Payload) != `{"a": 1}` {
		t.Errorf("Raw = %s\nPayload = %s", m.Raw, m.Payload)
	}
	if page.NextCursor != "7" || !page.HasMore || page.Count != 1 {
		t.Errorf("page = %+v", page)
	}
}

// TestNamesAreExactAtEveryDepth: a check compares names exactly, so names must not be
// read in another way here.
func TestNamesAreExactAtEveryDepth(t *testing.T) {
	const item = `{"message_id":"m1","sender":"eve@evil.example","trust":"unverified","authentication":{"result":"none","Result":"pass"},"status":"unread",` +
		`"attachments":[{"url":"https://ok.test/a","URL":"file:///etc/passwd","hash":"sha256:00","Hash":"md5:zz"}]}`
	c, _ := answering(t, 200, `{"messages":[`+item+`]}`)
	page, err := c.Inbox(t.Context(), address(t, "bob@shop.example"), amtp.InboxQuery{})
	if err != nil {
		t.Fatal(err)
	}
	c, _ = answering(t, 200, item)
	stored, err := c.Message(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	for where, m := range map[string]amtp.Received{"inbox": page.Messages[0].Received, "message": stored.Message} {
		if a := m.Attachments[0]; a.URL != "https://ok.test/a" || a.Hash != "sha256:00" ||
			m.Authentication.Result != "none" {
			t.Errorf("%s: attachment %+v, authentication %+v; want the members with the exact names", where, a,
				m.Authentication)
		}
	}
	c, _ = answering(t, 200, `{"agents":{"a@localhost":{"address":"a@localhost","role":"x","Role":"admin"}},"count":1}`)
	if all, err := operator(c).Agents(t.Context()); err != nil || all.Agents["a@localhost"].Role != "x" {
		t.Errorf("Agents = %+v, %v; want the role x", all, err)
	}
}

func TestAMemberThatStandsTwiceIsRefused(t *testing.T) {
	for _, item := range []string{
		`{"message_id":"m1","trust":"unverified","trust":"local"}`,
		`{"message_id":"m1","attachments":[{"url":"https://ok.test/a","url":"file:///etc/passwd"}]}`,
	} {
		c, _ := answering(t, 200, `{"messages":[`+item+`]}`)
		if page, err := c.Inbox(t.Context(), address(t, "bob@shop.example"), amtp.InboxQuery{}); err == nil {
			t.Errorf("Inbox = %+v, want an error; message %s", page, item)
		}
	}
}

// TestAPageMayHoldSeveralLargeMessages: the bounds of one document do not hold for a
// page. Otherwise a stranger could block an inbox with a few messages.
func TestAPageMayHoldSeveralLargeMessages(t *testing.T) {
	large := `{"message_id":"m","payload":[` + strings.Repeat("0,", 150_000) + `0]}`
	c, _ := answering(t, 200, `{"messages":[`+large+`,`+large+`,`+large+`]}`)
	page, err := c.Inbox(t.Context(), address(t, "bob@shop.example"), amtp.InboxQuery{})
	if err != nil || len(page.Messages) != 3 {
		t.Errorf("Inbox has %d messages, %v; want 3", len(page.Messages), err)
	}
}

func TestMessageHasContentAndStatus(t *testing.T) {
	const doc = `{"message_id":"m1","sender":"alice@localhost","subject":"hi","payload":"x","trust":"local","Trust":"verified","status":"delivered","created_at":"2026-01-31T12:00:00Z","recipients":[{"address":"bob@localhost","status":"delivered","timestamp":"2026-01-31T12:00:00Z","attempts":1,"acknowledged":true}],"delivered_at":null}`
	c, _ := answering(t, 200, doc)
	m, err := c.Message(t.Context(), "m1")
	if err != nil {
		t.Fatal(err)
	}
	if m.Message.Subject != "hi" || m.Message.Trust != amtp.TrustLocal || string(m.Message.Raw) != doc {
		t.Errorf("Message = %+v", m.Message)
	}
	if m.Status.Status != amtp.StatusDelivered || !m.Status.Recipients[0].Acknowledged || m.Status.DeliveredAt != nil {
		t.Errorf("Status = %+v", m.Status)
	}
}

func TestRefusalsBecomeErrors(t *testing.T) {
	tests := []struct {
		name, body, code, message string
		result                    bool
	}{
		{"ours",
			`{"error":{"code":"AGENT_UNKNOWN","message":"No such agent.","details":{"n":1},"timestamp":"2026-01-31T12:00:00Z","request_id":"r1"},"message_id":"m1","status":"failed","recipients":[{"address":"x@localhost","status":"failed","timestamp":"2026-01-31T12:00:00Z","attempts":0,"error_code":"AGENT_UNKNOWN"}]}`,
			"AGENT_UNKNOWN", "No such agent.", true},
		{"recipients that cannot be read",
			`{"error":{"code":"INVALID_RECIPIENT","message":"m"},"recipients":["nobody"]}`,
			"INVALID_RECIPIENT", "m", false},
		{"only recipients",
			`{"message_id":"m1","status":"failed","recipients":[{"address":"x@y.test","status":"failed","timestamp":"2026-01-31T12:00:00Z","attempts":1}]}`,
			"UNKNOWN", "HTTP 404", true},
		{"a proxy's page", `<html>`, "UNKNOWN", "HTTP 404", false},
		{"an error that is a string", `{"error":"no"}`, "UNKNOWN", "HTTP 404", false},
		{"nothing", ``, "UNKNOWN", "HTTP 404", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := answering(t, 404, tt.body)
			_, err := c.Send(t.Context(), amtp.Message{})
			var e *amtp.Error
			if !errors.As(err, &e) {
				t.Fatalf("Send = %v, want *Error", err)
			}
			if string(e.Code) != tt.code || e.Message != tt.message || e.Status != 404 ||
				(e.Result != nil) != tt.result {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestAnErrorKeepsWhatTheGatewaySaid(t *testing.T) {
	c,
		_ := answering(t, 400,
		`{"error":{"code":"INVALID_LIMIT","message":"m","details":{"limit":"0"},"timestamp":"2026-01-31T12:00:00Z","request_id":"r1"}}`)
	_, err := c.WhoAmI(t.Context())
	want := &amtp.Error{Code: "INVALID_LIMIT", Message: "m", Details: map[string]any{"limit": "0"},
		Timestamp: amtp.Time{Time: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}, RequestID: "r1", Status: 400}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got  %+v\nwant %+v", err, want)
	}
}

func TestAnswersThatAreNotTheProtocols(t *testing.T) {
	for _, body := range []string{"", "hello", "[]", `{"address":5}`, `{"address":"no address"}`} {
		c, _ := answering(t, 200, body)
		_, err := c.WhoAmI(t.Context())
		var e *amtp.Error
		if body == "" {
			if err != nil {
				t.Errorf("an empty answer: %v", err)
			}
		} else if !errors.As(err, &e) || e.Code != amtp.CodeUnknown {
			t.Errorf("answer %q: %v, want UNKNOWN", body, err)
		}
	}
}

func TestAGatewayThatIsNotReadyIsNoError(t *testing.T) {
	c, _ := answering(t, 503, `{"status":"not_ready","ready":false}`)
	h, err := c.Ready(t.Context())
	if err != nil || h.Status != "not_ready" || h.Ready == nil || *h.Ready {
		t.Errorf("Ready = %+v, %v", h, err)
	}
}

func TestURLsWithAPathAndASlash(t *testing.T) {
	c, got := answering(t, 200, `{}`)
	base := c.URL
	for suffix, want := range map[string]string{"": "/v1/whoami", "/": "/v1/whoami",
		"/team/amtp": "/team/amtp/v1/whoami", "/team/": "/team/v1/whoami"} {
		c.URL = base + suffix
		if _, err := c.WhoAmI(t.Context()); err != nil {
			t.Fatal(err)
		}
		if uri := (*got)[len(*got)-1].uri; uri != want {
			t.Errorf("URL with %q asks for %s, want %s", suffix, uri, want)
		}
	}
}

// refusingTransport fails the test when anything is sent.
type refusingTransport struct{ t *testing.T }

func (r refusingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("a request went to %s with %v", req.URL, req.Header)
	return nil, errors.New("refused")
}

func TestNoKeyTravelsUnencrypted(t *testing.T) {
	for _, base := range []string{
		"http://gateway.example", "http://192.0.2.1:8080", "http://localhost.example", "http://127.0.0.1.example",
		"http://[2001:db8::1]:80", "http://0.0.0.0:8080", "http://10.0.0.1", "HTTP://gateway.example",
	} {
		c := &amtp.Client{URL: base, Key: "agent-key", HTTP: &http.Client{Transport: refusingTransport{t}}}
		var refused *amtp.URLError
		if _, err := c.WhoAmI(t.Context()); !errors.As(err, &refused) {
			t.Errorf("a key to %s: %v, want *URLError", base, err)
		}
		c.Key, c.AdminKey = "", "admin-key"
		if _, err := c.Register(t.Context(), amtp.NewAgent{Address: "a"}); !errors.As(err, &refused) {
			t.Errorf("an administrator's key to %s: %v, want *URLError", base, err)
		}
	}
}

func TestWhatMayTravelUnencrypted(t *testing.T) {
	transport := roundTrip(func(*http.Request) (*http.Response, error) { return answer(200, `{}`), nil })
	for _, c := range []*amtp.Client{
		{URL: "http://localhost:8080", Key: "k"},
		{URL: "http://127.0.0.2", Key: "k"},
		{URL: "http://[::1]:8080", Key: "k"},
		{URL: "https://gateway.example", Key: "k"},
		{URL: "http://gateway.example", AdminKey: "not sent by this call"},
	} {
		c.HTTP = &http.Client{Transport: transport}
		if _, err := c.Discover(t.Context(), "", amtp.AgentQuery{}); err != nil {
			t.Errorf("%s: %v", c.URL, err)
		}
	}
}

func TestURLsThatCannotBeUsed(t *testing.T) {
	for _, base := range []string{"", "gateway.example", "ftp://gateway.example", "https://",
		"https://user:secret@gateway.example", "https://g.example/?a=b", "https://g.example/#x", "http://[::1"} {
		c := &amtp.Client{URL: base, HTTP: &http.Client{Transport: refusingTransport{t}}}
		_, err := c.WhoAmI(t.Context())
		var refused *amtp.URLError
		if !errors.As(err, &refused) {
			t.Errorf("URL %q: %v, want *URLError", base, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("URL %q: the error repeats the password: %v", base, err)
		}
	}
}

func TestEmptyIdsAreNotAsked(t *testing.T) {
	c := &amtp.Client{URL: "http://127.0.0.1:1", HTTP: &http.Client{Transport: refusingTransport{t}}}
	for _, id := range []amtp.MessageID{"", ".", ".."} {
		var e *amtp.Error
		if _, err := c.Message(t.Context(), id); !errors.As(err, &e) || e.Code != amtp.CodeInvalidParameter {
			t.Errorf("Message(%q) = %v, want INVALID_PARAMETER", id, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere, got := answering(t, 200, `{}`)
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/v1/whoami", http.StatusTemporaryRedirect))
	defer srv.Close()
	c := &amtp.Client{URL: srv.URL, Key: "agent-key"}
	_, err := c.WhoAmI(t.Context())
	var e *amtp.Error
	if !errors.As(err, &e) || e.Status != http.StatusTemporaryRedirect {
		t.Errorf("WhoAmI = %v, want an error with status 307", err)
	}
	if len(*got) != 0 {
		t.Errorf("the redirect was followed: %+v", *got)
	}
}

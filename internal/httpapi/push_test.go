package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// pushed is a request that an endpoint received.
type pushed struct {
	header http.Header
	body   []byte
}

// endpoint starts a receiver, and returns its URL and the requests that it receives. It
// answers with the status from answer, or with 200 while that channel is empty.
func endpoint(t *testing.T) (url string, got chan pushed, answer chan int) {
	got, answer = make(chan pushed, 100), make(chan int, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the signature shows whether bytes are missing
		status := 200
		select {
		case status = <-answer:
		default:
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"status":"accepted","response":{"seen":true}}`)
		got <- pushed{r.Header, body}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/hook?token=" + secret, got, answer
}

// TestPush: in the development profile an agent registers with an endpoint, gets its
// messages there, and answers. Its secret is renewed. After 410 its messages go to its
// inbox, until it goes back to push. Only the answer that made a secret shows it.
func TestPush(t *testing.T) {
	w := watch(t, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8")
	url, got, answer := endpoint(t)
	w.agent("alice")
	registered := w.do("POST", "/v1/admin/agents", `{"address":"bob","delivery_mode":"push","push_target":"`+url+
		`","headers":{"Authorization":"Bearer `+secret+`"}}`)
	w.wants("register", registered, 201, "")
	w.keys["bob"] = registered.body["api_key"].(string)
	first, _ := registered.body["push_secret"].(string)
	if inner := registered.body["agent"].(map[string]any); !strings.HasPrefix(first, "whsec_") ||
		inner["delivery_mode"] != "push" || inner["push_target"] != url {
		t.Fatalf("registered: %s", registered.raw)
	}
	w.shown = append(w.shown, w.keys["alice"], w.keys["bob"], first, strings.TrimPrefix(first, "whsec_"))

	sent := w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","recipients":["bob@localhost"],"payload":{"n":1.50}}`, w.as("alice"))
	if w.wants("send", sent, 202, ""); !strings.Contains(sent.raw, `"delivery_mode":"push"`) {
		t.Errorf("sent: %s", sent.raw)
	}
	p := <-got
	verifies := func(p pushed, secret string, want bool) {
		t.Helper()
		hook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := hook.Verify(p.body, p.header); (err == nil) != want {
			t.Errorf("verified with %v: want %v", err, want)
		}
	}
	verifies(p, first, true)
	if p.header.Get("Authorization") != "Bearer "+secret || p.header.Get("X-Amtp-Local-Delivery") != "true" ||
		!strings.Contains(string(p.body), `"payload":{"n":1.50}`) ||
		p.header.Get("Webhook-Id") != sent.body["message_id"] {
		t.Errorf("pushed %v %s", p.header, p.body)
	}
	reply := w.do("GET", "/v1/inbox/alice@localhost?wait=20", "", w.as("alice"))
	if !strings.Contains(reply.raw, `"payload":{"seen":true}`) ||
		!strings.Contains(reply.raw, `"in_reply_to":"`+sent.body["message_id"].(string)) {
		t.Errorf("alice has %s", reply.raw)
	}

	renewed := w.do("POST", "/v1/admin/agents/bob/push-secret", "", w.as("bob"))
	w.wants("renew", renewed, 201, "")
	second := renewed.body["push_secret"].(string)
	w.shown = append(w.shown, second, strings.TrimPrefix(second, "whsec_"))
	w.send("alice", "bob", "2")
	p = <-got
	verifies(p, first, true)
	verifies(p, second, true)
	last := w.do("POST", "/v1/admin/agents/bob/push-secret", `{"at_once":true}`, "X-Admin-Key: "+w.admin)
	third := last.body["push_secret"].(string)
	w.shown = append(w.shown, third, strings.TrimPrefix(third, "whsec_"))
	w.send("alice", "bob", "3")
	p = <-got
	verifies(p, second, false)
	verifies(p, third, true)

	answer <- 410
	w.send("alice", "bob", "4")
	<-got
	if page := w.do("GET", "/v1/inbox/bob@localhost?wait=20", "", w.as("bob")); page.body["count"] != 1.0 ||
		!strings.Contains(page.raw, `"payload":4`) {
		t.Errorf("after 410 bob has %s", page.raw)
	}
	w.wants("renew after 410", w.do("POST", "/v1/admin/agents/bob/push-secret", "", w.as("bob")), 409, "CONFLICT")
	back := w.do("PATCH", "/v1/admin/agents/bob", `{"delivery_mode":"push"}`, w.as("bob"))
	if w.wants("back to push", back, 200, ""); back.body["push_secret"] != nil || back.body["push_target"] != url {
		t.Errorf("back to push: %s, want the secret and the endpoint that it had", back.raw)
	}
	w.send("alice", "bob", "5")
	p = <-got
	verifies(p, third, true)
	if p.header.Get("Authorization") != "Bearer "+secret {
		t.Error("the header was lost")
	}

	for _, who := range []string{"Accept: */*", w.as("alice"), w.as("bob"), "X-Admin-Key: " + w.admin} {
		for _, path := range []string{"/v1/discovery/agents", "/v1/admin/agents", "/v1/admin/agents/bob", "/v1/whoami",
			"/v1/admin/agents/bob/keys"} {
			a := w.do("GET", path, "", who)
			mine := who == w.as("bob") || strings.HasPrefix(who, "X-Admin")
			if strings.Contains(a.raw, "push_target") && !mine || strings.Contains(a.raw, "Bearer "+secret) ||
				strings.Contains(a.raw, "whsec_") {
				t.Errorf("%s as %.20q shows %s", path, who, a.raw)
			}
		}
	}
	if log := w.String(); strings.Contains(log, secret) || strings.Contains(log, "whsec_") {
		t.Errorf("the log has a secret: %s", log)
	}
	w.scan()
	w.close()
	w.scan()
	w.scanFor("Bearer " + secret)
}

// TestPushIsWhatAnInboxShows: an endpoint gets the members that an inbox shows of the same
// message, with the same values. Three kinds are in one of the two only: the name of the
// recipient, the marks of an inbox, and members that the reference gateway always pushes.
func TestPushIsWhatAnInboxShows(t *testing.T) {
	w := start(t, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8")
	url, got, _ := endpoint(t)
	w.agent("alice")
	w.agent("carol")
	w.wants("register", w.do("POST", "/v1/admin/agents",
		`{"address":"bob","delivery_mode":"push","push_target":"`+url+`"}`), 201, "")
	last := "unheard-of"
	for _, members := range []string{
		``, `,"payload":{"n":1.50,"<":[ 1 ]},"subject":"s","headers":{"priority":"high"},"x_own":[1]`,
		`,"message_id":"given","schema":"agntcy:a.b.v1"`,
	} {
		sent := w.do("POST", "/v1/messages",
			`{"sender":"alice@localhost","recipients":["bob@localhost","carol@localhost"],"in_reply_to":"`+last+`"`+
				members+`}`, w.as("alice"))
		w.wants("send", sent, 202, "")
		last = sent.body["message_id"].(string)
		_, page := w.inbox("carol", "")
		items := page.body["messages"].([]any)
		shown, _ := items[len(items)-1].(map[string]any)
		var pushed map[string]any
		if err := json.Unmarshal((<-got).body, &pushed); err != nil {
			t.Fatal(err)
		}
		if pushed["recipient"] != "bob@localhost" {
			t.Errorf("the push is for %v, want bob@localhost", pushed["recipient"])
		}
		delete(pushed, "recipient")
		delete(shown, "status")
		delete(shown, "delivery_count")
		for _, name := range []string{"attachments", "coordination", "headers", "in_reply_to", "payload",
			"response_type", "schema", "subject"} {
			if _, there := pushed[name]; !there {
				t.Errorf("the push has no %s", name)
			}
			if _, written := shown[name]; !written {
				delete(pushed, name)
			}
		}
		if !reflect.DeepEqual(pushed, shown) {
			t.Errorf("an endpoint gets %v\nan inbox shows %v\nwant the same", pushed, shown)
		}
	}
}

// scanFor looks for a text in every byte of the data directory.
func (w *watched) scanFor(text string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("files %v, %v", files, err)
	}
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && strings.Contains(string(data), text) {
			w.t.Errorf("%s has %s", name, text)
		}
	}
}

// TestPushIsChecked: an endpoint that is not valid is refused, and nothing is stored.
func TestPushIsChecked(t *testing.T) {
	w := start(t, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8:9000")
	w.agent("alice")
	long := strings.Repeat("x", 5000)
	for _, c := range []string{
		`"delivery_mode":"push"`, `"delivery_mode":"push","push_target":""`,
		`"delivery_mode":"push","push_target":"not a url"`,
		`"delivery_mode":"push","push_target":"/hook"`, `"delivery_mode":"push","push_target":"ftp://hooks.example/"`,
		`"delivery_mode":"push","push_target":"https://u:p@hooks.example/"`,
		`"delivery_mode":"push","push_target":"https://hooks.example/#f"`,
		`"delivery_mode":"push","push_target":"http://hooks.example/"`,
		`"delivery_mode":"push","push_target":"https://10.0.0.1/"`,
		`"delivery_mode":"push","push_target":"http://127.0.0.1:9001/"`,
		`"delivery_mode":"push","push_target":"https://169.254.169.254/"`,
		`"delivery_mode":"push","push_target":"https://hooks.example/` + long + `"`,
		`"delivery_mode":"push","push_target":"https://hooks.example/\u0007"`,
		`"delivery_mode":"push","push_target":"https://höoks.example/"`, `"delivery_mode":"fly"`,
		`"delivery_mode":"pull","push_target":"https://hooks.example/"`, `"push_headers":{"A":"b"}`,
	} {
		w.wants(c, w.do("POST", "/v1/admin/agents", `{"address":"bob",`+c+`}`), 400, "AGENT_REGISTRATION_FAILED")
		w.wants(c, w.do("PATCH", "/v1/admin/agents/alice", `{`+c+`}`, w.as("alice")), 400, "INVALID_REQUEST_FORMAT")
	}
	seventeen := make([]string, 17)
	for i := range seventeen {
		seventeen[i] = `"h` + strings.Repeat("x", i) + `":"1"`
	}
	for _, headers := range []string{
		`"Host":"x"`, `"content-LENGTH":"1"`, `"Webhook-Id":"x"`, `"webhook-signature":"x"`, `"X-AMTP-Version":"x"`,
		`"Transfer-Encoding":"chunked"`,
		`"Connection":"close"`, `"User-Agent":"x"`, `"X-Forwarded-For":"1.1.1.1"`, `"":"x"`, `"a b":"x"`, `"a:b":"x"`,
		`"A":"x\ny"`, `"A":"x\r\nB: y"`,
		`"A":"é"`, `"A":" x"`, `"A":"` + long + `"`, `"` + strings.Repeat("a", 65) + `":"x"`, `"A":"1","a":"2"`,
		strings.Join(seventeen, ","),
		`"A":"` + long[:4000] + `","B":"` + long[:4000] + `","C":"` + long[:400] + `"`,
	} {
		body := `"delivery_mode":"push","push_target":"http://localhost:9000/","push_headers":{` + headers + `}}`
		w.wants(headers, w.do("POST", "/v1/admin/agents", `{"address":"bob",`+body), 400, "AGENT_REGISTRATION_FAILED")
		w.wants(headers, w.do("PATCH", "/v1/admin/agents/alice", `{`+body, w.as("alice")), 400,
			"INVALID_REQUEST_FORMAT")
	}
	w.wants("both names", w.do("POST", "/v1/admin/agents",
		`{"address":"bob","delivery_mode":"push","push_target":"https://hooks.example/","headers":{"A":"1"},"push_headers":{"A":"1"}}`),
		400, "AGENT_REGISTRATION_FAILED")
	w.wants("no map", w.do("POST", "/v1/admin/agents", `{"address":"bob","push_headers":[1]}`), 400,
		"INVALID_REQUEST_FORMAT")
	all := w.do("GET", "/v1/admin/agents", "", "X-Admin-Key: "+w.admin)
	if all.body["count"] != 1.0 || strings.Contains(all.raw, "push") {
		t.Errorf("after refusals: %s, want alice as she was", all.raw)
	}
	w.wants("zero values", w.do("POST", "/v1/admin/agents",
		`{"address":"joe","delivery_mode":"pull","push_target":"","headers":{},"api_key":""}`), 201, "")
	pushing := w.do("PATCH", "/v1/admin/agents/alice",
		`{"delivery_mode":"push","push_target":"http://localhost:9000/"}`, w.as("alice"))
	if secret, _ := pushing.body["push_secret"].(string); !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("turned to push: %s", pushing.raw)
	}
	w.wants("to pull", w.do("PATCH", "/v1/admin/agents/alice", `{"delivery_mode":"pull","push_target":""}`,
		w.as("alice")), 200, "")
	again := w.do("PATCH", "/v1/admin/agents/alice", `{"delivery_mode":"push","push_target":"http://localhost:9000/"}`,
		w.as("alice"))
	if again.body["push_secret"] == nil || again.body["push_secret"] == pushing.body["push_secret"] {
		t.Errorf("push again after the endpoint was removed: %s, want a new secret", again.raw)
	}
}

// TestPushFollowsAChange: a message could not be pushed, and then the agent changes. The
// message goes at once to the new endpoint, or to the inbox.
func TestPushFollowsAChange(t *testing.T) {
	w := start(t, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8")
	url, got, answer := endpoint(t)
	w.agent("alice")
	w.agent("bob")
	w.wants("to push", w.do("PATCH", "/v1/admin/agents/bob", `{"delivery_mode":"push","push_target":"`+url+`"}`,
		w.as("bob")), 200, "")
	for range 50 {
		answer <- 403
	}
	w.send("alice", "bob", `"to the inbox"`)
	<-got
	w.wants("to pull", w.do("PATCH", "/v1/admin/agents/bob", `{"delivery_mode":"pull"}`, w.as("bob")), 200, "")
	if page := w.do("GET", "/v1/inbox/bob@localhost?wait=20", "", w.as("bob")); page.body["count"] != 1.0 {
		t.Errorf("bob has %s", page.raw)
	}
	w.wants("to push again", w.do("PATCH", "/v1/admin/agents/bob", `{"delivery_mode":"push"}`, w.as("bob")), 200, "")
	w.send("alice", "bob", `"to another endpoint"`)
	<-got
	other, arrived, _ := endpoint(t)
	w.wants("elsewhere", w.do("PATCH", "/v1/admin/agents/bob", `{"push_target":"`+other+`"}`, w.as("bob")), 200, "")
	if p := <-arrived; !strings.Contains(string(p.body), "to another endpoint") {
		t.Errorf("the other endpoint got %s", p.body)
	}
}

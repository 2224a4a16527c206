package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
)

// patience is the longest wait for one event, also on a busy machine. Only a test that fails
// waits so long.
const patience = 5 * time.Minute

// world is a real gateway on a port of its own, with the agents that use it.
type world struct {
	t     *testing.T
	dir   string
	url   string
	admin string            // the admin key
	keys  map[string]string // by agent name
	log   *locked
	http  http.RoundTripper // calls the gateway; nil means the default
}

// start runs a gateway with the settings NAME=value for the length of a test, on
// SQLite unless they say otherwise or the test is one of TestOnPostgreSQL.
func start(t *testing.T, settings ...string) *world {
	t.Helper()
	w, _ := startStopped(t, settings...)
	return w
}

// startStopped is start with a function that stops the gateway early.
func startStopped(t *testing.T, settings ...string) (*world, func()) {
	t.Helper()
	dir := t.TempDir()
	if strings.HasPrefix(t.Name(), onPostgreSQL+"/") {
		settings = append(database(t), settings...)
	}
	environ := append([]string{"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + dir,
		"AMTP_DNS_MOCK_MODE=true"}, settings...)
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, keys: make(map[string]string), log: new(locked)}
	a, err := app.New(cfg, slog.New(slog.NewTextHandler(w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.url = a.URL()
	if _, err := os.Stat(filepath.Join(dir, "amtp.db")); (err == nil) == (cfg.Database.URL != "") {
		t.Fatalf("the file of SQLite in a gateway with the database %q: %v", cfg.Database.URL, err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	w.admin = strings.TrimSpace(string(key))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", w.log)
		}
	})
	return w, stop
}

// answer is an answer of the gateway.
type answer struct {
	status int
	header http.Header
	body   map[string]any
	raw    string
}

// code returns error.code, "" for an answer that is not an error.
func (a answer) code() string {
	e, _ := a.body["error"].(map[string]any)
	code, _ := e["code"].(string)
	return code
}

// do makes a request. Headers are written "Name: value".
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, w.url+path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	transport := w.http
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	streams := resp.Header.Get("Content-Type") == "text/event-stream"
	var raw []byte
	if streams { // without an end: what it begins with is enough
		raw, err = bufio.NewReader(resp.Body).ReadBytes('\n')
	} else {
		raw, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	described(w.t, r, body, resp, raw)
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if len(raw) > 0 && !streams {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			w.t.Fatalf("%s %s: the answer is no JSON object: %q", method, path, raw)
		}
	}
	return a
}

// agent registers an agent and remembers its key.
func (w *world) agent(name string) {
	w.t.Helper()
	a := w.do("POST", "/v1/admin/agents", `{"address":"`+name+`","delivery_mode":"pull"}`, "X-Admin-Key: "+w.admin)
	if a.status != http.StatusCreated {
		w.t.Fatalf("register %s: got %d %s", name, a.status, a.raw)
	}
	w.keys[name] = a.body["api_key"].(string)
}

// as returns the header that shows an agent's key.
func (w *world) as(name string) string { return "Authorization: Bearer " + w.keys[name] }

// send sends a message of the agent and returns its id.
func (w *world) send(from, to, payload string) string {
	w.t.Helper()
	a := w.do("POST", "/v1/messages",
		`{"sender":"`+from+`@localhost","recipients":["`+to+`@localhost"],"payload":`+payload+`}`, w.as(from))
	if a.status != http.StatusAccepted {
		w.t.Fatalf("send from %s to %s: got %d %s", from, to, a.status, a.raw)
	}
	return a.body["message_id"].(string)
}

// inbox returns the ids in an agent's inbox.
func (w *world) inbox(name, query string) (ids []string, page answer) {
	w.t.Helper()
	page = w.do("GET", "/v1/inbox/"+name+"@localhost"+query, "", w.as(name))
	if page.status != http.StatusOK {
		w.t.Fatalf("inbox of %s: got %d %s", name, page.status, page.raw)
	}
	for _, m := range page.body["messages"].([]any) {
		ids = append(ids, m.(map[string]any)["message_id"].(string))
	}
	return ids, page
}

// wants checks status and code of an answer.
func (w *world) wants(what string, a answer, status int, code string) {
	w.t.Helper()
	if a.status != status || a.code() != code {
		w.t.Errorf("%s: got %d %q, want %d %q: %s", what, a.status, a.code(), status, code, a.raw)
		return
	}
	if code == "" {
		return
	}
	e := a.body["error"].(map[string]any)
	if e["request_id"] == "" || e["request_id"] != a.header.Get("X-Request-Id") || e["timestamp"] == nil ||
		e["message"] == "" {
		w.t.Errorf("%s: the error lacks message, timestamp or request_id: %s", what, a.raw)
	}
}

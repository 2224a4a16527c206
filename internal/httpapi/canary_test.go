package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// Canaries. The secret ones are in payloads, subjects, headers of messages and of
// requests, and in keys: neither a log nor an error may contain one. The private ones are
// in paths, parameters, names and addresses. An error may repeat those to its caller, but
// no log may contain one.
const (
	secret  = "canary-secret"
	private = "canary-private"
)

// watched is a gateway that logs everything, with its data directory.
type watched struct {
	*world
	dir   string
	log   *locked
	close func()
	shown []string // every key that the gateway ever gave out
}

// locked is a log to which many goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watch starts a gateway. Its log has every line as text and as JSON, since each format
// escapes in its own way.
func watch(t *testing.T, settings ...string) *watched {
	t.Helper()
	w := &watched{world: &world{t: t, keys: make(map[string]string), log: new(locked)}, dir: t.TempDir(),
		log: new(locked)}
	environ := append([]string{"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + w.dir}, settings...)
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	both := slog.NewMultiHandler(slog.NewTextHandler(w.log, all), slog.NewJSONHandler(w.log, all))
	a, err := app.New(cfg, slog.New(both))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(w.dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	w.url, w.admin = a.URL(), strings.TrimSpace(string(key))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	w.close = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(w.close)
	return w
}

// TestNothingLeaks sends canaries through every route and every refusal and
// looks for them in all answers that are errors, in the whole log at level debug,
// and in every byte of the data directory.
func TestNothingLeaks(t *testing.T) {
	slow.Test(t, "it asks every route with a secret in every place")
	w := watch(t)
	for _, name := range []string{"alice", "bob"} {
		w.agent(name)
		w.shown = append(w.shown, w.keys[name])
	}
	answers := w.provoke()
	for _, a := range answers {
		w.inspect(a)
	}
	log := w.String()
	for _, canary := range append([]string{secret, private, w.admin}, w.shown...) {
		if i := strings.Index(log, canary); i >= 0 {
			t.Errorf("the log contains %.14s…: %.300s", canary, log[max(0, i-200):])
		}
	}
	if !strings.Contains(log, "msg=request") || !strings.Contains(log, `"msg":"request"`) {
		t.Errorf("the log contains no request, or not in both formats: %.2000q", log)
	}
	w.scan()
	w.close()
	w.scan()
	t.Logf("%d answers, %d bytes of log, %d keys", len(answers), len(log), len(w.shown))
}

func (w *watched) String() string { return w.log.String() }

// inspect checks one answer: it is not a 5xx, and an error has no secret and no key in it.
func (w *watched) inspect(a answer) {
	w.t.Helper()
	if a.status >= 400 && strings.Contains(a.raw, secret) {
		w.t.Errorf("an error contains a canary: %s", a.raw)
	}
	if a.status >= 500 {
		w.t.Errorf("got %d: input never causes it: %s", a.status, a.raw)
	}
	for _, key := range append(w.shown, w.admin) {
		if a.status >= 400 && strings.Contains(a.raw, key) {
			w.t.Errorf("an error contains a key: %s", a.raw)
		}
	}
}

// provoke makes every kind of request with canaries in it.
func (w *watched) provoke() (answers []answer) {
	secretHeaders := []string{"User-Agent: " + secret, "Referer: http://x.test/" + secret, "Cookie: a=" + secret,
		"X-Anything: " + secret, "Accept: " + secret}
	who := [][]string{{}, {w.as("alice")}, {w.as("bob")}, {"X-Admin-Key: " + w.admin},
		{"X-API-Key: " + w.keys["alice"], w.as("bob")},
		{"Authorization: Bearer " + secret}, {"X-API-Key: " + secret}, {"X-Admin-Key: " + secret},
		{"Authorization: Basic " + secret}, {"Authorization: " + secret}}
	fill := strings.NewReplacer("{id}", private, "{recipient}", private+"@localhost", "{domain}", private+".test",
		"{name}", private, "{kid}", private)
	for _, route := range httpapi.Routes() {
		method, pattern, _ := strings.Cut(route, " ")
		paths := []string{fill.Replace(pattern), fill.Replace(pattern) + "?limit=" + private + "&sender=" + private +
			"&since=" + private + "&after=" + private,
			strings.NewReplacer("{recipient}", "alice@localhost", "{name}", "alice", "{id}", absentID, "{kid}",
				"key_none").Replace(pattern) + "?role=" + private}
		if method == "DELETE" && pattern == "/v1/admin/agents/{name}" {
			paths = paths[:2] // do not delete alice, who is still needed
		}
		for _, headers := range who {
			for _, path := range paths {
				bodies := []string{""}
				if method == "POST" || method == "PATCH" {
					bodies = secretBodies()
				}
				for _, body := range bodies {
					a := w.do(method, path, body, append(secretHeaders, headers...)...)
					if key, given := a.body["api_key"].(string); given && a.status/100 == 2 {
						w.shown = append(w.shown, key)
					}
					answers = append(answers, a)
				}
			}
		}
	}
	for _, header := range []string{"Content-Type: " + secret, "Content-Encoding: " + secret,
		"Content-Type: application/json; charset=" + secret,
		"Expect: " + secret, "Host: " + secret, "Origin: http://" + secret, "X-Forwarded-For: " + secret,
		"Forwarded: " + secret} {
		answers = append(answers, w.do("POST", "/v1/messages", secretBodies()[0], append(secretHeaders, header)...))
	}
	for _, request := range []string{
		"GET /" + private + " HTTP/1.1\r\nHost: localhost\r\n" + secret + "\r\n\r\n",
		"GET /" + private + " HTTP/9.9\r\nHost: localhost\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + secret,
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"payload\":\"" +
			secret,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + secret,
	} {
		conn := w.open(request)
		_ = conn.Close() // in the middle of the request
	}
	return answers
}

// secretBodies are messages with canaries in them, valid ones and invalid ones.
func secretBodies() []string {
	s := `"` + secret + `"`
	value := `{"a":` + s + `}`
	bodies := []string{
		goodMessage("payload", value), goodMessage("subject", s), goodMessage("headers", value),
		goodMessage("idempotency_key", `"k `+secret+`"`),
		goodMessage("payload", value+","), goodMessage("payload", `{"a":`+s),
		goodMessage("payload", `"`+secret+`\u00"`), goodMessage("payload", `"`+secret+"\xff"+`"`),
		goodMessage("payload", s+` `+s), goodMessage("payload", secret),
		goodMessage("payload", strings.Repeat("[", 70)+s),
		goodMessage("subject", `"`+secret+strings.Repeat("x", 1100)+`"`), goodMessage("subject", `"`+secret+`\n"`),
		goodMessage("subject", value),
		goodMessage("headers", s), goodMessage("headers", `[`+s+`]`), goodMessage("headers", `{"":`+s+`}`),
		goodMessage("timestamp", s),
		goodMessage("schema", `"`+private+`"`), goodMessage("response_type", `"`+secret+`\n"`),
		goodMessage("attachments", s), goodMessage("attachments", `[`+value+`]`),
		goodMessage("attachments", `[{"filename":`+s+`,"content_type":"a","size":1,"hash":"`+secret+`","url":"`+
			secret+`"}]`),
		goodMessage("signature", s), goodMessage("coordination", value), goodMessage("trust", s),
		goodMessage("version", value),
		`{"address":"` + private + `","description":"` + secret + `\u0007","role":` + s +
			`,"capabilities":[` + s + `]}`,
		`{"address":"` + private + `","api_key":` + s + `}`, `{"role":[` + s + `]}`,
		`{"role":"` + secret + strings.Repeat("r", 200) + `"}`,
		`{"delivery_mode":` + s + `}`, `{"supported_schemas":` + s + `}`, `{"revoke_others":` + s + `}`, s,
		`[` + s + `]`,
	}
	return bodies
}

// scan looks for keys in every byte of the data directory. No file has an agent's key.
// The admin key is in its own file only, and only the owner may read that file.
func (w *watched) scan() {
	w.t.Helper()
	files := 0
	err := filepath.WalkDir(w.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, key := range w.shown {
			if bytes.Contains(data, []byte(key)) || bytes.Contains(data, []byte(strings.TrimPrefix(key, "amtp_"))) {
				w.t.Errorf("%s contains an agent's key", name)
			}
		}
		if bytes.Contains(data, []byte(w.admin)) && filepath.Base(name) != "admin.key" {
			w.t.Errorf("%s contains the admin key", name)
		}
		return nil
	})
	if err != nil || files < 2 || len(w.shown) < 3 {
		w.t.Errorf("looked for %d keys in %d files: %v", len(w.shown), files, err)
	}
	info, err := os.Stat(filepath.Join(w.dir, "admin.key"))
	if err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		w.t.Errorf("admin.key: %v, %v, want it readable by its owner only", info.Mode(), err)
	}
}

// TestRevokedKeyHearsNothing: a caller waits at an inbox, and its key is revoked meanwhile.
// It is not shown messages that arrive afterwards.
func TestRevokedKeyHearsNothing(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	end := map[string]func(){
		"bob": func() {
			w.do("POST", "/v1/admin/agents/bob/keys", `{"revoke_others":true}`, "X-Admin-Key: "+w.admin)
		},
		"carol": func() { w.do("DELETE", "/v1/admin/agents/carol", "", "X-Admin-Key: "+w.admin) },
	}
	for name, revoke := range end {
		waiting := make(chan answer, 1)
		conn := w.open(fmt.Sprintf("GET /v1/inbox/%s@localhost?wait=1 HTTP/1.1\r\nHost: localhost\r\n%s\r\nConnection: close\r\n\r\n",
			name, w.as(name)))
		go func() {
			got := readRaw(t, conn, "GET ")
			waiting <- answer{status: got.status, raw: string(got.body)}
		}()
		// A test cannot see that the request waits. These messages give it time to do so. If
		// it arrives even later, its key is refused at once.
		for range 50 {
			w.send("alice", "alice", "1")
		}
		revoke()
		w.do("POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["`+name+
			`@localhost"],"payload":"afterwards"}`, w.as("alice"))
		if a := <-waiting; strings.Contains(a.raw, "afterwards") || a.status != 200 && a.status != 401 {
			t.Errorf("%s with a revoked key: got %d %s, want 200 or 401 without the message", name, a.status, a.raw)
		}
		conn.Close()
	}
}

// TestRightKeyIsNeverHeldUp: an address that guesses keys is slowed down. A caller at the
// same address with the right key is not.
func TestRightKeyIsNeverHeldUp(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	w.agent("alice")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				r, _ := http.NewRequest("GET", w.url+"/v1/whoami", nil)
				r.Header.Set("X-Admin-Key", "guess")
				if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		})
	}
	for range 100 {
		w.wants("the right key", w.do("GET", "/v1/whoami", "", w.as("alice")), 200, "")
		w.wants("the right admin key", w.do("GET", "/v1/admin/agents", "", "X-Admin-Key: "+w.admin), 200, "")
	}
	group.Wait()
	w.wants("one guess more", w.do("GET", "/v1/whoami", "", "X-Admin-Key: guess"), 429, "RATE_LIMIT_EXCEEDED")
}

package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/httpapi"
)

func TestTransportIsRefused(t *testing.T) {
	w := start(t, "AMTP_MESSAGE_MAX_SIZE=20000")
	w.agent("alice")
	body := `{"sender":"alice@localhost","recipients":["alice@localhost"]}`
	big := `{"sender":"alice@localhost","recipients":["alice@localhost"],"payload":"` + strings.Repeat("x",
		20000) + `"}`
	for _, c := range []struct {
		name, method, path, body, header string
		status                           int
		code                             string
	}{
		{"text", "POST", "/v1/messages", body, "Content-Type: text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"another charset", "POST", "/v1/messages", body, "Content-Type: application/json; charset=latin1", 415,
			"UNSUPPORTED_MEDIA_TYPE"},
		{"compressed", "POST", "/v1/messages", body, "Content-Encoding: gzip", 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"another protocol version", "POST", "/v1/messages", body, "X-AMTP-Version: 2.0", 400, "UNSUPPORTED_VERSION"},
		{"too large", "POST", "/v1/messages", big, "Accept: */*", 413, "MESSAGE_TOO_LARGE"},
		{"PUT", "PUT", "/v1/messages", body, "Accept: */*", 405, "METHOD_NOT_ALLOWED"},
		{"OPTIONS", "OPTIONS", "/v1/messages", "", "Origin: http://evil.test", 405, "METHOD_NOT_ALLOWED"},
		{"TRACE", "TRACE", "/v1/messages", "", "Accept: */*", 405, "METHOD_NOT_ALLOWED"},
		{"no route", "GET", "/v2", "", "Accept: */*", 404, "NOT_FOUND"},
		{"a trailing slash", "GET", "/v1/messages/", "", "Accept: */*", 404, "NOT_FOUND"},
		{"climbing", "GET", "/v1/%2e%2e%2fhealth", "", "Accept: */*", 404, "NOT_FOUND"},
	} {
		a := w.do(c.method, c.path, c.body, c.header)
		w.wants(c.name, a, c.status, c.code)
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the answer has %s", c.name, name)
			}
		}
	}
	ok := w.do("POST", "/v1/messages", body, "Content-Type: application/json; charset=UTF-8")
	w.wants("with a charset", ok, 202, "")
	if got := ok.header.Get("Content-Type"); got != "application/json; charset=utf-8" ||
		strings.HasSuffix(ok.raw, "\n") {
		t.Errorf("content type %q, body %q", got, ok.raw)
	}
}

// TestRawRequests speaks HTTP by hand where a client library would not.
func TestRawRequests(t *testing.T) {
	w := start(t)
	w.agent("alice")
	body := `{"sender":"alice@localhost","recipients":["alice@localhost"]}`
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for _, c := range []struct {
		name, request string
		status        int
	}{
		{"an absolute target", "GET http://evil.test/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		{"HEAD", "HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200},
		{"HEAD of nothing", "HEAD /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"HEAD of nothing below", "HEAD /v1/messages/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"HEAD of a path that is not clean", "HEAD /v1/../health HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"chunked",
			"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
				chunked, 202},
		{"two lengths",
			"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
			400},
		{"a large header", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a",
			33<<10) + "\r\n\r\n", 431},
		{"no host", "GET /health HTTP/1.1\r\n\r\n", 400},
		{"two keys",
			"GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
			400},
		{"what a bare proxy sends",
			"POST /v1/messages HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 61\r\n\r\n" +
				body, 401},
		{"HTTP/1.0 without a host", "GET /health HTTP/1.0\r\n\r\n", 421},
		{"an empty body",
			"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
			400},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(c.request)); err != nil {
			t.Fatal(err)
		}
		got := readRaw(t, conn, c.request)
		if got.status != c.status {
			t.Errorf("%s: got %d, want %d", c.name, got.status, c.status)
		}
		got.described(t, c.request)
		conn.Close()
	}
}

// TestDevelopmentProfile makes requests that must not count as those of a program on this
// machine.
func TestDevelopmentProfile(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	id := w.send("alice", "bob", `1`)
	operations := []struct{ name, method, path, body string }{
		{"register", "POST", "/v1/admin/agents", `{"address":"carol","delivery_mode":"pull"}`},
		{"send", "POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["bob@localhost"]}`},
		{"status", "GET", "/v1/messages/" + id + "/status", ""},
	}
	for _, header := range []string{
		"Host: evil.test", "Host: localhost.evil.test", "Host: 127.0.0.1.evil.test:80", "Host: 192.168.1.7",
		"Host: localhost.",
		"Forwarded: for=1.2.3.4", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost",
		"X-Forwarded-Proto: https",
		"Via: 1.1 proxy", "X-Real-Ip: 127.0.0.1", "Cf-Connecting-Ip: 127.0.0.1", "Origin: http://localhost:8080",
		"Origin: null",
		"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
	} {
		for _, op := range operations {
			a := w.do(op.method, op.path, op.body, header)
			want := http.StatusUnauthorized
			if strings.HasPrefix(header, "Host: ") && header != "Host: localhost." { // localhost is the domain
				want = http.StatusMisdirectedRequest
			}
			if a.status != want {
				t.Errorf("%s with %q: got %d %s, want %d", op.name, header, a.status, a.raw, want)
			}
		}
	}
	for _, header := range []string{"Host: localhost", "Host: LOCALHOST:8080", "Host: 127.0.0.1", "Host: [::1]:8080",
		"Host: [::1]", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors"} {
		for _, op := range operations[1:] {
			if a := w.do(op.method, op.path, op.body, header); a.status/100 != 2 {
				t.Errorf("%s with %q: got %d %s, want success", op.name, header, a.status, a.raw)
			}
		}
	}
	// The operations that the profile never opens.
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/inbox/bob@localhost"}, {"DELETE", "/v1/inbox/bob@localhost/" + id},
		{"POST", "/v1/inbox/bob@localhost/" + id + "/read"},
		{"GET", "/v1/messages/" + id}, {"GET", "/v1/messages"}, {"GET", "/v1/whoami"}, {"GET", "/v1/admin/agents"},
		{"DELETE", "/v1/admin/agents/bob"},
	} {
		if a := w.do(c.method, c.path, ""); a.status != http.StatusUnauthorized {
			t.Errorf("%s %s without a key: got %d %s, want 401", c.method, c.path, a.status, a.raw)
		}
	}
	unregistered := `{"sender":"nobody@localhost","recipients":["bob@localhost"]}`
	w.wants("an unregistered sender", w.do("POST", "/v1/messages", unregistered), 403, "ACCESS_DENIED")
	_, page := w.inbox("bob", "")
	if !strings.Contains(page.raw, `"trust":"unverified"`) || !strings.Contains(page.raw, `"trust":"local"`) {
		t.Errorf("labels: a keyless message is unverified and one with a key is local: %s", page.raw)
	}
}

// TestAKeyIsNeverOverlooked: an empty Authorization header does not hide a key in another
// header.
func TestAKeyIsNeverOverlooked(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	a := w.do("POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["bob@localhost"]}`,
		"Authorization: Bearer ", "X-API-Key: "+w.keys["bob"])
	w.wants("bob's key for alice's message", a, 403, "SENDER_CREDENTIAL_MISMATCH")
}

// TestStrangersTakeNoRoom: the bodies of callers without a credential take no room from
// callers with one.
func TestStrangersTakeNoRoom(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true", "AMTP_LIMITS_IN_FLIGHT_BYTES=10485760")
	w.agent("alice")
	for range 20 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn,
			"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n\r\n%s",
			strings.Repeat("x", 1<<20))
	}
	for range 50 {
		w.send("alice", "alice", `"still here"`)
	}
	for _, path := range []string{"/v1/admin/agents", "/v1/admin/agents/alice/keys"} {
		w.wants("nobody's broken body", w.do("POST", path, `{bad`), 401, "ADMIN_AUTHENTICATION_REQUIRED")
	}
}

func TestWrongKeysAreHeldUp(t *testing.T) {
	w := start(t)
	w.agent("alice")
	limited := 0
	for range 30 {
		a := w.do("GET", "/v1/whoami", "", "Authorization: Bearer amtp_guess")
		if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "" {
			limited++
		} else if a.status != http.StatusUnauthorized {
			t.Fatalf("a wrong key: got %d %s", a.status, a.raw)
		}
	}
	if limited != 20 {
		t.Errorf("of 30 wrong keys %d were held up, want 20", limited)
	}
	w.wants("the right key", w.do("GET", "/v1/whoami", "", w.as("alice")), 200, "")
}

func TestHealthAndReadiness(t *testing.T) {
	w := start(t)
	health, ready := w.do("GET", "/health", ""), w.do("GET", "/ready", "")
	if health.status != 200 || health.body["status"] != "healthy" || health.body["healthy"] != true ||
		health.body["version"] != "1.0" {
		t.Errorf("health: got %d %s", health.status, health.raw)
	}
	if ready.status != 200 || ready.body["status"] != "ready" || ready.body["ready"] != true ||
		ready.body["dependencies"] == nil {
		t.Errorf("ready: got %d %s", ready.status, ready.raw)
	}
}

// TestUnreadiness: strangers learn why nothing can be stored, and nothing else of the error.
func TestUnreadiness(t *testing.T) {
	const secret = "/var/lib/amtp"
	for err, want := range map[error]string{
		gateway.ErrFull:                       "the disk is full",
		gateway.ErrAway:                       "the database is away",
		gateway.ErrBusy:                       "the store does not answer in time",
		gateway.ErrClosed:                     "the store has failed or is closed",
		context.DeadlineExceeded:              "the store does not answer in time",
		errors.New("open " + secret + ": no"): "the store cannot write",
	} {
		if got := httpapi.Unreadiness(fmt.Errorf("%s: %w", secret, err)); got != want {
			t.Errorf("of %v: %q, want %q", err, got, want)
		}
	}
	if got := httpapi.Unreadiness(nil); got != "" {
		t.Errorf("of no error: %q", got)
	}
}

// TestValuesThatMakeNoPath: on every route with a value in its path, a slash alone
// is no value; the path does not exist.
func TestValuesThatMakeNoPath(t *testing.T) {
	w := start(t)
	w.agent("alice")
	tried := 0
	for _, route := range httpapi.Routes() {
		method, pattern, _ := strings.Cut(route, " ")
		if !strings.Contains(pattern, "{") {
			continue
		}
		tried++
		path := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(pattern, "%2F")
		for _, key := range []string{"X-Admin-Key: " + w.admin, w.as("alice")} {
			w.wants(route, w.do(method, path, "", key), 404, "NOT_FOUND")
		}
	}
	if tried < 15 {
		t.Errorf("%d routes were tried, want all that have values", tried)
	}
}

// TestWhatIsNotThere asks for paths of the protocol and of the reference gateway's tools
// that this gateway does not have. The answers say what is missing.
func TestWhatIsNotThere(t *testing.T) {
	w := start(t)
	admin := "X-Admin-Key: " + w.admin
	for path, missing := range map[string]string{
		"/v1/admin/schemas":                                   "no registry of schemas",
		"/v1/admin/schemas/agntcy:commerce.order.v1":          "no registry of schemas",
		"/v1/admin/schemas/agntcy:commerce.order.v1/validate": "no registry of schemas",
		"/v1/admin/schemas/stats":                             "no registry of schemas",
		"/v1/workflows":                                       "no workflows", "/v1/workflows/w1": "no workflows",
		"/v1/webhooks": "no notifications", "/v1/webhooks/1": "no notifications",
		"/v1/traces/t1": "no traces", "/metrics": "no metrics",
		"/v1/admin/schemas-of-another": "no such path", "/metricsx": "no such path",
	} {
		code := "NOT_IMPLEMENTED"
		if missing == "no such path" {
			code = "NOT_FOUND"
		}
		for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
			if code == "NOT_IMPLEMENTED" {
				w.wants(method+" "+path+" with a wrong key", w.do(method, path, "", "X-Admin-Key: admin"), 404, code)
				w.wants(method+" "+path+" with a dead key",
					w.do(method, path, "", "Authorization: Bearer amtp_dead"), 404, code)
			}
			a := w.do(method, path, "", admin)
			if w.wants(method+" "+path, a, 404, code); !strings.Contains(a.raw, missing) {
				t.Errorf("%s %s: the answer does not say %q: %s", method, path, missing, a.raw)
			}
		}
	}
}

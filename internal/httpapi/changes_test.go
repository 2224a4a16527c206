package httpapi_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
)

// silent are the operations other than GET that are not logged at the default level, with
// the reason.
var silent = map[string]string{
	"POST /v1/messages":                      "the traffic of messages",
	"POST /v1/inbox/{recipient}/{id}/read":   "the traffic of messages",
	"DELETE /v1/inbox/{recipient}/{id}":      "the traffic of messages",
	"POST /v1/inbox/{recipient}/claim":       "the traffic of messages",
	"POST /v1/inbox/{recipient}/ack":         "the traffic of messages",
	"POST /v1/inbox/{recipient}/{id}/extend": "the traffic of messages",
	"POST /v1/inbox/{recipient}/{id}/nack":   "the traffic of messages",
	"POST /v1/inbox/{recipient}/{id}/reject": "the traffic of messages",
	"POST /v1/messages/{id}/labels":          "the traffic of messages",
	"POST /v1/peers/check":                   "changes nothing",
	"POST /v1/admin/peers/{domain}/check":    "changes nothing",
}

// TestChangesAreLogged checks the table of routes: each operation that changes the gateway
// has its own sentence for the log. The examples show that the sentence is written, see
// [script.logged].
func TestChangesAreLogged(t *testing.T) {
	said := make(map[string]string)
	for route, sentence := range httpapi.Changes() {
		switch {
		case strings.HasPrefix(route, "GET "):
			if sentence != "" {
				t.Errorf("%s has the sentence %q, want none: reading changes nothing", route, sentence)
			}
		case silent[route] != "":
			if sentence != "" {
				t.Errorf("%s has the sentence %q, want none: %s", route, sentence, silent[route])
			}
		case sentence == "":
			t.Errorf("%s changes the gateway and is not logged: give it a sentence in routes.go", route)
		case said[sentence] != "":
			t.Errorf("%s and %s both say %q in the log", route, said[sentence], sentence)
		}
		said[sentence] = route
	}
	for route := range silent {
		if _, there := httpapi.Changes()[route]; !there {
			t.Errorf("silent has %s, the API has no such route", route)
		}
	}
}

// logged checks that a request that changed something has one line in the log at the
// default level. The line has the change, the caller and the request's id. It returns the
// line.
func (w *world) logged(r *http.Request, a answer, by string) string {
	w.t.Helper()
	route := httpapi.Reached(r)
	sentence := httpapi.Changes()[route]
	if sentence == "" || a.status/100 != 2 {
		return ""
	}
	lines := w.lines(a.header.Get("X-Request-Id"))
	if a.body["was_paused"] == false { // there was no pause to end
		if len(lines) > 0 {
			w.t.Errorf("%s changed nothing, and the log says %q", route, lines)
		}
		return ""
	}
	if len(lines) != 1 {
		w.t.Errorf("%s: the log has %d lines about it, want 1: %q", route, len(lines), lines)
		return ""
	}
	said := `msg="` + sentence + `"`
	if !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], said) ||
		by != "" && !strings.Contains(lines[0], "by="+by) {
		w.t.Errorf("%s: the log says %q, want level INFO, %s and by=%s", route, lines[0], said, by)
	}
	if m := secrets.FindString(lines[0]); m != "" {
		w.t.Errorf("%s: the log shows the secret %.12s…", route, m)
	}
	return lines[0]
}

// secrets matches the values that are shown only once.
var secrets = regexp.MustCompile(`(amtp_|whsec_)[A-Za-z0-9_+/-]{20,}|=[A-Za-z0-9_-]{22}( |$)`)

// lines returns the lines of the log about a request. They are written before
// the answer is complete.
func (w *world) lines(request string) (found []string) {
	for line := range strings.SplitSeq(w.log.String(), "\n") {
		if strings.Contains(line, "request="+request) {
			found = append(found, line)
		}
	}
	return found
}

// TestLinesOfTheLog checks the facts in the lines. A request that is refused or changes
// nothing has no line.
func TestLinesOfTheLog(t *testing.T) {
	w := start(t)
	admin := "X-Admin-Key: " + w.admin
	w.agent("alice")
	for _, c := range []struct{ method, path, body, key, want string }{
		{"POST", "/v1/admin/agents", `{"address":"bob"}`, "Accept: */*",
			`by="development profile" agent=bob@localhost delivery_mode=pull`},
		{"PATCH", "/v1/admin/agents/alice", `{"description":"canary-secret","role":"buyer","listed":false}`, "alice",
			`by=alice@localhost agent=alice@localhost members=description,role,listed`},
		{"POST", "/v1/admin/agents/alice/keys", `{"revoke_others":true}`, admin,
			`by=admin agent=alice@localhost key=key_`},
		{"DELETE", "/v1/admin/agents/bob", "", admin, `by=admin agent=bob@localhost`},
		// Nothing is changed.
		{"DELETE", "/v1/admin/agents/bob", "", admin, ""},
		{"DELETE", "/v1/admin/agents/alice", "", "Accept: */*", ""},
		{"POST", "/v1/admin/agents", `{"address":"mailer-daemon"}`, admin, ""},
		{"POST", "/v1/admin/resume", "", admin, ""},
		{"POST", "/v1/admin/queue/7/retry", "", admin, ""},
		{"GET", "/v1/admin/agents", "", admin, ""},
	} {
		key := c.key
		if w.keys[key] != "" {
			key = w.as(key)
		}
		a := w.do(c.method, c.path, c.body, key)
		lines := w.lines(a.header.Get("X-Request-Id"))
		switch what := c.method + " " + c.path; {
		case c.want == "" && len(lines) > 0:
			t.Errorf("%s: the log says %q, want nothing", what, lines)
		case c.want != "" && (len(lines) != 1 || !strings.Contains(lines[0], c.want)):
			t.Errorf("%s: the log says %q, want one line with %s", what, lines, c.want)
		}
	}
	w.agent("carol")
	again := w.do("POST", "/v1/admin/agents", `{"address":"carol"}`, w.as("carol"))
	if lines := w.lines(again.header.Get("X-Request-Id")); again.status != 200 || len(lines) > 0 {
		t.Errorf("register again with one's own key: got %d and %q in the log, want 200 and nothing",
			again.status, lines)
	}
	if strings.Contains(w.log.String(), "canary-secret") {
		t.Error("the log shows the value of a member")
	}
}

// TestHead: the probes answer HEAD like GET, without the body. Every other path refuses
// HEAD and names the methods that it serves.
func TestHead(t *testing.T) {
	w := start(t)
	for _, path := range []string{"/health", "/ready"} {
		get, head := w.do("GET", path, ""), w.do("HEAD", path, "")
		if get.status != http.StatusOK || head.status != get.status || head.raw != "" ||
			head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s = %d with the body %q, GET %d; want the same without a body", path, head.status,
				head.raw, get.status)
		}
	}
	for path, allow := range map[string]string{
		"/v1/join": "POST", "/v1/admin/resume": "POST", "/v1/messages": "POST, GET", "/v1/inbox/alice@localhost": "GET",
		"/v1/whoami":            "GET",
		"/v1/messages/x/status": "GET", "/v1/openapi.json": "GET",
	} {
		a := w.do("HEAD", path, "")
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != allow {
			t.Errorf("HEAD %s = %d with Allow %q, want 405 with %q", path, a.status, a.header.Get("Allow"), allow)
		}
	}
	if a := w.do("POST", "/health", ""); a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /health: Allow is %q, want GET, HEAD", a.header.Get("Allow"))
	}
}

// TestAllow: a method that a path does not have is 405, with the methods of that path. This
// holds too for a path that is also one of a wider pattern. RFC 9110 §15.5.6.
func TestAllow(t *testing.T) {
	w := start(t)
	allowed := make(map[string][]string)
	for _, route := range httpapi.Routes() {
		method, pattern, _ := strings.Cut(route, " ")
		allowed[pattern] = append(allowed[pattern], method)
	}
	for pattern, methods := range allowed {
		want := strings.Join(methods, ", ")
		if pattern == "/health" || pattern == "/ready" {
			want += ", HEAD"
		}
		for _, method := range []string{"PUT", "GET"} {
			// A path such as /dead-letters/redrive is also that of an object with this name.
			if slices.Contains(methods, method) || method == "GET" && !strings.HasPrefix(pattern, "/v1/inbox/") {
				continue
			}
			a := w.do(method, strings.NewReplacer("{", "", "}", "").Replace(pattern), "", "X-Admin-Key: "+w.admin)
			if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != want {
				t.Errorf("%s %s = %d with Allow %q, want 405 with %q", method, pattern, a.status, a.header.Get("Allow"), want)
			}
		}
	}
}

package replay

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func loaded(t *testing.T) *Document {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDocumentIsValid lints the document with the schema of OpenAPI 3.1.
func TestDocumentIsValid(t *testing.T) {
	d := loaded(t)
	if ok, faults := d.judge.ValidateDocument(); !ok {
		t.Error(joined("the document", faults))
	}
}

// TestCheck: which differences are found, and which are allowed.
func TestCheck(t *testing.T) {
	d := loaded(t)
	const (
		fine    = `{"sender":"alice@localhost","recipients":["bob@localhost"],"subject":null,"x":1}`
		taken   = `{"message_id":"m","status":"delivered","recipients":[{"address":"bob@localhost","status":"delivered","timestamp":"2026-11-22T09:15:03.120Z","attempts":0}]}`
		denied  = `{"error":{"code":"ACCESS_DENIED","message":"m","timestamp":"2026-11-22T09:15:03.120Z","request_id":"r"}}`
		noRoute = `{"error":{"code":"NOT_FOUND","message":"m","timestamp":"2026-11-22T09:15:03.120Z","request_id":"r"}}`
		summary = `{"messages":[{"message_id":"m","status":"delivered","created_at":"2026-11-22T09:15:03.120Z","updated_at":"2026-11-22T09:15:03.120Z","delivered_at":null,"recipients":[],"attempts":0,"next_retry":null,"sender":"a@b"}],"total":1,"limit":1,"offset":0,"has_more":false}`
	)
	for _, c := range []struct {
		name, method, path, sent string
		status                   int
		body, want               string // want: part of the error, "" for none
	}{
		{"as it should be", "POST", "/v1/messages", fine, 202, taken, ""},
		{"doubled slash", "POST", "//v1/messages", fine, 202, taken, ""},
		{"a list", "GET", "/v1/messages?limit=1&sent=&status=", "", 200, summary, ""},
		{"a bad request that was taken", "POST", "/v1/messages", `{"sender":"alice"}`, 202, taken, "the request"},
		{"a bad parameter that was taken", "GET", "/v1/messages?limit=0", "", 200, summary, "limit"},
		{"a bad request that was refused", "POST", "/v1/messages", `{"sender":"alice"}`, 403, denied, ""},
		{"a status without a description", "POST", "/v1/messages", fine, 200, taken, "200"},
		{"a member without a description", "POST", "/v1/messages", fine, 202,
			strings.Replace(taken, `"status"`, `"more":1,"status"`, 1), "more"},
		{"a deeper one", "POST", "/v1/messages", fine, 202,
			strings.Replace(taken, `"attempts"`, `"more":1,"attempts"`, 1), "more"},
		{"one in a list of parts", "GET", "/v1/messages", "", 200,
			strings.Replace(summary, `"sender"`, `"more":1,"sender"`, 1), "more"},
		{"one in an error", "POST", "/v1/messages", fine, 403,
			strings.Replace(denied, `"message"`, `"more":1,"message"`, 1), "more"},
		{"one beside an error", "POST", "/v1/messages", fine, 403,
			strings.Replace(denied, `{"error"`, `{"more":1,"error"`, 1), "more"},
		{"a member that is missing", "POST", "/v1/messages", fine, 202,
			strings.Replace(taken, `,"attempts":0`, "", 1), "attempts"},
		{"a time that is none", "POST", "/v1/messages", fine, 202, strings.Replace(taken, `2026-`, `26-`, 1),
			"timestamp"},
		{"another operation's code", "GET", "/v1/admin/agents", "", 403, denied, "value"},
		{"no route", "GET", "/v2", "", 404, noRoute, ""},
		{"a message that is no route", "GET", "/v1/messages/", "", 404, noRoute, ""},
		{"a route without a description", "GET", "/v2", "", 200, summary, "200"},
		{"a code that is no route's", "GET", "/v2", "", 404, denied, "NOT_FOUND"},
	} {
		at, err := url.Parse("http://localhost" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Method: c.method, URL: at, Header: http.Header{"Content-Type": {"application/json"},
			"Authorization": {"Bearer k"}}}
		header := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "X-Request-Id": {"r"}}
		err = d.Check(Exchange{Request: r, Sent: []byte(c.sent), Status: c.status, Header: header,
			Body: []byte(c.body)})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: got %v, want nothing", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want something about %q", c.name, err, c.want)
		}
	}
}

// TestExamplesAreDescribed: the examples in the document match what it describes:
// requests, answers and errors.
func TestExamplesAreDescribed(t *testing.T) {
	d := loaded(t)
	all, err := Examples()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		at, err := url.Parse("http://localhost" + e.Path)
		if err != nil {
			t.Fatal(err)
		}
		if e.Stream {
			continue // its answer is no JSON and has no end
		}
		if e.Answer == nil {
			t.Errorf("%s: the document shows no answer", e.Operation)
			continue
		}
		answers := map[string][]byte{e.Status: e.Answer}
		maps.Copy(answers, e.Refusals)
		for status, body := range answers {
			header := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r"}, "Retry-After": {"1"},
				"Etag": {`"e"`}}
			key := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer k"},
				"X-Admin-Key": {"k"}}
			code, err := strconv.Atoi(status)
			if err != nil {
				t.Errorf("%s: status %q", e.Operation, status)
			}
			x := Exchange{Request: &http.Request{Method: e.Method, URL: at, Header: key}, Sent: e.Body, Status: code,
				Header: header, Body: body}
			if err := d.Check(x); err != nil {
				t.Errorf("the example of %s: %v", e.Operation, err)
			}
		}
	}
}

// TestErrorsAreReal: the texts of the errors in the document are in the source, as
// docs/errors.md lists them.
func TestErrorsAreReal(t *testing.T) {
	page, err := os.ReadFile("../../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []*regexp.Regexp
	unwrapped := strings.ReplaceAll(strings.ReplaceAll(string(page), `\`, ""), "\n  ", " ")
	for line := range strings.Lines(unwrapped) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "- "); ok &&
			len(strings.ReplaceAll(text, "…", "")) > 8 {
			texts = append(texts, regexp.MustCompile("^"+strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".+")+"$"))
		}
	}
	all, err := Examples()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		for status, body := range e.Refusals {
			var refused struct {
				Error struct{ Message string }
			}
			if err := json.Unmarshal(body, &refused); len(body) > 0 && err != nil {
				t.Fatal(err)
			}
			said := refused.Error.Message
			if said != "" && !slices.ContainsFunc(texts, func(r *regexp.Regexp) bool { return r.MatchString(said) }) {
				t.Errorf("%s %s shows %q, which no gateway returns", e.Operation, status, said)
			}
		}
	}
}

package httpapi_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/openapi"
	"github.com/amtp-go/amtp/internal/openapi/replay"
)

var document = sync.OnceValues(replay.Load)

// described checks a request and its answer against the document of the API. Every test of
// this package that makes a request calls it. An answer that the HTTP server makes before
// the gateway sees the request has no id, and the document does not describe it.
func described(t *testing.T, r *http.Request, sent string, resp *http.Response, body []byte) {
	t.Helper()
	if resp.Header.Get("X-Request-Id") == "" {
		return
	}
	d, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(replay.Exchange{Request: r, Sent: []byte(sent), Status: resp.StatusCode, Header: resp.Header,
		Body: body}); err != nil {
		t.Error(err)
	}
}

// describedRaw does it for the bytes of a request.
func describedRaw(t *testing.T, request string, resp *http.Response, body []byte) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		if resp.Header.Get("X-Request-Id") != "" {
			t.Errorf("the gateway answered bytes that are not a request: %v: %.200q", err, request)
		}
		return
	}
	sent, _ := io.ReadAll(r.Body) // the part that was sent
	described(t, r, string(sent), resp, body)
}

// TestDocumentHasTheRoutes: the document and the table of routes have the same
// operations.
func TestDocumentHasTheRoutes(t *testing.T) {
	doc, _ := openapi.JSON()
	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(doc, &described); err != nil {
		t.Fatal(err)
	}
	routes := httpapi.Routes()
	for pattern, item := range described.Paths {
		for method := range item {
			route := strings.ToUpper(method) + " " + pattern
			if method != "parameters" && !slices.Contains(routes, route) {
				t.Errorf("the document describes %s, the API has no such route", route)
			}
		}
	}
	for _, route := range routes {
		method, pattern, _ := strings.Cut(route, " ")
		if described.Paths[pattern][strings.ToLower(method)] == nil {
			t.Errorf("the document does not describe %s: add it to internal/openapi/openapi.yaml", route)
		}
	}
}

// TestDocumentIsServed: the document is served whole, and a client that has it gets 304.
func TestDocumentIsServed(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	want, _ := openapi.JSON()
	a := w.do("GET", "/v1/openapi.json", "")
	etag := a.header.Get("ETag")
	if a.status != 200 || a.raw != string(want) || etag == "" ||
		a.header.Get("Cache-Control") != "public, max-age=300" {
		t.Fatalf("got %d, %d bytes, headers %v; want 200, %d bytes, an ETag, five minutes", a.status, len(a.raw),
			a.header, len(want))
	}
	for condition, status := range map[string]int{
		etag: 304, "W/" + etag: 304, `"other", ` + etag: 304, "*": 304, `"other"`: 200, strings.Trim(etag, `"`): 200,
	} {
		b := w.do("GET", "/v1/openapi.json", "", "If-None-Match: "+condition)
		if b.status != status || b.header.Get("ETag") != etag || status == 304 && b.raw != "" {
			t.Errorf("If-None-Match %s: got %d with ETag %s and %d bytes, want %d with %s", condition, b.status,
				b.header.Get("ETag"), len(b.raw), status, etag)
		}
	}
}

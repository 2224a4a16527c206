package httpapi_test

import (
	"strings"
	"testing"
)

// TestQueueParameters: a wrong parameter is an error that says so, and changes nothing.
func TestQueueParameters(t *testing.T) {
	w := start(t)
	admin := "X-Admin-Key: " + w.admin
	for _, c := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/v1/admin/queue?state=delivered", "", 400, "INVALID_PARAMETER"},
		{"GET", "/v1/admin/queue?limit=0", "", 400, "INVALID_LIMIT"},
		{"GET", "/v1/admin/queue?after=1", "", 400, "INVALID_PARAMETER"},
		{"GET", "/v1/admin/queue?message=%20", "", 400, "INVALID_PARAMETER"},
		{"GET", "/v1/admin/queue?message=token", "", 200, ""},
		{"GET", "/v1/admin/queue?destination=Far.Example&state=retrying&after=q7", "", 200, ""},
		{"GET", "/v1/admin/queue/0", "", 404, "JOB_NOT_FOUND"},
		{"GET", "/v1/admin/queue/+1", "", 404, "JOB_NOT_FOUND"},
		{"GET", "/v1/admin/queue/9223372036854775808", "", 404, "JOB_NOT_FOUND"},
		{"GET", "/v1/admin/dead-letters?before=yesterday", "", 400, "INVALID_PARAMETER"},
		{"GET", "/v1/admin/dead-letters?message=token&code=AGENT_UNKNOWN&before=2026-01-31T12:00:00Z", "", 200, ""},
		{"DELETE", "/v1/admin/dead-letters", "", 400, "INVALID_REQUEST_FORMAT"},
		{"DELETE", "/v1/admin/dead-letters?all=true&code=AGENT_UNKNOWN", "", 400, "INVALID_REQUEST_FORMAT"},
		{"DELETE", "/v1/admin/dead-letters?ids=1,x", "", 400, "INVALID_PARAMETER"},
		{"DELETE", "/v1/admin/dead-letters?ids=1,2", "", 200, ""},
		{"POST", "/v1/admin/dead-letters/redrive", `{}`, 400, "INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"ids":[]}`, 400, "INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"all":true,"ids":[1]}`, 400, "INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"message":"not an id"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"before":"yesterday"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"ids":[` + strings.Repeat("1,", 1000) + `1]}`, 400,
			"INVALID_REQUEST_FORMAT"},
		{"POST", "/v1/admin/dead-letters/redrive", `{"message":"token"}`, 200, ""},
		{"POST", "/v1/admin/dead-letters/redrive", `{"ids":[1]}`, 200, ""},
		{"GET", "/v1/admin/dead-letters/redrive", "", 404, "DEAD_LETTER_NOT_FOUND"},
	} {
		w.wants(c.method+" "+c.path+" "+c.body, w.do(c.method, c.path, c.body, admin), c.status, c.code)
	}
	a := w.do("PUT", "/v1/admin/dead-letters/redrive", `{}`, admin)
	w.wants("PUT", a, 405, "METHOD_NOT_ALLOWED")
	if allow := a.header.Get("Allow"); allow != "POST" {
		t.Errorf("Allow is %q, want POST", allow)
	}
}

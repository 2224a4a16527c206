package httpapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestADeadKeyIsNoDeadGateway: the probes and the document of the API answer a client,
// whatever key it shows.
func TestADeadKeyIsNoDeadGateway(t *testing.T) {
	slow.Test(t, "it runs the reference client")
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	for _, path := range []string{"/health", "/ready", "/v1/openapi.json"} {
		for _, header := range []string{"Authorization: Bearer amtp_dead", "Authorization: Basic eDp5",
			"X-Api-Key: amtp_dead", "X-Admin-Key: admin"} {
			for range 12 { // more than an address may guess
				w.wants(path+" with "+header, w.do("GET", path, "", header), 200, "")
			}
		}
	}
	w.wants("HEAD", w.do("HEAD", "/health", "", "Authorization: Bearer amtp_dead"), 200, "")
	w.wants("where a key is needed", w.do("GET", "/v1/whoami", "", "Authorization: Bearer amtp_dead"), 401,
		"AUTHENTICATION_FAILED")
}

// TestAnAdminKeyThatNobodyNeeds: in the development profile a program on this machine
// registers, sends and asks for a status without a key. A wrong admin key does not change
// that, and opens nothing else.
func TestAnAdminKeyThatNobodyNeeds(t *testing.T) {
	w := start(t)
	const any = "X-Admin-Key: admin"
	for i, name := range strings.Fields("a b c d e f g h i j k l m n o") { // more than an address may guess
		w.wants("register "+name, w.do("POST", "/v1/admin/agents", `{"address":"`+name+`","delivery_mode":"pull"}`,
			any), 201, "")
		if i == 0 {
			continue
		}
		a := w.do("POST", "/v1/messages", `{"sender":"a@localhost","recipients":["`+name+`@localhost"]}`, any)
		w.wants("send to "+name, a, 202, "")
		w.wants("status", w.do("GET", "/v1/messages/"+a.body["message_id"].(string)+"/status", "", any), 200, "")
	}
	w.wants("register again", w.do("POST", "/v1/admin/agents", `{"address":"a"}`, any), 409, "CONFLICT")
	for _, header := range []string{"Origin: http://localhost", "X-Forwarded-For: 127.0.0.1", "Via: 1.1 x"} {
		a := w.do("POST", "/v1/admin/agents", `{"address":"x"}`, any, header)
		if a.status != 403 && a.status != 429 {
			t.Errorf("register with a wrong admin key and %s: %d %s, want the answer to a wrong key", header,
				a.status, a.raw)
		}
	}
	for _, route := range []string{"GET /v1/admin/agents", "DELETE /v1/admin/agents/a", "PATCH /v1/admin/agents/a",
		"POST /v1/admin/agents/a/keys", "GET /v1/admin/queue", "GET /v1/inbox/a@localhost"} {
		method, path, _ := strings.Cut(route, " ")
		body := ""
		if method == "PATCH" {
			body = `{"role":"x"}`
		}
		if a := w.do(method, path, body, any); a.status != 403 && a.status != 429 {
			t.Errorf("%s with a wrong admin key: %d %s, want a refusal", route, a.status, a.raw)
		}
	}
}

// TestTheSDKStopsAndStarts: an object of the SDK keeps the key of the agent that it
// removed, and shows this key when it registers again.
func TestTheSDKStopsAndStarts(t *testing.T) {
	w := start(t)
	first := w.do("POST", "/v1/admin/agents", `{"address":"worker","delivery_mode":"pull"}`)
	w.wants("register", first, 201, "")
	dead := "Authorization: Bearer " + first.body["api_key"].(string)
	for i := range 12 {
		w.wants("stop", w.do("DELETE", "/v1/admin/agents/worker", "", dead), 200, "")
		w.wants("start: health", w.do("GET", "/health", "", dead), 200, "")
		a := w.do("POST", "/v1/admin/agents", `{"address":"worker","delivery_mode":"pull"}`, dead)
		w.wants("start: register", a, 201, "")
		if i < 4 { // fewer than an address may show
			w.wants("the key that has ended", w.do("GET", "/v1/inbox/worker@localhost", "", dead), 401,
				"AUTHENTICATION_FAILED")
		}
		dead = "Authorization: Bearer " + a.body["api_key"].(string)
		w.wants("the key that it has now", w.do("GET", "/v1/inbox/worker@localhost", "", dead), 200, "")
	}
	w.wants("a key that never was one", w.do("POST", "/v1/admin/agents", `{"address":"other"}`,
		"Authorization: Bearer your-api-key"), 201, "")
}

// TestNoToleranceWithoutTheProfile: where a key is needed, a wrong one is an error.
func TestNoToleranceWithoutTheProfile(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	w.wants("an admin key", w.do("POST", "/v1/admin/agents", `{"address":"a"}`, "X-Admin-Key: admin"), 403,
		"ADMIN_ACCESS_DENIED")
	w.wants("an agent's key", w.do("POST", "/v1/admin/agents", `{"address":"a"}`, "Authorization: Bearer your-api-key"),
		401, "AUTHENTICATION_FAILED")
	w.wants("to send", w.do("POST", "/v1/messages", `{"sender":"a@localhost","recipients":["a@localhost"]}`,
		"X-Admin-Key: admin"), 403, "ADMIN_ACCESS_DENIED")
}

// TestAForeignHostIsElsewhere: a web page that rebinds its name in DNS cannot read from a
// gateway for this machine, on any route, whatever key it shows.
func TestAForeignHostIsElsewhere(t *testing.T) {
	w := start(t)
	w.agent("alice")
	for _, route := range []string{"GET /health", "GET /v1/discovery/agents", "GET /v1/openapi.json", "GET /v1/whoami",
		"GET /nothing", "POST /v1/messages", "GET /v1/admin/agents"} {
		method, path, _ := strings.Cut(route, " ")
		for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.2",
			"10.0.0.1"} {
			w.wants(route+" of "+host, w.do(method, path, "", "Host: "+host, w.as("alice")), 421, "MISDIRECTED_REQUEST")
		}
	}
	w = start(t, "AMTP_AUTH_REQUIRED=true") // without the development profile, a proxy is allowed
	w.wants("behind a proxy", w.do("GET", "/health", "", "Host: amtp.example.com"), 200, "")
}

// TestADoubledSlash: a doubled slash is served for the operations in Doubling only. So a
// proxy's rule for paths that begin with /v1/admin/ holds for all other operations.
func TestADoubledSlash(t *testing.T) {
	w := start(t)
	w.agent("alice")
	for _, route := range httpapi.Routes() {
		method, path, _ := strings.Cut(route, " ")
		doubled := slices.Contains(httpapi.Doubling, route)
		a := w.do(method, "/"+strings.NewReplacer("{id}", "x", "{recipient}", "alice@localhost", "{domain}",
			"localhost", "{name}", "ghost", "{kid}", "k", "{selector}", "k1", "{job}", "1").Replace(path), "",
			"X-Admin-Key: "+w.admin)
		if none := a.status == 404 && strings.Contains(a.raw, `"NOT_FOUND"`); none == doubled {
			t.Errorf("%s with a doubled slash: %d %s", route, a.status, a.raw)
		}
	}
}

// TestNoParameterHasControlCharacters: a text that no store can hold is a 400, in every
// parameter of every route.
func TestNoParameterHasControlCharacters(t *testing.T) {
	w := start(t)
	w.agent("alice")
	for _, bad := range []string{"%00", "a%00b", "%1b%5b2J", "%ff", "a%0ab"} {
		for _, path := range []string{
			"GET /v1/admin/queue?destination=", "GET /v1/admin/queue?message=", "GET /v1/admin/queue?cursor=",
			"GET /v1/admin/dead-letters?destination=",
			"GET /v1/admin/dead-letters?code=", "GET /v1/admin/dead-letters?before=",
			"DELETE /v1/admin/dead-letters?destination=", "DELETE /v1/admin/dead-letters?code=",
			"GET /v1/messages?sender=", "GET /v1/discovery/agents?role=", "GET /v1/discovery/agents?capability=",
			"GET /v1/discovery/agents?schema=",
		} {
			method, path, _ := strings.Cut(path, " ")
			if a := w.do(method, path+bad, "", "X-Admin-Key: "+w.admin); a.status != 400 {
				t.Errorf("%s %s%s: %d %s, want 400", method, path, bad, a.status, a.raw)
			}
		}
	}
	for _, body := range []string{`{"destination":"a\u0000b"}`, `{"code":"\u0000"}`, `{"destination":"\u001b[2J"}`} {
		w.wants(body, w.do("POST", "/v1/admin/dead-letters/redrive", body, "X-Admin-Key: "+w.admin), 400,
			"INVALID_REQUEST_FORMAT")
	}
}

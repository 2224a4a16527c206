package httpapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/httpapi"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// The callers of the matrix, in the order of its columns. nobody calls a gateway that
// demands keys; dev calls one in the development profile; neither has a key. alice sent a
// message to bob, whose inbox and agent the paths name. eve is an agent without a part in it.
var callers = []string{"nobody", "dev", "eve", "alice", "bob", "admin"}

// cell is one object of a route, with the answer that each caller gets.
type cell struct {
	object string
	path   string // {m} is the message, {kid} a key of bob, {new} a free name
	body   string
	want   string // a word of outcomes for each caller
	// sign is a text that shows that an answer is about the object. A word with + demands
	// it; with any other word it must be absent.
	sign string
	// absent names the cell of an object that does not exist. A caller who is refused this
	// object must get the same answer as for that one, unless its word has a +.
	absent string
}

// outcomes are the words of the matrix.
var outcomes = map[string]string{
	"ok": "200", "ok+": "200", "made": "201", "taken": "202",
	"nokey":    "401 MISSING_AUTHORIZATION",
	"nosender": "401 LOCAL_SENDER_AUTH_REQUIRED",
	"mismatch": "403 SENDER_CREDENTIAL_MISMATCH",
	"noadmin":  "401 ADMIN_AUTHENTICATION_REQUIRED",
	"denied":   "403 ACCESS_DENIED",
	"notadmin": "403 ADMIN_ACCESS_DENIED",
	"nomsg":    "404 MESSAGE_NOT_FOUND",
	"noagent":  "404 AGENT_UNKNOWN",
	"nokid":    "404 KEY_NOT_FOUND",
	"nodomain": "404 DOMAIN_NOT_FOUND",
	"nojob":    "404 JOB_NOT_FOUND",
	"nodead":   "404 DEAD_LETTER_NOT_FOUND",
	"exists":   "409 CONFLICT",
	"lost+":    "409 LEASE_LOST",
	"badbody":  "400 INVALID_REQUEST_FORMAT",

	"elsewhere": "421 MISDIRECTED_REQUEST",
}

const absentID = "01a204dc-8339-7ac7-ac52-c37b55304ca1"

// inboxMark returns the rows of an operation on one message of an inbox.
func inboxMark(suffix string) []cell {
	return []cell{
		{"bob's message", "/v1/inbox/bob@localhost/{m}" + suffix, "", "nokey nokey denied denied ok+ denied",
			"{m}", "no inbox"},
		{"no inbox", "/v1/inbox/ghost@localhost/{m}" + suffix, "", "nokey nokey denied denied denied denied", "", ""},
		{"no message", "/v1/inbox/bob@localhost/" + absentID + suffix, "",
			"nokey nokey denied denied nomsg denied", "", ""},
		{"another's message in one's own inbox", "/v1/inbox/eve@localhost/{m}" + suffix, "",
			"nokey nokey nomsg denied denied denied", "", "no message in one's own inbox"},
		{"no message in one's own inbox", "/v1/inbox/eve@localhost/" + absentID + suffix, "",
			"nokey nokey nomsg denied denied denied", "", ""},
		{"the sender's own inbox", "/v1/inbox/alice@localhost/{m}" + suffix, "",
			"nokey nokey denied nomsg denied denied", "", ""},
	}
}

// underLease returns the rows of an operation under a lease that nobody has.
func underLease(suffix string) []cell {
	rows := inboxMark(suffix)
	for i := range rows {
		rows[i].body = `{"lease":"4f2a9c0de81b7d35"}`
	}
	rows[0].want, rows[0].sign = "nokey nokey denied denied lost+ denied", ""
	return rows
}

// managed returns the rows of an operation on one agent.
func managed(suffix, body, done string) []cell {
	return []cell{
		{"bob", "/v1/admin/agents/bob" + suffix, body, "noadmin noadmin notadmin notadmin " + done + " " + done,
			"", "nobody"},
		{"nobody", "/v1/admin/agents/ghost" + suffix, body,
			"noadmin noadmin notadmin notadmin notadmin noagent", "", ""},
		{"bob by his address", "/v1/admin/agents/BOB@localhost" + suffix, body,
			"noadmin noadmin notadmin notadmin " + done + " " + done, "", "nobody"},
	}
}

// signing returns the row of an operation on the keys of a gateway without a domain.
func signing(suffix string) []cell {
	return []cell{{"a signing key", "/v1/admin/keys" + suffix, "",
		"noadmin noadmin notadmin notadmin notadmin exists", "", ""}}
}

// operating returns the row of an operation that only the operator may do.
func operating(object, path, body, done string) []cell {
	return []cell{{object, path, body, "noadmin noadmin notadmin notadmin notadmin " + done, "", ""}}
}

func everybody(word string) string { return strings.Repeat(word+" ", len(callers)) }

// matrix has every route of the API. A new route gets its callers and their outcomes here.
var matrix = map[string][]cell{
	"POST /v1/messages": {
		{"as alice", "/v1/messages", `{"sender":"alice@localhost","recipients":["bob@localhost"]}`,
			"nosender taken mismatch taken mismatch denied", "", "as nobody"},
		{"as nobody", "/v1/messages", `{"sender":"ghost@localhost","recipients":["bob@localhost"]}`,
			"nosender denied mismatch mismatch mismatch denied", "", ""},
		{"as somebody elsewhere", "/v1/messages", `{"sender":"a@other.test","recipients":["bob@localhost"]}`,
			"denied denied mismatch mismatch mismatch denied", "", ""},
	},
	"GET /v1/messages": {
		{"the list", "/v1/messages", "", "nokey nokey ok ok+ ok+ ok+", "{m}", ""},
		{"the list of alice's", "/v1/messages?sender=alice@localhost&recipient=bob@localhost", "",
			"nokey nokey ok ok+ ok+ ok+", "{m}", "the list of nobody's"},
		{"the list of nobody's", "/v1/messages?sender=ghost@localhost&recipient=phantom@localhost", "",
			"nokey nokey ok ok ok ok", "{m}", ""},
	},
	"GET /v1/search": {
		{"what is there", "/v1/search?q=secret", "", "nokey nokey ok ok ok denied", "", "nothing"},
		{"nothing", "/v1/search?q=phantom", "", "nokey nokey ok ok ok denied", "", ""},
	},
	"GET /v1/messages/{id}": {
		{"alice's to bob", "/v1/messages/{m}", "", "nokey nokey nomsg ok+ ok+ ok+", "secret", "none"},
		{"none", "/v1/messages/" + absentID, "", "nokey nokey nomsg nomsg nomsg nomsg", "", ""},
		{"by the sender's own id", "/v1/messages/given-{m}", "", "nokey nokey nomsg ok+ nomsg ok+", "secret",
			"none by such an id"},
		{"none by such an id", "/v1/messages/given-none", "", "nokey nokey nomsg nomsg nomsg nomsg", "", ""},
	},
	"POST /v1/messages/{id}/labels": {
		{"alice's to bob", "/v1/messages/{m}/labels", `{"add":["x"]}`, "nokey nokey nomsg ok+ ok+ denied", `"x"`,
			"none"},
		{"none", "/v1/messages/" + absentID + "/labels", `{"add":["x"]}`, "nokey nokey nomsg nomsg nomsg denied", "", ""},
	},
	"GET /v1/messages/{id}/status": {
		{"alice's to bob", "/v1/messages/{m}/status", "", "nokey ok+ nomsg ok+ ok+ ok+", "{m}", "none"},
		{"none", "/v1/messages/" + absentID + "/status", "", "nokey nomsg nomsg nomsg nomsg nomsg", "", ""},
	},
	"GET /v1/threads": {
		{"one's own", "/v1/threads", "", "nokey nokey ok ok+ ok+ denied", "{m}", ""},
	},
	"GET /v1/threads/{id}": {
		{"alice's to bob", "/v1/threads/{m}", "", "nokey nokey nomsg ok+ ok+ denied", "secret", "none"},
		{"none", "/v1/threads/" + absentID, "", "nokey nokey nomsg nomsg nomsg denied", "", ""},
		{"by the sender's own id", "/v1/threads/given-{m}", "", "nokey nokey nomsg ok+ nomsg denied", "secret",
			"none by such an id"},
		{"none by such an id", "/v1/threads/given-none", "", "nokey nokey nomsg nomsg nomsg denied", "", ""},
	},
	"GET /v1/inbox/{recipient}": {
		{"bob's", "/v1/inbox/bob@localhost", "", "nokey nokey denied denied ok+ denied", "secret", "no inbox"},
		{"no inbox", "/v1/inbox/ghost@localhost", "", "nokey nokey denied denied denied denied", "", ""},
		{"bob's by a bare name", "/v1/inbox/Bob", "", "nokey nokey denied denied ok+ denied", "secret", "no inbox"},
		{"one of another domain", "/v1/inbox/bob@other.test", "", "nokey nokey denied denied denied denied", "", ""},
	},
	"GET /v1/inbox/{recipient}/events": {
		{"bob's", "/v1/inbox/bob@localhost/events", "", "nokey nokey denied denied ok denied", "", "no inbox"},
		{"no inbox", "/v1/inbox/ghost@localhost/events", "", "nokey nokey denied denied denied denied", "", ""},
	},
	"POST /v1/inbox/{recipient}/{id}/read": inboxMark("/read"),
	"DELETE /v1/inbox/{recipient}/{id}":    inboxMark(""),
	"POST /v1/inbox/{recipient}/ack": {
		{"bob's message", "/v1/inbox/bob@localhost/ack", `{"ids":["{m}"]}`, "nokey nokey denied denied ok+ denied",
			`"acknowledged":1`, "no inbox"},
		{"no inbox", "/v1/inbox/ghost@localhost/ack", `{"ids":["{m}"]}`, "nokey nokey denied denied denied denied",
			"", ""},
		{"another's message in one's own inbox", "/v1/inbox/eve@localhost/ack", `{"ids":["{m}"]}`,
			"nokey nokey ok denied denied denied", `"acknowledged":1`, ""},
	},
	"POST /v1/inbox/{recipient}/claim": {
		{"bob's", "/v1/inbox/bob@localhost/claim", "", "nokey nokey denied denied ok+ denied", "secret", "no inbox"},
		{"no inbox", "/v1/inbox/ghost@localhost/claim", "", "nokey nokey denied denied denied denied", "", ""},
	},
	"POST /v1/inbox/{recipient}/{id}/reject": inboxMark("/reject"),
	"POST /v1/inbox/{recipient}/{id}/extend": underLease("/extend"),
	"POST /v1/inbox/{recipient}/{id}/nack":   underLease("/nack"),
	"GET /v1/discovery/agents": {
		{"all", "/v1/discovery/agents", "", "ok ok ok ok ok ok+", "hidden@localhost", ""},
		{"one who is not listed", "/v1/discovery/agents?address=hidden@localhost", "", "ok ok ok ok ok ok+",
			"hidden@localhost", "none"},
		{"none", "/v1/discovery/agents?address=ghost@localhost", "", everybody("ok"), "", ""},
	},
	"GET /v1/discovery/agents/{domain}": {
		{"ours", "/v1/discovery/agents/localhost", "", "ok ok ok ok ok ok+", "hidden@localhost", ""},
		{"another", "/v1/discovery/agents/other.test", "",
			"nokey nodomain nodomain nodomain nodomain nodomain", "", ""},
	},
	"GET /v1/capabilities/{domain}": {
		{"ours", "/v1/capabilities/localhost", "", "nokey nodomain nodomain nodomain nodomain nodomain", "", ""},
		{"another", "/v1/capabilities/other.test", "", "nokey nodomain nodomain nodomain nodomain nodomain", "", ""},
	},
	"POST /v1/admin/agents": {
		{"a new one", "/v1/admin/agents", `{"address":"{new}"}`,
			"noadmin made notadmin notadmin notadmin made", "", ""},
		{"bob", "/v1/admin/agents", `{"address":"bob"}`, "noadmin exists notadmin notadmin ok exists", "", "a new one"},
	},
	"GET /v1/admin/agents": {
		{"all", "/v1/admin/agents", "", "noadmin noadmin notadmin notadmin notadmin ok+", "hidden@localhost", ""},
	},
	"GET /v1/admin/agents/{name}":       managed("", "", "ok"),
	"PATCH /v1/admin/agents/{name}":     managed("", `{"role":"x"}`, "ok"),
	"DELETE /v1/admin/agents/{name}":    managed("", "", "ok"),
	"POST /v1/admin/agents/{name}/keys": managed("/keys", "", "made"),
	"GET /v1/admin/agents/{name}/keys":  managed("/keys", "", "ok"),
	"POST /v1/admin/agents/{name}/push-secret": {
		{"bob, who has an inbox", "/v1/admin/agents/bob/push-secret", "",
			"noadmin noadmin notadmin notadmin exists exists", "", ""},
		{"nobody", "/v1/admin/agents/ghost/push-secret", "",
			"noadmin noadmin notadmin notadmin notadmin noagent", "", ""},
	},
	"DELETE /v1/admin/agents/{name}/keys/{kid}": {
		{"bob's key", "/v1/admin/agents/bob/keys/{kid}", "", "noadmin noadmin notadmin notadmin ok ok", "",
			"nobody's key"},
		{"nobody's key", "/v1/admin/agents/ghost/keys/{kid}", "",
			"noadmin noadmin notadmin notadmin notadmin noagent", "", ""},
		{"no key of bob", "/v1/admin/agents/bob/keys/key_none", "",
			"noadmin noadmin notadmin notadmin nokid nokid", "", ""},
		{"another's key as one's own", "/v1/admin/agents/eve/keys/{kid}", "",
			"noadmin noadmin nokid notadmin notadmin nokid", "", "no key as one's own"},
		{"no key as one's own", "/v1/admin/agents/eve/keys/key_none", "",
			"noadmin noadmin nokid notadmin notadmin nokid", "", ""},
	},
	"POST /v1/admin/domain": operating("a domain to come", "/v1/admin/domain",
		`{"domain":"shop.example"}`, "ok"),
	"GET /v1/admin/keys":                 signing(""),
	"POST /v1/admin/keys":                signing(""),
	"POST /v1/admin/keys/{selector}/use": signing("/20261122/use"),
	"DELETE /v1/admin/keys/{selector}":   signing("/20261122"),
	"GET /v1/admin/queue":                operating("the queue", "/v1/admin/queue", "", "ok"),
	"GET /v1/admin/queue/{job}":          operating("no job", "/v1/admin/queue/7", "", "nojob"),
	"POST /v1/admin/queue/{job}/retry":   operating("no job", "/v1/admin/queue/7/retry", "", "nojob"),
	"DELETE /v1/admin/queue/{job}":       operating("no job", "/v1/admin/queue/7", "", "nojob"),
	"GET /v1/admin/dead-letters":         operating("the dead letters", "/v1/admin/dead-letters", "", "ok"),
	"DELETE /v1/admin/dead-letters":      operating("all dead letters", "/v1/admin/dead-letters?all=true", "", "ok"),
	"POST /v1/admin/dead-letters/redrive": operating("all dead letters", "/v1/admin/dead-letters/redrive",
		`{"all":true}`, "ok"),
	"GET /v1/admin/dead-letters/{id}":    operating("no dead letter", "/v1/admin/dead-letters/7", "", "nodead"),
	"DELETE /v1/admin/dead-letters/{id}": operating("no dead letter", "/v1/admin/dead-letters/7", "", "nodead"),
	"GET /v1/admin/certificate":          operating("no certificate", "/v1/admin/certificate", "", "exists"),
	"POST /v1/admin/certificate/renew":   operating("no certificate", "/v1/admin/certificate/renew", "", "exists"),
	"GET /v1/discovery/keys":             {{"ours", "/v1/discovery/keys", "", everybody("nodomain"), "", ""}},
	"POST /v1/peers/check": {{"a question", "/v1/peers/check",
		`{"sender":"amtp-peer@other.test","recipients":["amtp-peer@localhost"]}`, everybody("nodomain"), "", ""}},
	"GET /v1/admin/limits": operating("what is used", "/v1/admin/limits", "", "ok"),
	"GET /v1/admin/peers":  operating("the peers", "/v1/admin/peers", "", "exists"),
	"POST /v1/admin/peers": operating("a peer", "/v1/admin/peers",
		`{"domain":"other.test","gateway":"https://192.0.2.1"}`, "exists"),
	"DELETE /v1/admin/peers/{domain}":     operating("a peer", "/v1/admin/peers/other.test", "", "exists"),
	"POST /v1/admin/peers/{domain}/check": operating("a peer", "/v1/admin/peers/other.test/check", "", "exists"),
	"POST /v1/admin/invites": {
		{"somebody new", "/v1/admin/invites", `{"name":"{new}"}`,
			"noadmin noadmin notadmin notadmin notadmin made", "", ""},
		{"bob", "/v1/admin/invites", `{"name":"bob"}`, "noadmin noadmin notadmin notadmin notadmin exists", "", ""},
		{"bob again", "/v1/admin/invites", `{"name":"bob","existing":true}`,
			"noadmin noadmin notadmin notadmin notadmin made", "", ""},
		{"nobody again", "/v1/admin/invites", `{"name":"ghost","existing":true}`,
			"noadmin noadmin notadmin notadmin notadmin noagent", "", ""},
	},
	"POST /v1/join": {{"no invitation", "/v1/join", `{"secret":7}`, everybody("badbody"), "", ""}},
	"POST /v1/admin/resume": {
		{"the end of a pause", "/v1/admin/resume", "", "noadmin noadmin notadmin notadmin notadmin ok", "", ""},
	},
	"GET /v1/whoami":       {{"oneself", "/v1/whoami", "", "nokey nokey ok ok ok denied", "", ""}},
	"GET /v1/openapi.json": {{"it", "/v1/openapi.json", "", everybody("ok"), "", ""}},
	"GET /health":          {{"it", "/health", "", everybody("ok"), "", ""}},
	"GET /ready":           {{"it", "/ready", "", everybody("ok"), "", ""}},
}

// TestMatrixIsWhole: the matrix has the routes of the API and no others.
func TestMatrixIsWhole(t *testing.T) {
	routes := httpapi.Routes()
	for _, route := range routes {
		if len(matrix[route]) == 0 {
			t.Errorf("the matrix does not say who may %s", route)
		}
	}
	for route := range matrix {
		if !slices.Contains(routes, route) {
			t.Errorf("the matrix has %s, the API has no such route", route)
		}
	}
}

// TestMatrix calls every route on every object as every caller, in a gateway that demands
// keys and in one in the development profile.
func TestMatrix(t *testing.T) {
	tried := 0
	for profile, settings := range map[string][]string{"nobody": {"AMTP_AUTH_REQUIRED=true"}, "dev": nil} {
		s := &stage{world: start(t, settings...)}
		for _, route := range httpapi.Routes() {
			t.Run(profile+" "+route, func(t *testing.T) {
				s.t = t
				tried += s.route(route, profile)
			})
		}
		s.t = t
	}
	t.Logf("%d requests of %d routes", tried, len(matrix))
}

// stage is a world with the agents and objects of the matrix.
type stage struct {
	*world
	vars    map[string]string
	revoked string
	names   int
}

// set makes the agents and objects anew.
func (s *stage) set() {
	s.t.Helper()
	admin := "X-Admin-Key: " + s.admin
	for _, name := range []string{"alice", "bob", "eve", "hidden"} {
		s.do("DELETE", "/v1/admin/agents/"+name, "", admin)
		s.agent(name)
	}
	s.wants("hide", s.do("PATCH", "/v1/admin/agents/hidden", `{"listed":false}`, admin), 200, "")
	s.names++
	given := fmt.Sprintf("given-%d", s.names)
	sent := s.do("POST", "/v1/messages", `{"message_id":"`+given+
		`","sender":"alice@localhost","recipients":["bob@localhost"],"payload":"secret"}`, s.as("alice"))
	s.wants("send", sent, 202, "")
	issue := func() (secret, id string) {
		a := s.do("POST", "/v1/admin/agents/bob/keys", "", s.as("bob"))
		s.wants("issue", a, 201, "")
		return a.body["api_key"].(string), a.body["id"].(string)
	}
	ended, kid := issue()
	s.wants("revoke", s.do("DELETE", "/v1/admin/agents/bob/keys/"+kid, "", s.as("bob")), 200, "")
	_, kid = issue()
	s.revoked = ended
	s.vars = map[string]string{"given-{m}": given, "{m}": sent.body["message_id"].(string), "{kid}": kid,
		"{new}": fmt.Sprintf("new-%d", s.names)}
}

func (s *stage) fill(text string) string {
	text = strings.ReplaceAll(text, "given-{m}", s.vars["given-{m}"])
	for name, value := range s.vars {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

// route tries all cells of a route and returns how many requests it made.
func (s *stage) route(route, profile string) (tried int) {
	s.set()
	method, _, _ := strings.Cut(route, " ")
	heard := make(map[string]string) // by caller and object
	for _, x := range matrix[route] {
		want := strings.Fields(x.want)
		if len(want) != len(callers) {
			s.t.Fatalf("%s: the cell has %d outcomes for %d callers", x.object, len(want), len(callers))
		}
		for i, caller := range callers {
			if i < 2 && caller != profile {
				continue
			}
			a := s.do(method, s.fill(x.path), s.fill(x.body), s.key(caller))
			s.judge(caller+" on "+x.object, a, want[i], s.fill(x.sign))
			if method == "GET" && (x.path == "/health" || x.path == "/ready") {
				s.head(caller+" on "+x.object, a, s.do("HEAD", s.fill(x.path), "", s.key(caller)))
			}
			heard[caller+" on "+x.object] = s.plain(a, s.fill(x.path+" "+x.body))
			if a.status/100 == 2 && method != "GET" {
				s.set()
			}
			tried++
		}
		// for other routes see TestAnAdminKeyThatNobodyNeeds
		if t, has := httpapi.Tolerances[route]; !has || t > 0 && profile == "nobody" {
			tried += s.strangers(method, x)
		}
	}
	for _, x := range matrix[route] {
		for i, caller := range callers {
			own, other := heard[caller+" on "+x.object], heard[caller+" on "+x.absent]
			refused := own != "" && own[0] == '4' && other != "" && other[0] == '4' &&
				!strings.HasSuffix(strings.Fields(x.want)[i], "+")
			if x.absent != "" && refused && own != other {
				s.t.Errorf("%s gets for %s: %s\nand for %s: %s\nwant the same", caller, x.object, own, x.absent, other)
			}
		}
	}
	return tried
}

// head compares the answer to HEAD with that to GET: it has the same status and
// headers and no body. RFC 9110 §9.3.2.
func (s *stage) head(what string, get, head answer) {
	s.t.Helper()
	if head.status != get.status || head.raw != "" {
		s.t.Errorf("HEAD for %s: got %d with the body %q, want %d without one", what, head.status, head.raw, get.status)
	}
	for name := range get.header {
		if head.header.Get(name) == "" {
			s.t.Errorf("HEAD for %s: the answer has no header %s", what, name)
		}
	}
}

// key returns the header that a caller sends.
func (s *stage) key(caller string) string {
	switch caller {
	case "nobody", "dev":
		return "Accept: */*"
	case "admin":
		return "X-Admin-Key: " + s.admin
	}
	return s.as(caller)
}

// judge compares an answer with the word of the matrix.
func (s *stage) judge(what string, a answer, word, sign string) {
	s.t.Helper()
	want, known := outcomes[word]
	if !known {
		s.t.Fatalf("%s: the matrix has the unknown word %q", what, word)
	}
	got := strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.code()))
	if got != want {
		s.t.Errorf("%s: got %s, want %s: %s", what, got, want, a.raw)
	}
	if tells := sign != "" && strings.Contains(a.raw, sign); sign != "" && tells != strings.HasSuffix(word, "+") {
		s.t.Errorf("%s: the answer is about the object: %v, want %v: %s", what, tells, !tells, a.raw)
	}
}

var (
	varying = regexp.MustCompile(`"(timestamp|request_id|key_id)":"[^"]*"`)
	words   = regexp.MustCompile(`[A-Za-z0-9_-]*(@localhost)?`)
)

// plain is an answer without the parts that must differ: its time, its ids, and the words
// of the request.
func (s *stage) plain(a answer, request string) string {
	text := varying.ReplaceAllString(a.raw, "")
	for _, word := range words.FindAllString(request, -1) {
		if len(word) > 2 && !strings.Contains("address sender recipients inbox agents messages keys read localhost",
			word) {
			text = regexp.MustCompile(`\b`+regexp.QuoteMeta(word)+`\b`).ReplaceAllString(text, "*")
		}
	}
	return fmt.Sprintf("%d %s", a.status, text)
}

// strangers shows wrong keys. The answer never depends on the object of the request.
func (s *stage) strangers(method string, x cell) (tried int) {
	for _, c := range []struct{ header, want string }{
		{"Authorization: Bearer " + s.revoked, "401 AUTHENTICATION_FAILED"},
		{"X-API-Key: amtp_wrong", "401 AUTHENTICATION_FAILED"},
		{"X-Admin-Key: wrong", "403 ADMIN_ACCESS_DENIED"},
		{"X-Admin-Key: " + s.keys["eve"], "403 ADMIN_ACCESS_DENIED"},
	} {
		got := s.fromElsewhere(method, s.fill(x.path), s.fill(x.body), c.header)
		if got != c.want && (runtime.GOOS == "linux" || got != "429 RATE_LIMIT_EXCEEDED") {
			s.t.Errorf("%s with %.24q: got %s, want %s", x.object, c.header, got, c.want)
		}
		tried++
	}
	return tried
}

// guesses counts wrong keys, so that no address shows too many of them. Linux has a whole
// network of loopback addresses.
var guesses int

func (s *stage) fromElsewhere(method, path, body, header string) string {
	s.t.Helper()
	guesses++
	dialer := net.Dialer{}
	if runtime.GOOS == "linux" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(guesses>>11), byte(guesses>>3))}
	}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	name, value, _ := strings.Cut(header, ": ")
	r.Header.Set(name, value)
	r.Header.Set("Content-Type", "application/json")
	resp, err := transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	described(s.t, r, body, resp, text)
	return fmt.Sprintf("%d %s", resp.StatusCode, raw{body: text}.error(s.t).Code)
}

// TestDevelopmentProfileIsNarrow makes requests that come through a proxy, from a page in a
// browser, or under a foreign name. On every route that is not open to all, they count as
// requests without a key. Requests of programs on this machine get what the profile opens.
func TestDevelopmentProfileIsNarrow(t *testing.T) {
	slow.Test(t, "it asks every route as every caller")
	s := &stage{world: start(t)}
	s.set()
	foreign := []string{
		"Host: evil.test", "Host: localhost.evil.test", "Host: 127.0.0.1.evil.test:80", "Host: 192.168.1.7",
		"Host: localhost.", "Host: 0.0.0.0",
		"Host: 127.0.0.2", "Host: [::ffff:127.0.0.1]", "Host: 2130706433",
		"Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost",
		"X-Forwarded-Proto: http", "X-Forwarded-Anything: x",
		"Via: 1.1 proxy", "Origin: http://localhost:8080", "Origin: null", "Origin: file://",
		"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Cookie: a=b",
		"Referer: http://localhost:8080/",
		"Client-Ip: 1.2.3.4", "X-Client-Ip: 1.2.3.4", "X-Cluster-Client-Ip: 1.2.3.4", "X-Varnish: 1",
		"X-Amzn-Trace-Id: Root=1", "X-Azure-Clientip: 1.2.3.4",
		"Tailscale-User-Login: a@b.test", "Cf-Connecting-Ip: 1.2.3.4", "Cloudfront-Viewer-Address: 1.2.3.4:1",
		"X-Appengine-User-Ip: 1.2.3.4",
		"X-Cloud-Trace-Context: a/1", "Cdn-Loop: x", "X-Proxyuser-Ip: 1.2.3.4", "Proxy-Authorization: x",
		"X-Arr-Log-Id: x", "X-Scheme: https",
		"X-Remote-User: a", "X-Auth-Request-User: a", "X-Host: a", "Fastly-Client-Ip: 1.2.3.4",
		"X-Originating-Ip: 1.2.3.4", "X-Forward-For: 1.2.3.4",
		"Wl-Proxy-Client-Ip: 1.2.3.4", "X-Envoy-External-Address: 1.2.3.4", "Ngrok-Auth-User-Email: a@b.test",
	}
	home := []string{"Accept: */*", "Host: localhost", "Host: LOCALHOST:8080", "Host: 127.0.0.1", "Host: [::1]:8080",
		"Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors",
		"Accept-Language: *", "User-Agent: node", "X-Request-Id: 1",
		"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Cache-Control: no-cache",
		"X-Amtp-Version: 1.0", "Priority: u=1", "X-Agent-Id: 7", "Connection: close"}
	tried := 0
	for _, route := range httpapi.Routes() {
		method, _, _ := strings.Cut(route, " ")
		for _, x := range matrix[route] {
			want := strings.Fields(x.want)
			nobody, dev := want[0], want[1]
			if nobody == dev && nobody[:2] != "no" || nobody == "nodomain" {
				continue // open to all callers, or closed to all
			}
			for _, header := range foreign {
				want := nobody
				if strings.HasPrefix(header, "Host: ") && header != "Host: localhost." { // localhost is the domain
					want = "elsewhere"
				}
				s.judge(route+": "+x.object+" with "+header,
					s.do(method, s.fill(x.path), s.fill(x.body), header), want, "")
				tried++
			}
			for _, header := range home {
				s.judge(route+": "+x.object+" with "+header,
					s.do(method, s.fill(x.path), s.fill(x.body), header), dev, "")
				if strings.Contains(x.body, "{new}") {
					s.set()
				}
			}
		}
	}
	t.Logf("%d requests that must not pass", tried)
}

package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// event is what a stream says between two blank lines.
type event struct {
	kind, id, data string
	comment        bool
}

// following is a stream of events of an agent.
type following struct {
	t      *testing.T
	events <-chan event
	leave  func()
	proto  string
}

// follow opens a stream of an agent's inbox and reads it until the test ends or leave is
// called.
func (w *world) follow(name, query string, headers ...string) *following {
	w.t.Helper()
	ctx, leave := context.WithTimeout(w.t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/v1/inbox/"+name+"/events"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range append(headers, w.as(name)) {
		header, value, _ := strings.Cut(h, ": ")
		r.Header.Set(header, value)
	}
	transport := w.http
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("events of %s: got %d, %s; want 200 and a stream", name, resp.StatusCode,
			resp.Header.Get("Content-Type"))
	}
	found := make(chan event)
	go func() {
		defer resp.Body.Close()
		defer close(found)
		var e event
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.kind = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.comment = value != ""; e.comment {
					continue
				}
				select {
				case found <- e:
				case <-ctx.Done():
					return
				}
				e = event{}
			}
		}
	}()
	w.t.Cleanup(leave)
	return &following{w.t, found, leave, resp.Proto}
}

// next returns the next event; ok is false when the stream has ended.
func (f *following) next() (e event, ok bool) {
	f.t.Helper()
	select {
	case e, ok = <-f.events:
		return e, ok
	case <-time.After(patience):
		f.t.Fatal("no event came")
		return e, false
	}
}

// gets checks that the next events are these messages, and returns the last of them.
func (f *following) gets(ids ...string) (last event) {
	f.t.Helper()
	for _, id := range ids {
		for last.kind = ""; last.kind == ""; { // the beginning, and signs of life
			var ok bool
			if last, ok = f.next(); !ok {
				f.t.Fatalf("the stream ended, want message %s", id)
			}
		}
		var m struct {
			ID string `json:"message_id"`
		}
		if err := json.Unmarshal([]byte(last.data), &m); err != nil || last.kind != "message" || m.ID != id {
			f.t.Fatalf("got %+v (%v), want message %s", last, err, id)
		}
	}
	return last
}

// TestEventsOverHTTP2: the same over HTTP/2, several streams on one connection. A stream
// that is opened again begins behind the event that its client names.
func TestEventsOverHTTP2(t *testing.T) {
	w := startCertified(t).world
	transport := w.http.(*http.Transport)
	transport.ForceAttemptHTTP2, transport.MaxConnsPerHost = true, 1
	w.agent("alice")
	w.agent("bob")
	send := func(payload string) string {
		a := w.do("POST", "/v1/messages",
			`{"sender":"alice@shop.example","recipients":["bob@shop.example"],"payload":`+payload+`}`, w.as("alice"))
		w.wants("send", a, 202, "")
		return a.body["message_id"].(string)
	}
	first := send("1")
	lost, stays := w.follow("bob", ""), w.follow("bob", "?after=now")
	if lost.proto != "HTTP/2.0" || stays.proto != "HTTP/2.0" {
		t.Fatalf("the streams are %s and %s, want HTTP/2.0", lost.proto, stays.proto)
	}
	last := lost.gets(first)
	lost.leave()
	second := send("2")
	w.follow("bob", "", "Last-Event-ID: "+last.id).gets(second)
	stays.gets(second)
}

func TestEvents(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	first, second := w.send("alice", "bob", `{"a": "first"}`), w.send("alice", "bob", `{"a": "second"}`)
	all := w.follow("bob", "")
	begin, _ := all.next()
	if begin.id != "i0" || begin.kind != "" {
		t.Errorf("a stream begins with %+v, want the place i0", begin)
	}
	e := all.gets(first, second)
	if strings.Contains(e.data, "payload") || !strings.Contains(e.data, `"size":`) ||
		!strings.Contains(e.data, `"status":"unread"`) {
		t.Errorf("an event has %s, want the headers with the size", e.data)
	}
	_, page := w.inbox("bob", "?limit=1")
	cursor := page.body["next_cursor"].(string)
	fresh := w.follow("bob", "?after=now&fields=full")
	if begin, _ := fresh.next(); begin.id != e.id {
		t.Errorf("a stream of new messages begins at %s, want %s", begin.id, e.id)
	}
	third := w.send("alice", "bob", "{\n\"a\":\r\n\"third\"}")
	if e := fresh.gets(third); !strings.Contains(e.data, `"a":  "third"`) {
		t.Errorf("a whole message is %s, want its payload on one line", e.data)
	}
	all.gets(third)
	w.follow("bob", "?after="+cursor).gets(second, third)
	w.follow("bob", "?after=now", "Last-Event-ID: "+cursor).gets(second, third)
	w.wants("ack", w.do("DELETE", "/v1/inbox/bob@localhost/"+second, "", w.as("bob")), 200, "")
	w.follow("bob", "", "Last-Event-ID: "+cursor).gets(third)
}

// TestEventsThatAreWanted: a stream has the same conditions as the inbox, and passes what
// does not meet them.
func TestEventsThatAreWanted(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	asked := w.send("alice", "bob", `1`)
	for range 3 {
		w.send("carol", "alice", `1`)
	}
	answers := w.follow("alice", "?in_reply_to="+asked)
	from := w.follow("alice", "?from=bob@localhost&status=unread")
	thread := w.follow("alice", "?thread="+asked)
	answer := w.reply("bob", "alice", asked)
	answers.gets(answer)
	from.gets(answer)
	thread.gets(answer)
}

// reply sends an answer and returns its id.
func (w *world) reply(from, to, answers string) string {
	w.t.Helper()
	a := w.do("POST", "/v1/messages", `{"sender":"`+from+`@localhost","recipients":["`+to+
		`@localhost"],"payload":1,"in_reply_to":"`+answers+`"}`, w.as(from))
	w.wants("reply", a, 202, "")
	id, _ := a.body["message_id"].(string)
	return id
}

func TestEventsAreRefused(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	for query, want := range map[string]string{
		"?after=7": "400 INVALID_PARAMETER", "?after=m1": "400 INVALID_PARAMETER", "?fields=count": "400 INVALID_PARAMETER",
		"?in_reply_to=a%20b": "400 INVALID_PARAMETER", "?from=bob": "400 INVALID_PARAMETER",
		"?thread=%2F": "400 INVALID_PARAMETER", "?status=new": "400 INVALID_PARAMETER",
	} {
		a := w.do("GET", "/v1/inbox/alice@localhost/events"+query, "", w.as("alice"))
		if got := fmt.Sprintf("%d %s", a.status, a.code()); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	at := "/v1/inbox/alice@localhost/events"
	w.wants("a bad place", w.do("GET", at, "", w.as("alice"), "Last-Event-ID: nonsense"), 400, "INVALID_PARAMETER")
	w.wants("another's", w.do("GET", "/v1/inbox/bob@localhost/events", "", w.as("alice")), 403, "ACCESS_DENIED")
	w.wants("a key in the URL", w.do("GET", at+"?api_key="+w.keys["alice"], ""), 401, "MISSING_AUTHORIZATION")
	for method, allowed := range map[string]string{"POST": "GET", "PUT": "GET", "HEAD": "GET"} {
		a := w.do(method, at, "", w.as("alice"))
		if a.status != 405 || a.header.Get("Allow") != allowed {
			t.Errorf("%s: got %d, Allow %q; want 405, Allow %q", method, a.status, a.header.Get("Allow"), allowed)
		}
	}
}

// TestEventsEndWithTheKey: a stream whose key is revoked ends within seconds, and says why.
// So does one whose holder is waiting at the inbox.
func TestEventsEndWithTheKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	stream := w.follow("bob", "")
	stream.next()
	second := w.do("POST", "/v1/admin/agents/bob/keys", "", w.as("bob"))
	w.wants("issue", second, 201, "")
	ended := make(chan answer, 1)
	go func() { ended <- w.do("GET", "/v1/inbox/bob@localhost?wait=6s", "", w.as("bob")) }()
	for _, id := range w.keyIDs("bob") {
		if id != second.body["id"] {
			w.wants("revoke", w.do("DELETE", "/v1/admin/agents/bob/keys/"+id, "",
				"Authorization: Bearer "+second.body["api_key"].(string)), 200, "")
		}
	}
	e, _ := stream.next()
	var said struct{ Error struct{ Code string } }
	if err := json.Unmarshal([]byte(e.data), &said); err != nil || e.kind != "error" ||
		said.Error.Code != "AUTHENTICATION_FAILED" {
		t.Errorf("the stream ended with %+v, want the error AUTHENTICATION_FAILED", e)
	}
	if e, more := stream.next(); more {
		t.Errorf("after the error came %+v, want the end", e)
	}
	w.wants("a wait whose key ended", <-ended, 401, "AUTHENTICATION_FAILED")
}

// keyIDs returns the ids of an agent's keys.
func (w *world) keyIDs(name string) (ids []string) {
	w.t.Helper()
	a := w.do("GET", "/v1/admin/agents/"+name+"/keys", "", "X-Admin-Key: "+w.admin)
	for _, k := range a.body["keys"].([]any) {
		ids = append(ids, k.(map[string]any)["id"].(string))
	}
	return ids
}

// TestEventsSayThatTheyLive: a stream in which nothing happens has a sign of life, with the
// place that was reached. A client that comes back there does not pass the same messages.
func TestEventsSayThatTheyLive(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	stream := w.follow("bob", "?from=carol@localhost")
	begin, _ := stream.next()
	w.send("alice", "bob", `1`)
	_, page := w.inbox("bob", "")
	if e, ok := stream.next(); !ok || e.kind != "" || e.id != page.body["next_cursor"] || begin.id != "i0" {
		t.Errorf("began at %s, then %+v; want a sign of life at %v", begin.id, e, page.body["next_cursor"])
	}
}

// TestInboxAnswers: the wait for an answer passes what is no answer, and finds one that is
// there already.
func TestInboxAnswers(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	asked := w.send("alice", "bob", `1`)
	for range 5 {
		w.send("bob", "alice", `1`)
	}
	if ids, _ := w.inbox("alice", "?in_reply_to="+asked+"&wait=10ms"); len(ids) != 0 {
		t.Errorf("no answer was sent: got %v", ids)
	}
	arrived := make(chan answer, 1)
	go func() {
		arrived <- w.do("GET", "/v1/inbox/alice@localhost?in_reply_to="+asked+"&wait=30s", "", w.as("alice"))
	}()
	w.send("bob", "alice", `1`)
	answer := w.reply("bob", "alice", asked)
	select {
	case a := <-arrived:
		if !strings.Contains(a.raw, answer) || a.body["count"] != 1.0 {
			t.Errorf("the wait ended with %s, want the answer %s alone", a.raw, answer)
		}
	case <-time.After(patience):
		t.Fatal("the answer came and the wait did not end")
	}
	for query, want := range map[string][]string{
		"?in_reply_to=" + asked + "&wait=30s": {answer}, "?from=bob@localhost&thread=" + asked: {answer},
		"?from=alice@localhost": nil, "?in_reply_to=nothing": nil,
	} {
		if ids, _ := w.inbox("alice", query); !slices.Equal(ids, want) {
			t.Errorf("%s: got %v, want %v", query, ids, want)
		}
	}
}

// TestInboxFields: the headers have no payload and a size; the count agrees with the list
// and with whoami.
func TestInboxFields(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	body := `{"sender":"alice@localhost","recipients":["bob@localhost"],"Payload":2,"subject":"s","payload":"secret"}`
	w.wants("send", w.do("POST", "/v1/messages", body, w.as("alice")), 202, "")
	read := w.send("alice", "bob", `1`)
	w.wants("read", w.do("POST", "/v1/inbox/bob@localhost/"+read+"/read", "", w.as("bob")), 200, "")
	_, page := w.inbox("bob", "?fields=headers")
	first := page.body["messages"].([]any)[0].(map[string]any)
	if strings.Contains(page.raw, "secret") || first["size"] != float64(len(body)) || first["subject"] != "s" {
		t.Errorf("headers: got %s, want no payload and the size %d", page.raw, len(body))
	}
	if _, page := w.inbox("bob", "?fields=full"); !strings.Contains(page.raw, "secret") {
		t.Errorf("full: got %s, want the payload", page.raw)
	}
	_, count := w.inbox("bob", "?fields=count")
	who := w.do("GET", "/v1/whoami", "", w.as("bob"))
	for name, want := range map[string]any{"unread": 1.0, "pending": 2.0, "recipient": "bob@localhost",
		"has_more": true, "next_cursor": "i0"} {
		if count.body[name] != want || who.body[name] != nil && who.body[name] != want {
			t.Errorf("count: %s is %v, and for whoami %v; want %v", name, count.body[name], who.body[name], want)
		}
	}
	for _, query := range []string{"?fields=count&limit=1", "?fields=count&from=a@b.example", "?fields=all"} {
		w.wants(query, w.do("GET", "/v1/inbox/bob@localhost"+query, "", w.as("bob")), 400, "INVALID_PARAMETER")
	}
}

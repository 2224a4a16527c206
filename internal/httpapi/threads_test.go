package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// answer sends a message that answers another, and returns its id.
func (w *world) answer(from, to, id string) string {
	w.t.Helper()
	a := w.do("POST", "/v1/messages", fmt.Sprintf(`{"sender":"%s@localhost","recipients":["%s@localhost"],`+
		`"in_reply_to":"%s","subject":"Re: it","payload":"%[1]s's answer"}`, from, to, id), w.as(from))
	w.wants("an answer", a, 202, "")
	return a.body["message_id"].(string)
}

func TestThread(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol", "eve"} {
		w.agent(name)
	}
	first := w.send("alice", "bob", `"the question"`)
	w.send("alice", "bob", `"something else"`)
	second := w.answer("bob", "alice", first)
	third := w.answer("alice", "bob", second)
	w.wants("ack", w.do("DELETE", "/v1/inbox/bob@localhost/"+first, "", w.as("bob")), 200, "")
	messages := func(a answer) []string { return names(a.body["messages"], "message_id") }
	for _, who := range []string{"alice", "bob"} {
		for _, id := range []string{first, second, third} {
			got := w.walk("/v1/threads/"+id+"?limit=2", w.as(who), messages)
			if !slices.Equal(got, []string{first, second, third}) {
				t.Errorf("the thread of %s for %s: got %v, want %v", id, who, got, []string{first, second, third})
			}
		}
	}
	a := w.do("GET", "/v1/threads/"+third, "", w.as("alice"))
	if a.body["thread_id"] != first || a.body["count"] != 3.0 || a.body["next_cursor"] == "" ||
		!strings.Contains(a.raw, "the question") || !strings.Contains(a.raw, `"acknowledged":true`) {
		t.Errorf("the thread: got %s", a.raw)
	}
	next := w.do("GET", "/v1/threads/"+third+"?after="+a.body["next_cursor"].(string), "", w.as("alice"))
	if next.body["count"] != 0.0 || next.body["next_cursor"] != a.body["next_cursor"] {
		t.Errorf("behind the end: got %s, want an empty page with the same cursor", next.raw)
	}
	for _, id := range []string{first, second, "nothing", "a%20b"} {
		w.wants("a stranger's thread", w.do("GET", "/v1/threads/"+id, "", w.as("eve")), 404, "MESSAGE_NOT_FOUND")
	}
	w.wants("another list's cursor", w.do("GET", "/v1/threads/"+first+"?cursor=i1", "", w.as("bob")), 400,
		"INVALID_PARAMETER")
	w.wants("a limit", w.do("GET", "/v1/threads/"+first+"?limit=0", "", w.as("bob")), 400, "INVALID_LIMIT")
}

// TestThreadConcealsMarks: a recipient does not see in a thread what the others did with
// the message, and the sender does.
func TestThreadConcealsMarks(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	sent := w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","recipients":["bob@localhost","carol@localhost"],"payload":1}`, w.as("alice"))
	id := sent.body["message_id"].(string)
	w.wants("ack", w.do("DELETE", "/v1/inbox/carol@localhost/"+id, "", w.as("carol")), 200, "")
	for who, sees := range map[string]bool{"alice": true, "bob": false, "carol": true} {
		a := w.do("GET", "/v1/threads/"+id, "", w.as(who))
		w.wants("the thread", a, 200, "")
		if strings.Contains(a.raw, `"acknowledged":true`) != sees {
			t.Errorf("%s sees that carol is done with it: %v, want %v: %s", who, !sees, sees, a.raw)
		}
	}
}

func TestThreads(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	var first []string
	for i := range 4 {
		first = append(first, w.send("alice", "bob", fmt.Sprint(i)))
	}
	last := w.answer("bob", "alice", first[1])
	want := []string{first[1], first[3], first[2], first[0]}
	threads := func(a answer) []string { return names(a.body["threads"], "thread_id") }
	for _, who := range []string{"alice", "bob"} {
		if got := w.walk("/v1/threads?limit=2", w.as(who), threads); !slices.Equal(got, want) {
			t.Errorf("the threads of %s: got %v, want %v", who, got, want)
		}
	}
	a := w.do("GET", "/v1/threads?limit=1", "", w.as("alice"))
	thread := a.body["threads"].([]any)[0].(map[string]any)
	newest := thread["last_message"].(map[string]any)
	if thread["message_count"] != 2.0 || thread["unread"] != 1.0 || thread["count_capped"] != nil ||
		newest["message_id"] != last || newest["sender"] != "bob@localhost" || newest["trust"] != "local" {
		t.Errorf("the newest thread: got %s", a.raw)
	}
	w.wants("a large limit", w.do("GET", "/v1/threads?limit=201", "", w.as("alice")), 400, "INVALID_LIMIT")
	w.wants("another list's cursor", w.do("GET", "/v1/threads?cursor=m1", "", w.as("alice")), 400, "INVALID_PARAMETER")
}

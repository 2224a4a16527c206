package httpapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLabels: labels are shown in every view of the mailbox, choose messages, and are
// never seen by the other side.
func TestLabels(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	first, second := w.send("alice", "bob", `1`), w.send("alice", "bob", `2`)
	label := func(who, id, body string) answer {
		return w.do("POST", "/v1/messages/"+id+"/labels", body, w.as(who))
	}
	a := label("bob", first, `{"add":["To-Do","a/b"]}`)
	w.wants("labels", a, 200, "")
	if a.raw != `{"message_id":"`+first+`","labels":["a/b","to-do"]}` {
		t.Errorf("the labels: got %s", a.raw)
	}
	const shown = `"labels":["a/b","to-do"]`
	for _, path := range []string{"/v1/inbox/bob@localhost", "/v1/messages/" + first, "/v1/messages",
		"/v1/threads/" + first} {
		if a := w.do("GET", path, "", w.as("bob")); strings.Count(a.raw, shown) != 1 {
			t.Errorf("%s: got %s, want %s once", path, a.raw, shown)
		}
		if a := w.do("GET", strings.Replace(path, "bob", "alice", 1), "",
			w.as("alice")); strings.Contains(a.raw, "labels") {
			t.Errorf("%s shows them to the sender: %s", path, a.raw)
		}
	}
	for _, query := range []string{"?label=to-do", "?label=TO-DO&limit=1"} {
		if ids, _ := w.inbox("bob", query); !slices.Equal(ids, []string{first}) {
			t.Errorf("the inbox%s: got %v, want %s", query, ids, first)
		}
		a := w.do("GET", "/v1/messages"+query, "", w.as("bob"))
		if got := names(a.body["messages"], "message_id"); !slices.Equal(got, []string{first}) {
			t.Errorf("the messages%s: got %v, want %s", query, got, first)
		}
	}
	a = label("bob", first, `{"remove":["to-do","A/B"]}`)
	if a.raw != `{"message_id":"`+first+`","labels":[]}` {
		t.Errorf("the labels after their removal: got %s", a.raw)
	}
	var many []string
	for i := range 33 {
		many = append(many, strconv.Quote(fmt.Sprintf("l%d", i)))
	}
	w.wants("too many", label("bob", second, `{"add":[`+strings.Join(many, ",")+`]}`), 409, "CONFLICT")
	w.wants("the most", label("bob", second, `{"add":[`+strings.Join(many[1:], ",")+`]}`), 200, "")
	for _, body := range []string{`{"add":["a b"]}`, `{"add":[""]}`, `{"remove":["ä"]}`, `{"add":"x"}`, `[]`,
		`{"add":["` + strings.Repeat("a", 65) + `"]}`, `{"add":[` + strings.Repeat(`"a",`, 64) + `"a"]}`} {
		w.wants("the body "+body, label("bob", first, body), 400, "INVALID_REQUEST_FORMAT")
	}
	w.wants("a bad filter", w.do("GET", "/v1/messages?label=a%20b", "", w.as("bob")), 400, "INVALID_PARAMETER")
	w.wants("no message", label("bob", "nothing", `{}`), 404, "MESSAGE_NOT_FOUND")
}

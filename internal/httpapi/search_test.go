package httpapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// indexed waits until all messages of an agent are in the search index.
func (w *world) indexed(who string) {
	w.t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		a := w.do("GET", "/v1/search?q=a", "", w.as(who))
		if a.status == 200 && a.body["behind"] == 0.0 {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			w.t.Fatalf("messages of %s never reach the search index: %d %s", who, a.status, a.raw)
		}
	}
}

// found returns the ids of the messages that an agent finds.
func (w *world) found(who, query string) []string {
	w.t.Helper()
	return w.walk("/v1/search?"+query, w.as(who), func(a answer) []string { return names(a.body["messages"], "message_id") })
}

func TestSearch(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "eve"} {
		w.agent(name)
	}
	first := w.send("alice", "bob", `{"text":"the copper kettle"}`)
	second := w.send("bob", "alice", `{"text":"which kettle?"}`)
	w.wants("ack", w.do("DELETE", "/v1/inbox/bob@localhost/"+first, "", w.as("bob")), 200, "")
	w.indexed("alice")
	for _, c := range []struct {
		who, query string
		want       []string
	}{
		{"alice", "q=kettle", []string{second, first}},
		{"alice", "q=kettle&limit=1", []string{second, first}},
		{"bob", "q=copper+kett*", []string{first}},
		{"bob", "q=kettle&from=bob@localhost", []string{second}},
		{"bob", "q=kettle&from=alice@localhost&thread=" + first, []string{first}},
		{"bob", "q=kettle&since=2099-01-01T00:00:00Z", nil},
		{"bob", "q=kettle&schema=agntcy:commerce.*", nil},
		{"eve", "q=kettle", nil},
	} {
		if got := w.found(c.who, c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s finds %v with %s, want %v", c.who, got, c.query, c.want)
		}
	}
	a := w.do("GET", "/v1/search?q=copper", "", w.as("alice"))
	for _, part := range []string{`"sent":true`, `"snippet":"the copper kettle"`, `"count":1`, `"behind":0`,
		`"recipients":["bob@localhost"]`, `"thread_id":"` + first + `"`} {
		if !strings.Contains(a.raw, part) {
			t.Errorf("the answer has no %s: %s", part, a.raw)
		}
	}
}

// TestSearchRefuses: a search that has no meaning is refused with its reason, and any other
// text is only words.
func TestSearchRefuses(t *testing.T) {
	w := start(t)
	w.agent("alice")
	for _, q := range []string{"", "...", `""`, "*", strings.Repeat("a", 257), strings.Repeat("a ", 17), "a\x00b",
		"a*", `"annual r"*`, "ä*", "aa* bb* cc*"} {
		a := w.do("GET", "/v1/search?q="+url.QueryEscape(q), "", w.as("alice"))
		w.wants(fmt.Sprintf("a search for %.20q", q), a, 400, "INVALID_PARAMETER")
	}
	for _, parameter := range []string{"schema=*", "thread=a%20b", "from=@", "cursor=i1"} {
		w.wants(parameter, w.do("GET", "/v1/search?q=a&"+parameter, "", w.as("alice")), 400, "INVALID_PARAMETER")
	}
	for _, q := range []string{`"`, `a" OR "b`, "a AND", "NOT a", "a:b", "{a} : b", "a & ! b", "(a", "a <-> ", `\a`, "'a", "^ab*", "東*", "a NEAR/2 b"} {
		a := w.do("GET", "/v1/search?q=x+"+url.QueryEscape(q), "", w.as("alice"))
		w.wants(fmt.Sprintf("a search for %q", q), a, 200, "")
	}
}

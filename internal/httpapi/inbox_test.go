package httpapi_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestInboxPages(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	var sent []string
	for i := range 5 {
		sent = append(sent, w.send("alice", "bob", fmt.Sprint(i)))
	}
	var got []string
	query := "?limit=2"
	for range 3 {
		ids, page := w.inbox("bob", query)
		got = append(got, ids...)
		// An ack between pages must not make the next page skip a message.
		w.wants("ack", w.do("DELETE", "/v1/inbox/bob@localhost/"+ids[0], "", w.as("bob")), 200, "")
		query = "?limit=2&after=" + page.body["next_cursor"].(string)
		if more := page.body["has_more"].(bool); more != (len(got) < 5) {
			t.Errorf("has_more after %d of 5: got %v", len(got), more)
		}
	}
	if !slices.Equal(got, sent) {
		t.Errorf("pages: got %v, want %v", got, sent)
	}
	ids, page := w.inbox("bob", query)
	if len(ids) != 0 || page.body["next_cursor"] == "" || page.body["count"] != 0.0 ||
		page.body["message_count"] != 0.0 {
		t.Errorf("after the end: got %s, want an empty page with a cursor", page.raw)
	}
	if ids, _ := w.inbox("bob", "?offset=1&limit=10"); !slices.Equal(ids, []string{sent[3]}) {
		t.Errorf("offset: got %v, want %v", ids, sent[3])
	}
}

func TestInboxReadMarks(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	first, second := w.send("alice", "bob", `1`), w.send("alice", "bob", `2`)
	if _, page := w.inbox("bob", ""); strings.Count(page.raw, `"status":"unread"`) != 2 {
		t.Errorf("reading the inbox marked something: %s", page.raw)
	}
	a := w.do("POST", "/v1/inbox/bob@localhost/"+first+"/read", "", w.as("bob"))
	w.wants("read", a, 200, "")
	again := w.do("POST", "/v1/inbox/bob@localhost/"+first+"/read", "", w.as("bob"))
	if a.body["timestamp"] != again.body["timestamp"] {
		t.Errorf("second mark: got %v, want the first time %v", again.body["timestamp"], a.body["timestamp"])
	}
	if ids, _ := w.inbox("bob", "?status=read"); !slices.Equal(ids, []string{first}) {
		t.Errorf("status=read: got %v, want %v", ids, first)
	}
	if ids, _ := w.inbox("bob", "?status=unread"); !slices.Equal(ids, []string{second}) {
		t.Errorf("status=unread: got %v, want %v", ids, second)
	}
	if ids, _ := w.inbox("bob", "?since=2030-01-01T00:00:00Z"); len(ids) != 0 {
		t.Errorf("since the future: got %v, want none", ids)
	}
}

func TestAcknowledge(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	id := w.send("alice", "bob", `1`)
	path := "/v1/inbox/bob%40localhost/" + id
	w.wants("a stranger's ack", w.do("DELETE", path, "", w.as("alice")), 403, "ACCESS_DENIED")
	w.wants("ack without a key", w.do("DELETE", path, ""), 401, "MISSING_AUTHORIZATION")
	first := w.do("DELETE", path, "", w.as("bob"))
	again := w.do("DELETE", path, "", w.as("bob"))
	for name, a := range map[string]answer{"first": first, "again": again} {
		w.wants(name, a, 200, "")
		if a.body["status"] != "acknowledged" || a.body["message_id"] != id || a.body["recipient"] != "bob@localhost" ||
			a.body["timestamp"] != first.body["timestamp"] {
			t.Errorf("%s: got %s", name, a.raw)
		}
	}
	if ids, _ := w.inbox("bob", ""); len(ids) != 0 {
		t.Errorf("after the ack: got %v, want an empty inbox", ids)
	}
	for _, absent := range []string{"nonsense", "a%2Fb%20c", "01a204dc-8339-7ac7-ac52-c37b55304ca1",
		w.send("bob", "alice", `1`)} {
		w.wants("ack of "+absent, w.do("DELETE", "/v1/inbox/bob@localhost/"+absent, "", w.as("bob")), 404,
			"MESSAGE_NOT_FOUND")
	}
}

// TestAcknowledgeAll: a request acknowledges many messages, and tells what became of
// each.
func TestAcknowledgeAll(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	var sent, quoted []string
	for i := range 70 { // more than wait for the store at once
		sent = append(sent, w.send("alice", "bob", fmt.Sprint(i)))
		quoted = append(quoted, strconv.Quote(sent[i]))
	}
	ack := func(ids ...string) answer {
		return w.do("POST", "/v1/inbox/bob@localhost/ack", `{"ids":[`+strings.Join(ids, ",")+`]}`, w.as("bob"))
	}
	others := w.send("bob", "alice", `1`)
	a := ack(append([]string{`"nonsense"`, `""`, strconv.Quote(others)}, quoted...)...)
	w.wants("acks", a, 200, "")
	results := a.body["results"].([]any)
	if a.body["acknowledged"] != 70.0 || a.body["failed"] != 3.0 || len(results) != 73 {
		t.Fatalf("the answer to 73 ids: got %s", a.raw)
	}
	for i, r := range results {
		r := r.(map[string]any)
		if i < 3 {
			if problem, is := r["error"].(map[string]any); !is || problem["code"] != "MESSAGE_NOT_FOUND" ||
				problem["message"] == "" || r["status"] != nil || r["timestamp"] != nil {
				t.Errorf("result %d of no message: got %v", i, r)
			}
			continue
		}
		if r["message_id"] != sent[i-3] || r["status"] != "acknowledged" || r["timestamp"] == nil || r["error"] != nil {
			t.Errorf("result %d: got %v, want %s acknowledged", i, r, sent[i-3])
		}
	}
	if ids, _ := w.inbox("bob", ""); len(ids) != 0 {
		t.Errorf("after the acks: got %v, want an empty inbox", ids)
	}
	again := ack(quoted[0], quoted[0])
	w.wants("again", again, 200, "")
	if again.body["acknowledged"] != 2.0 ||
		again.body["results"].([]any)[1].(map[string]any)["timestamp"] != results[3].(map[string]any)["timestamp"] {
		t.Errorf("again: got %s, want the first time %v", again.raw, results[3])
	}
	none := ack(`"nonsense"`)
	w.wants("nothing to acknowledge", none, 200, "")
	if none.body["failed"] != 1.0 {
		t.Errorf("nothing to acknowledge: got %s", none.raw)
	}
	many := slices.Repeat(quoted[:1], 501)
	w.wants("no ids", ack(), 400, "INVALID_REQUEST_FORMAT")
	w.wants("too many ids", ack(many...), 400, "INVALID_REQUEST_FORMAT")
	w.wants("the most ids", ack(many[1:]...), 200, "")
	w.wants("a number", ack("7"), 400, "INVALID_REQUEST_FORMAT")
}

// TestAcknowledgeAllUnderLeases: each message is told what became of it and of its lease.
func TestAcknowledgeAllUnderLeases(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	var ids []string
	var tokens []string
	for i := range 3 {
		ids = append(ids, w.send("alice", "bob", fmt.Sprint(i)))
	}
	claimed := w.do("POST", "/v1/inbox/bob@localhost/claim", `{"max":3}`, w.as("bob"))
	w.wants("claim", claimed, 200, "")
	for _, m := range claimed.body["messages"].([]any) {
		tokens = append(tokens, m.(map[string]any)["lease"].(map[string]any)["token"].(string))
	}
	w.wants("nack", w.do("POST", "/v1/inbox/bob@localhost/"+ids[1]+"/nack", fmt.Sprintf(`{"lease":%q}`, tokens[1]),
		w.as("bob")), 200, "")
	ack := func(leases string) answer {
		return w.do("POST", "/v1/inbox/bob@localhost/ack",
			fmt.Sprintf(`{"ids":[%q,%q,%q],"leases":%s}`, ids[0], ids[1], ids[2], leases), w.as("bob"))
	}
	a := ack(fmt.Sprintf(`{%q:%q,%q:%q,%q:"no token"}`, ids[0], tokens[0], ids[1], tokens[1], ids[2]))
	w.wants("acks", a, 200, "")
	var told []string
	for _, r := range a.body["results"].([]any) {
		result := r.(map[string]any)
		if problem, is := result["error"].(map[string]any); is {
			told = append(told, problem["code"].(string))
		} else {
			told = append(told, result["status"].(string))
		}
	}
	if want := []string{"acknowledged", "LEASE_LOST", "INVALID_REQUEST_FORMAT"}; !slices.Equal(told, want) {
		t.Errorf("acknowledged under leases: got %v, want %v", told, want)
	}
	if left, _ := w.inbox("bob", ""); !slices.Equal(left, ids[1:]) {
		t.Errorf("the inbox has %v, want %v", left, ids[1:])
	}
	w.wants("a lease on another message", ack(`{"m":"4f2a9c0de81b7d35"}`), 400, "INVALID_REQUEST_FORMAT")
	w.wants("a list of leases", ack(`["4f2a9c0de81b7d35"]`), 400, "INVALID_REQUEST_FORMAT")
}

// TestInboxIsPrivate: an agent cannot find out whether another inbox exists.
func TestInboxIsPrivate(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	for _, other := range []string{"bob@localhost", "ghost@localhost", "bob@other.test", "nonsense", "%20"} {
		a := w.do("GET", "/v1/inbox/"+other, "", w.as("alice"))
		w.wants("inbox "+other, a, 403, "ACCESS_DENIED")
		if strings.Contains(a.raw, "bob") || strings.Contains(a.raw, "ghost") {
			t.Errorf("inbox %s: the answer mentions the other inbox: %s", other, a.raw)
		}
	}
	w.wants("without a key", w.do("GET", "/v1/inbox/alice@localhost", ""), 401, "MISSING_AUTHORIZATION")
	w.wants("with the admin key", w.do("GET", "/v1/inbox/alice@localhost", "", "X-Admin-Key: "+w.admin), 403,
		"ACCESS_DENIED")
	w.wants("in other letters", w.do("GET", "/v1/inbox/ALICE@Localhost", "", w.as("alice")), 200, "")
	w.wants("through X-API-Key", w.do("GET", "/v1/inbox/alice@localhost", "", "X-API-Key: "+w.keys["alice"]), 200, "")
	w.wants("in lower case", w.do("GET", "//v1/inbox/alice@localhost", "",
		"Authorization: bearer "+w.keys["alice"]), 200, "")
	w.wants("a bad cursor", w.do("GET", "/v1/inbox/alice@localhost?after=7", "", w.as("alice")), 400,
		"INVALID_PARAMETER")
	w.wants("a long wait", w.do("GET", "/v1/inbox/alice@localhost?wait=31", "", w.as("alice")), 400,
		"INVALID_PARAMETER")
}

func TestInboxWaits(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	arrived := make(chan answer, 1)
	go func() { arrived <- w.do("GET", "/v1/inbox/bob@localhost?wait=20", "", w.as("bob")) }()
	id := w.send("alice", "bob", `1`)
	select {
	case a := <-arrived:
		if !strings.Contains(a.raw, id) {
			t.Errorf("the wait ended with %s, want message %s", a.raw, id)
		}
	case <-time.After(patience):
		t.Error("a message arrived and the wait did not end")
	}
	if ids, _ := w.inbox("alice", "?wait=1ms"); len(ids) != 0 {
		t.Errorf("a wait for nothing: got %v", ids)
	}
}

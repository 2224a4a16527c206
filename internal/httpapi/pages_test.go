package httpapi_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// walk reads a list to its end and returns the results of take for all pages.
func (w *world) walk(path, header string, take func(answer) []string) (all []string) {
	w.t.Helper()
	for cursor, pages := "", 0; pages < 100; pages++ {
		a := w.do("GET", path+cursor, "", header)
		w.wants(path+cursor, a, 200, "")
		all = append(all, take(a)...)
		if a.body["has_more"] != true {
			if next, there := a.body["next_cursor"]; there && pages == 0 && a.body["agents"] != nil {
				w.t.Errorf("%s: the last page has the cursor %v", path, next)
			}
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(a.body["next_cursor"].(string))
	}
	w.t.Fatalf("%s does not end", path)
	return nil
}

func names(list any, member string) (found []string) {
	for _, item := range list.([]any) {
		found = append(found, item.(map[string]any)[member].(string))
	}
	return found
}

// TestListsGoOn: the pages of every list go on at a cursor, and show each entry once.
func TestListsGoOn(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	var sent []string
	for i := range 7 {
		sent = append(sent, w.send("alice", "bob", fmt.Sprint(i)))
	}
	newest := slices.Clone(sent)
	slices.Reverse(newest)
	messages := func(a answer) []string { return names(a.body["messages"], "message_id") }
	for _, c := range []struct {
		path, header string
		want         []string
	}{
		{"/v1/messages?limit=2", w.as("alice"), newest},
		{"/v1/messages?limit=3&sent=true&recipient=bob@localhost", w.as("alice"), newest},
		{"/v1/messages?limit=3&status=delivered", "X-Admin-Key: " + w.admin, newest},
		{"/v1/inbox/bob@localhost?limit=2", w.as("bob"), sent},
	} {
		if got := w.walk(c.path, c.header, messages); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.path, got, c.want)
		}
	}
	first := w.do("GET", "/v1/messages?limit=2", "", w.as("alice"))
	if first.body["total"] != 7.0 || first.body["limit"] != 2.0 || first.body["offset"] != 0.0 ||
		first.body["total_capped"] != nil {
		t.Errorf("the first page is %s", first.raw)
	}
	for query, code := range map[string]string{
		"cursor=nonsense": "INVALID_PARAMETER", "cursor=m1&after=m1": "INVALID_PARAMETER",
		"cursor=m1&offset=3": "INVALID_OFFSET", "limit=0": "INVALID_LIMIT",
	} {
		w.wants(query, w.do("GET", "/v1/messages?"+query, "", w.as("alice")), 400, code)
	}
	for path, cursor := range map[string]string{"/v1/admin/queue": "q1", "/v1/admin/dead-letters": "d1"} {
		for _, name := range []string{"cursor", "after"} {
			w.wants(path, w.do("GET", path+"?"+name+"="+cursor, "", "X-Admin-Key: "+w.admin), 200, "")
		}
	}
}

// TestCursorsOfOtherLists: a cursor is valid in the list that gave it, and in no other list.
func TestCursorsOfOtherLists(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	for i := range 2 {
		w.send("alice", "bob", fmt.Sprint(i))
	}
	admin := "X-Admin-Key: " + w.admin
	lists := map[string]string{ // path → the header of a caller who may read the list
		"/v1/messages": w.as("alice"), "/v1/inbox/bob@localhost": w.as("bob"), "/v1/discovery/agents": w.as("alice"),
		"/v1/admin/agents": admin, "/v1/admin/queue": admin, "/v1/admin/dead-letters": admin,
	}
	for from, header := range lists {
		first := w.do("GET", from+"?limit=1", "", header)
		cursor, _ := first.body["next_cursor"].(string)
		if cursor == "" {
			t.Errorf("%s has no cursor: %s", from, first.raw)
			continue
		}
		for to, header := range lists {
			status, code := 400, "INVALID_PARAMETER"
			if to == from {
				status, code = 200, ""
			}
			w.wants("the cursor "+cursor+" of "+from+" at "+to,
				w.do("GET", to+"?cursor="+url.QueryEscape(cursor), "", header), status, code)
		}
	}
}

// TestCursorsHideUnlisted: no cursor of a stranger's pages names an agent that is not
// listed, whatever its place among the others.
func TestCursorsHideUnlisted(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		w.agent(name)
	}
	for _, hidden := range []string{"bob", "dave"} {
		w.wants("unlisted", w.do("PATCH", "/v1/admin/agents/"+hidden, `{"listed":false}`, w.as(hidden)), 200, "")
	}
	path := "/v1/discovery/agents?limit=1"
	for range 3 {
		a := w.do("GET", path, "", "Accept: */*")
		cursor, _ := a.body["next_cursor"].(string)
		if cursor == "" {
			return
		}
		key, err := base64.RawURLEncoding.DecodeString(cursor[1:])
		if err != nil || strings.Contains(string(key), "bob") || strings.Contains(string(key), "dave") {
			t.Fatalf("%s: the cursor names %q, %v; want no agent that is not listed", path, key, err)
		}
		path = "/v1/discovery/agents?limit=1&cursor=" + cursor
	}
	t.Error("the list does not end")
}

// TestAgentsGoOn: lists of agents have pages, and each page has the count of all agents.
func TestAgentsGoOn(t *testing.T) {
	w := start(t)
	var all []string
	for _, name := range []string{"dave", "alice", "erin", "bob", "carol"} {
		w.agent(name)
		all = append(all, name+"@localhost")
	}
	slices.Sort(all)
	w.wants("unlisted", w.do("PATCH", "/v1/admin/agents/erin", `{"listed":false}`, w.as("erin")), 200, "")
	admin := "X-Admin-Key: " + w.admin
	count := func(member string, want float64) func(a answer) {
		return func(a answer) {
			if a.body[member] != want {
				t.Errorf("%s is %v, want %v", member, a.body[member], want)
			}
		}
	}
	listed := func(want float64) func(answer) []string {
		return func(a answer) []string {
			count("agent_count", want)(a)
			return names(a.body["agents"], "address")
		}
	}
	for limit := 1; limit < 7; limit++ {
		path := fmt.Sprintf("/v1/discovery/agents?limit=%d", limit)
		if got := w.walk(path, "Accept: */*", listed(4)); !slices.Equal(got, all[:4]) {
			t.Errorf("%s: got %v, want %v", path, got, all[:4])
		}
		if got := w.walk(path, w.as("erin"), listed(5)); !slices.Equal(got, all) {
			t.Errorf("%s for the unlisted one: got %v, want %v", path, got, all)
		}
		path = fmt.Sprintf("/v1/admin/agents?limit=%d", limit)
		got := w.walk(path, admin, func(a answer) []string {
			count("count", 5)(a)
			return slices.Sorted(maps.Keys(a.body["agents"].(map[string]any)))
		})
		if !slices.Equal(got, all) {
			t.Errorf("%s: got %v, want %v", path, got, all)
		}
	}
	for path, want := range map[string]int{
		"/v1/discovery/agents?address=bob@localhost": 1, "/v1/discovery/agents?address=erin@localhost": 0,
		"/v1/discovery/agents?address=nobody":               0,
		"/v1/discovery/agents?address=bob@localhost&role=x": 0, "/v1/discovery/agents?role=x": 0,
		"/v1/discovery/agents?delivery_mode=pull": 4,
	} {
		a := w.do("GET", path, "", "Accept: */*")
		if n := len(a.body["agents"].([]any)); n != want || a.body["agent_count"] != float64(want) ||
			a.body["has_more"] != false {
			t.Errorf("%s: %s, want %d agents", path, a.raw, want)
		}
	}
	for _, query := range []string{"limit=1001", "limit=x"} {
		w.wants(query, w.do("GET", "/v1/discovery/agents?"+query, "", "Accept: */*"), 400, "INVALID_LIMIT")
	}
	for _, cursor := range []string{"nonsense", "a", "i1", "aQUJD"} {
		w.wants(cursor, w.do("GET", "/v1/discovery/agents?cursor="+cursor, "", "Accept: */*"), 400, "INVALID_PARAMETER")
		w.wants(cursor, w.do("GET", "/v1/admin/agents?cursor="+cursor, "", admin), 400, "INVALID_PARAMETER")
	}
	w.wants("a stranger", w.do("GET", "/v1/admin/agents?limit=x", "", "Accept: */*"), 401,
		"ADMIN_AUTHENTICATION_REQUIRED")
}

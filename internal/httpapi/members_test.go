package httpapi_test

import (
	"strings"
	"testing"
)

// register makes a mailbox or a group with the admin key.
func (w *world) share(kind, name, members string) {
	w.t.Helper()
	a := w.do("POST", "/v1/admin/agents", `{"address":"`+name+`","kind":"`+kind+`","members":[`+members+`]}`,
		"X-Admin-Key: "+w.admin)
	w.wants("make a "+kind, a, 201, "")
	if a.body["api_key"] != "" {
		w.t.Errorf("a %s has a key: %s", kind, a.raw)
	}
}

func TestSharedMailbox(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	w.share("mailbox", "support", `"alice","bob@localhost"`)
	id := w.send("carol", "support", `1`)
	const box = "/v1/inbox/support@localhost"
	for _, member := range []string{"alice", "bob"} {
		a := w.do("GET", box, "", w.as(member))
		w.wants("the inbox for "+member, a, 200, "")
		if !strings.Contains(a.raw, id) || a.body["recipient"] != "support@localhost" {
			t.Errorf("the inbox for %s: got %s", member, a.raw)
		}
	}
	w.wants("not a member", w.do("GET", box, "", w.as("carol")), 403, "ACCESS_DENIED")
	w.wants("read", w.do("POST", box+"/"+id+"/read", "", w.as("alice")), 200, "")
	w.wants("the message for a member", w.do("GET", "/v1/messages/"+id, "", w.as("bob")), 200, "")
	w.wants("ack", w.do("DELETE", box+"/"+id, "", w.as("bob")), 200, "")

	sent := w.do("POST", "/v1/messages", `{"sender":"support@localhost","recipients":["carol@localhost"],"payload":1}`,
		w.as("alice"))
	w.wants("a member writes for the mailbox", sent, 202, "")
	answer := sent.body["message_id"].(string)
	for who, sees := range map[string]bool{"alice": true, "bob": true, "carol": false} {
		a := w.do("GET", "/v1/messages/"+answer, "", w.as(who))
		w.wants("the answer for "+who, a, 200, "")
		if got := a.body["sent_by"] == "alice@localhost"; got != sees || a.body["sender"] != "support@localhost" {
			t.Errorf("the answer for %s: sent_by is shown: %v, want %v; %s", who, got, sees, a.raw)
		}
	}
	list := w.do("GET", "/v1/messages?sent=true&mailbox=support", "", w.as("bob"))
	if w.wants("the mailbox's messages", list, 200, ""); !strings.Contains(list.raw, answer) {
		t.Errorf("the messages of the mailbox: got %s, want %s", list.raw, answer)
	}
	w.wants("another's", w.do("GET", "/v1/messages?mailbox=support", "", w.as("carol")), 403, "ACCESS_DENIED")

	if a := w.do("GET", "/v1/whoami", "", w.as("bob")); !strings.Contains(a.raw, `"mailboxes":["support@localhost"]`) {
		t.Errorf("whoami of a member: got %s", a.raw)
	}
	w.wants("bob leaves", w.do("PATCH", "/v1/admin/agents/support", `{"remove_members":["bob"]}`,
		"X-Admin-Key: "+w.admin), 200, "")
	w.wants("the inbox after he left", w.do("GET", box, "", w.as("bob")), 403, "ACCESS_DENIED")
	w.wants("its answer after he left", w.do("GET", "/v1/messages/"+answer, "", w.as("bob")), 404, "MESSAGE_NOT_FOUND")
}

// TestMemberLeavesWhileWaiting: a member that waits at the inbox when it is removed is
// refused as a new call of it is. Its key is good.
func TestMemberLeavesWhileWaiting(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, name := range []string{"alice", "bob"} {
		w.agent(name)
	}
	w.share("mailbox", "support", `"alice","bob"`)
	const box = "/v1/inbox/support@localhost"
	w.keys["support"] = w.keys["bob"]
	stream := w.follow("support", "")
	stream.next()
	polled, claimed := make(chan answer, 1), make(chan answer, 1)
	go func() { polled <- w.do("GET", box+"?wait=6s", "", w.as("bob")) }()
	go func() { claimed <- w.do("POST", box+"/claim", `{"wait":"6s"}`, w.as("bob")) }()
	// A test cannot see that the calls wait. These messages give them time to do so. A call
	// that comes even later is refused at once.
	for range 50 {
		w.send("alice", "alice", `1`)
	}
	w.wants("bob leaves", w.do("PATCH", "/v1/admin/agents/support", `{"remove_members":["bob"]}`,
		"X-Admin-Key: "+w.admin), 200, "")
	w.send("alice", "support", `1`)
	e, _ := stream.next()
	if e.kind != "error" || !strings.Contains(e.data, `"ACCESS_DENIED"`) {
		t.Errorf("the stream ended with %+v, want the error ACCESS_DENIED", e)
	}
	w.wants("a wait", <-polled, 403, "ACCESS_DENIED")
	w.wants("a claim", <-claimed, 403, "ACCESS_DENIED")
	w.wants("a new call", w.do("GET", box, "", w.as("bob")), 403, "ACCESS_DENIED")
	w.wants("the key", w.do("GET", "/v1/whoami", "", w.as("bob")), 200, "")
}

func TestMembersAreRefused(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.share("group", "team", `"alice"`)
	w.share("mailbox", "support", `"alice"`)
	admin := "X-Admin-Key: " + w.admin
	make := func(body string) answer { return w.do("POST", "/v1/admin/agents", body, admin) }
	change := func(name, body string) answer { return w.do("PATCH", "/v1/admin/agents/"+name, body, admin) }
	many := strings.Repeat(`"alice",`, 100) + `"alice"`
	for name, a := range map[string]answer{
		"a kind that does not exist": make(`{"address":"x","kind":"robot"}`),
		"an agent with members":      make(`{"address":"x","members":["alice"]}`),
		"a member that is unknown":   make(`{"address":"x","kind":"mailbox","members":["ghost"]}`),
		"a member elsewhere":         make(`{"address":"x","kind":"group","members":["bob@far.example"]}`),
		"a group in a mailbox":       make(`{"address":"x","kind":"mailbox","members":["team"]}`),
		"a mailbox in a mailbox":     make(`{"address":"x","kind":"mailbox","members":["support"]}`),
		"a group in a group":         make(`{"address":"x","kind":"group","members":["team"]}`),
		"too many":                   make(`{"address":"x","kind":"group","members":[` + many + `]}`),
		"a group that is pushed to":  make(`{"address":"x","kind":"group","delivery_mode":"push","push_target":"https://x.example/"}`),
		"members of an agent":        change("alice", `{"add_members":["alice"]}`),
		"an unknown member":          change("team", `{"add_members":["ghost"]}`),
		"a mailbox that is pushed to": change("support",
			`{"delivery_mode":"push","push_target":"https://x.example/"}`),
		"a key of a group": w.do("POST", "/v1/admin/agents/team/keys", "", admin),
	} {
		if a.status != 400 {
			t.Errorf("%s: got %d %s, want 400", name, a.status, a.raw)
		}
	}
	w.wants("a mailbox in a group", make(`{"address":"all","kind":"group","members":["support","alice"]}`), 201, "")
	w.wants("an agent makes none", w.do("PATCH", "/v1/admin/agents/support", `{"members":["alice"]}`, w.as("alice")),
		403, "ADMIN_ACCESS_DENIED")
}

// TestMailboxParameter: each operation of an agent either acts in the mailbox that the
// parameter names, for its members alone, or refuses the parameter. None passes it over.
func TestMailboxParameter(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	w.share("mailbox", "support", `"alice"`)
	shared := w.send("carol", "support", `{"text":"harbour for support"}`)
	own := w.send("carol", "alice", `{"text":"harbour for alice"}`)
	w.wants("label", w.do("POST", "/v1/messages/"+shared+"/labels?mailbox=support", `{"add":["urgent"]}`,
		w.as("alice")), 200, "")
	w.indexed("carol")
	for _, c := range []struct{ method, path, body, whole, without string }{
		{"GET", "/v1/messages", "", shared, own},
		{"GET", "/v1/messages/" + shared, "", shared, own},
		{"GET", "/v1/messages/" + shared + "/status", "", shared, own},
		{"POST", "/v1/messages/" + shared + "/labels", `{"add":["seen"]}`, `"seen"`, own},
		{"GET", "/v1/threads", "", shared, own},
		{"GET", "/v1/threads/" + shared, "", shared, own},
		{"GET", "/v1/search?q=harbour", "", shared, own},
		{"GET", "/v1/search?q=harbour", "", `"labels":["seen","urgent"]`, own},
	} {
		separator := "?"
		if strings.Contains(c.path, "?") {
			separator = "&"
		}
		what := c.method + " " + c.path
		a := w.do(c.method, c.path+separator+"mailbox=support", c.body, w.as("alice"))
		w.wants(what, a, 200, "")
		if !strings.Contains(a.raw, c.whole) || strings.Contains(a.raw, c.without) {
			t.Errorf("%s in the mailbox: got %s, want %s without %s", what, a.raw, c.whole, c.without)
		}
		for _, stranger := range []string{"bob", "carol"} {
			a = w.do(c.method, c.path+separator+"mailbox=support", c.body, w.as(stranger))
			w.wants(what+" by "+stranger, a, 403, "ACCESS_DENIED")
		}
	}
	for _, path := range []string{"/v1/messages/" + own, "/v1/messages/" + own + "/status"} {
		w.wants(path+" in the wrong mailbox", w.do("GET", path+"?mailbox=support", "", w.as("alice")), 404,
			"MESSAGE_NOT_FOUND")
	}
	for _, route := range []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["carol@localhost"],"payload":1}`},
		{"GET", "/v1/inbox/alice", ""},
		{"GET", "/v1/inbox/alice/events", ""},
		{"POST", "/v1/inbox/alice/claim", `{}`},
		{"POST", "/v1/inbox/alice/" + own + "/read", ""},
		{"POST", "/v1/inbox/alice/" + own + "/extend", `{"lease":"1"}`},
		{"POST", "/v1/inbox/alice/" + own + "/nack", `{"lease":"1"}`},
		{"POST", "/v1/inbox/alice/" + own + "/reject", `{"lease":"1"}`},
		{"DELETE", "/v1/inbox/alice/" + own, ""},
		{"POST", "/v1/inbox/alice/ack", `{"ids":["` + own + `"]}`},
		{"GET", "/v1/whoami", ""},
	} {
		a := w.do(route.method, route.path+"?mailbox=support", route.body, w.as("alice"))
		w.wants(route.method+" "+route.path, a, 400, "INVALID_REQUEST_FORMAT")
	}
	if a := w.do("GET", "/v1/inbox/alice", "", w.as("alice")); !strings.Contains(a.raw, own) {
		t.Errorf("the inbox after the refusals: got %s, want %s", a.raw, own)
	}
}

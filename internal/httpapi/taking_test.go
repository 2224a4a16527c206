package httpapi_test

import (
	"strings"
	"testing"
)

// leases returns the ids and the tokens of the messages in the answer to a claim.
func leases(a answer) (ids, tokens []string) {
	list, _ := a.body["messages"].([]any)
	for _, m := range list {
		message := m.(map[string]any)
		ids = append(ids, message["message_id"].(string))
		tokens = append(tokens, message["lease"].(map[string]any)["token"].(string))
	}
	return ids, tokens
}

func TestClaim(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	first, second := w.send("alice", "bob", `1`), w.send("alice", "bob", `2`)
	post := func(path, body string) answer { return w.do("POST", "/v1/inbox/bob@localhost"+path, body, w.as("bob")) }

	a := post("/claim", `{"visibility":"5m"}`)
	w.wants("claim", a, 200, "")
	ids, tokens := leases(a)
	if len(ids) != 1 || ids[0] != first || len(tokens[0]) != 16 || !strings.Contains(a.raw, `"attempt":1`) {
		t.Fatalf("claim: got %s, want the first message with a lease", a.raw)
	}
	status := w.do("GET", "/v1/messages/"+first+"/status", "", w.as("alice"))
	if !strings.Contains(status.raw, `"claimed":true`) || !strings.Contains(status.raw, `"read":true`) {
		t.Errorf("status for the sender: got %s, want claimed and read", status.raw)
	}
	w.wants("extend", post("/"+first+"/extend", `{"lease":"`+tokens[0]+`","visibility":"90"}`), 200, "")
	w.wants("extend under no lease", post("/"+second+"/extend", `{"lease":"`+tokens[0]+`"}`), 409, "LEASE_LOST")
	w.wants("give back", post("/"+first+"/nack", `{"lease":"`+tokens[0]+`","reason":"no paper"}`), 200, "")
	w.wants("ack with the old token", w.do("DELETE", "/v1/inbox/bob@localhost/"+first+"?lease="+tokens[0], "",
		w.as("bob")), 409, "LEASE_LOST")

	a = post("/claim", `{"max":10,"filter":{"from":"alice@localhost"}}`)
	ids, tokens = leases(a)
	if len(ids) != 2 || ids[0] != first || !strings.Contains(a.raw, `"attempt":2`) {
		t.Fatalf("second claim: got %s, want both messages", a.raw)
	}
	w.wants("ack with the token", w.do("DELETE", "/v1/inbox/bob@localhost/"+first+"?lease="+tokens[0], "",
		w.as("bob")), 200, "")
	w.wants("ack again", w.do("DELETE", "/v1/inbox/bob@localhost/"+first, "", w.as("bob")), 200, "")
	w.wants("reject", post("/"+second+"/reject", `{"lease":"`+tokens[1]+`","reason":"not my work"}`), 200, "")
	w.wants("reject again", post("/"+second+"/reject", ``), 200, "")
	status = w.do("GET", "/v1/messages/"+second+"/status", "", w.as("alice"))
	if !strings.Contains(status.raw, "the recipient rejected the message: not my work") ||
		!strings.Contains(status.raw, `"refused":true`) {
		t.Errorf("status of the rejected message: got %s, want the reason", status.raw)
	}
	if ids, _ := leases(post("/claim", `{"wait":"1ms"}`)); len(ids) != 0 {
		t.Errorf("claim of an empty inbox: got %v, want nothing", ids)
	}
}

func TestClaimHeld(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	id := w.send("alice", "bob", `1`)
	issued := w.do("POST", "/v1/admin/agents/bob/keys", "", w.as("bob"))
	w.wants("issue", issued, 201, "")
	other := "Authorization: Bearer " + issued.body["api_key"].(string)
	_, tokens := leases(w.do("POST", "/v1/inbox/bob@localhost/claim", "", w.as("bob")))
	w.wants("ack by another key", w.do("DELETE", "/v1/inbox/bob@localhost/"+id, "", other), 409, "LEASE_HELD")
	w.wants("reject by another key", w.do("POST", "/v1/inbox/bob@localhost/"+id+"/reject", "", other), 409, "LEASE_HELD")
	w.wants("read by another key", w.do("POST", "/v1/inbox/bob@localhost/"+id+"/read", "", other), 200, "")
	w.wants("ack by another key with the token", w.do("DELETE", "/v1/inbox/bob@localhost/"+id+"?lease="+tokens[0], "",
		other), 200, "")
}

func TestClaimRefusals(t *testing.T) {
	w := start(t)
	w.agent("bob")
	const absent = "/01a204dc-8339-7ac7-ac52-c37b55304ca1"
	for _, c := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/claim", `{"max":101}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"max":-1}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"visibility":"500ms"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"visibility":"13h"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"visibility":"soon"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"visibility":1.5}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"wait":"31"}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"filter":{"from":"a b"}}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `{"filter":{"thread":"a b\u0000"}}`, 400, "INVALID_REQUEST_FORMAT"},
		{"/claim", `[]`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/extend", `{}`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/extend", `{"lease":"x"}`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/extend", `{"lease":"4f2a9c0de81b7d35"}`, 404, "MESSAGE_NOT_FOUND"},
		{absent + "/nack", `{"lease":"4f2a9c0de81b7d35","delay":"13h"}`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/nack", `{"lease":"4f2a9c0de81b7d35","reason":"a\u0007"}`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/reject", `{"reason":"` + strings.Repeat("x", 513) + `"}`, 400, "INVALID_REQUEST_FORMAT"},
		{absent + "/reject", ``, 404, "MESSAGE_NOT_FOUND"},
	} {
		a := w.do("POST", "/v1/inbox/bob@localhost"+c.path, c.body, w.as("bob"))
		w.wants(c.path+" "+c.body, a, c.status, c.code)
	}
	w.wants("ack with no token of a lease", w.do("DELETE", "/v1/inbox/bob@localhost"+absent+"?lease=x", "", w.as("bob")),
		400, "INVALID_REQUEST_FORMAT")
	w.wants("max_deliveries", w.do("PATCH", "/v1/admin/agents/bob", `{"max_deliveries":3}`, w.as("bob")), 200, "")
	w.wants("max_deliveries", w.do("PATCH", "/v1/admin/agents/bob", `{"max_deliveries":-1}`, w.as("bob")), 400,
		"INVALID_REQUEST_FORMAT")
}

package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestRegister(t *testing.T) {
	w := start(t)
	a := w.do("POST", "/v1/admin/agents",
		`{"address":"Alice","delivery_mode":"pull","role":"buyer","capabilities":["po"],"supported_schemas":["agntcy:commerce.*"]}`)
	w.wants("without a key in the development profile", a, 201, "")
	inner := a.body["agent"].(map[string]any)
	if a.body["address"] != "Alice@localhost" || inner["address"] != "Alice@localhost" ||
		a.body["api_key"] != inner["api_key"] ||
		a.body["delivery_mode"] != "pull" || !strings.HasPrefix(a.body["api_key"].(string), "amtp_") ||
		a.body["message"] == "" {
		t.Errorf("registration: got %s", a.raw)
	}
	w.keys["alice"] = a.body["api_key"].(string)
	own := w.do("POST", "/v1/admin/agents", `{"address":"alice@LOCALHOST","delivery_mode":"pull"}`, w.as("alice"))
	w.wants("again with one's own key", own, 200, "")
	if own.body["api_key"] != w.keys["alice"] {
		t.Errorf("again with one's own key: got key %v, want the one shown", own.body["api_key"])
	}
	for _, c := range []struct {
		body   string
		status int
		code   string
	}{
		{`{"address":"alice","delivery_mode":"pull"}`, 409, "CONFLICT"},
		{`{"address":"ALICE@localhost","delivery_mode":"pull"}`, 409, "CONFLICT"},
		{`{"address":"x@other.test","delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"bad name","delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"-x","delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"` + strings.Repeat("a", 65) + `"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"bob","delivery_mode":"push","push_target":"http://127.0.0.1/"}`, 400,
			"AGENT_REGISTRATION_FAILED"},
		{`{"address":"bob","delivery_mode":"pull","api_key":"k"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"mailer-daemon","delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"amtp-x","delivery_mode":"pull"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"bob","delivery_mode":"pull","supported_schemas":["foo"]}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":"bob","delivery_mode":"pull","role":"a\nb"}`, 400, "AGENT_REGISTRATION_FAILED"},
		{`{"address":7}`, 400, "INVALID_REQUEST_FORMAT"},
		{`{bad`, 400, "INVALID_REQUEST_FORMAT"},
	} {
		w.wants(c.body, w.do("POST", "/v1/admin/agents", c.body), c.status, c.code)
	}
	if all := w.do("GET", "/v1/admin/agents", "", "X-Admin-Key: "+w.admin); all.body["count"] != 1.0 {
		t.Errorf("after refusals: got %s, want one agent", all.raw)
	}
}

// TestRegistrationThatComesAgain: a client that lost the answer gets it again with the same
// idempotency key. No other client gets it.
func TestRegistrationThatComesAgain(t *testing.T) {
	w := watch(t, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8")
	url, _, _ := endpoint(t)
	const mine = "Idempotency-Key: 6f1c2d3e-8a4b-4c5d-9e6f-7a8b9c0d1e2f"
	for name, body := range map[string]string{
		"pull": `{"address":"pull"}`, "push": `{"address":"push","delivery_mode":"push","push_target":"` + url + `"}`,
	} {
		first := w.do("POST", "/v1/admin/agents", body, mine)
		w.wants("the first time", first, 201, "")
		again := w.do("POST", "/v1/admin/agents", body, mine)
		w.wants("again", again, 200, "")
		for _, member := range []string{"address", "api_key", "push_secret", "delivery_mode"} {
			if again.body[member] != first.body[member] {
				t.Errorf("%s of %s again: got %v, want %v", member, name, again.body[member], first.body[member])
			}
		}
		other := strings.Replace(body, "{", `{"role":"another",`, 1)
		w.wants("with another body", w.do("POST", "/v1/admin/agents", other, mine), 422, "IDEMPOTENCY_KEY_REUSED")
		w.wants("with an address of another form", w.do("POST", "/v1/admin/agents",
			strings.Replace(body, `"`+name+`"`, `"`+name+`@localhost"`, 1), mine), 200, "")
		w.keys[name] = first.body["api_key"].(string)
		w.wants("a change", w.do("PATCH", "/v1/admin/agents/"+name, `{"description":"changed meanwhile"}`,
			w.as(name)), 200, "")
		w.wants("again after a change", w.do("POST", "/v1/admin/agents", body, mine), 200, "")
		w.wants("the key", w.do("GET", "/v1/whoami", "", w.as(name)), 200, "")
		w.wants("without the idempotency key", w.do("POST", "/v1/admin/agents", body), 409, "CONFLICT")
		w.wants("with another", w.do("POST", "/v1/admin/agents", body, mine+"x"), 409, "CONFLICT")
		keys := w.do("GET", "/v1/admin/agents/"+name+"/keys", "", w.as(name))
		if keys.body["count"] != 1.0 {
			t.Errorf("keys of %s: got %s, want one", name, keys.raw)
		}
	}
	if w.keys["pull"] == w.keys["push"] {
		t.Error("two agents that were registered with one idempotency key have the same key")
	}
	for _, bad := range []string{"short", strings.Repeat("a", 21), strings.Repeat("a", 129),
		strings.Repeat("a", 30) + "!"} {
		w.wants("Idempotency-Key "+bad, w.do("POST", "/v1/admin/agents", `{"address":"x"}`, "Idempotency-Key: "+bad),
			400, "AGENT_REGISTRATION_FAILED")
	}
	kid := w.do("GET", "/v1/admin/agents/pull/keys", "",
		w.as("pull")).body["keys"].([]any)[0].(map[string]any)["id"].(string)
	w.wants("revoke", w.do("DELETE", "/v1/admin/agents/pull/keys/"+kid, "", w.as("pull")), 200, "")
	w.wants("after the key was revoked", w.do("POST", "/v1/admin/agents", `{"address":"pull"}`, mine), 409, "CONFLICT")
	w.wants("remove", w.do("DELETE", "/v1/admin/agents/pull", "", "X-Admin-Key: "+w.admin), 200, "")
	next := w.do("POST", "/v1/admin/agents", `{"address":"pull"}`, mine)
	w.wants("the next of the name", next, 201, "")
	if next.body["api_key"] == w.keys["pull"] {
		t.Error("the next agent of the name has the key of the one before, which was revoked")
	}
}

func TestAdministrationNeedsAKey(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	for _, c := range []struct{ method, path string }{
		{"GET", "/v1/admin/agents"}, {"GET", "/v1/admin/agents/bob"}, {"PATCH", "/v1/admin/agents/bob"},
		{"DELETE", "/v1/admin/agents/bob"},
		{"GET", "/v1/admin/agents/bob/keys"}, {"POST", "/v1/admin/agents/bob/keys"},
		{"DELETE", "/v1/admin/agents/bob/keys/key_x"},
	} {
		body := ""
		if c.method == "PATCH" {
			body = `{"role":"x"}`
		}
		w.wants(c.method+" "+c.path+" as nobody", w.do(c.method, c.path, body), 401, "ADMIN_AUTHENTICATION_REQUIRED")
		w.wants(c.method+" "+c.path+" as another agent", w.do(c.method, c.path, body, w.as("alice")), 403,
			"ADMIN_ACCESS_DENIED")
		w.wants(c.method+" "+c.path+" with a wrong key", w.do(c.method, c.path, body, "X-Admin-Key: wrong"), 403,
			"ADMIN_ACCESS_DENIED")
	}
	w.wants("whoami as nobody", w.do("GET", "/v1/whoami", ""), 401, "MISSING_AUTHORIZATION")
}

func TestKeys(t *testing.T) {
	w := start(t)
	w.agent("alice")
	old := w.as("alice")
	issued := w.do("POST", "/v1/admin/agents/alice/keys", `{}`, old)
	w.wants("issue", issued, 201, "")
	fresh := "Authorization: Bearer " + issued.body["api_key"].(string)
	list := w.do("GET", "/v1/admin/agents/alice@localhost/keys", "", fresh)
	if list.body["count"] != 2.0 || strings.Contains(list.raw, w.keys["alice"]) {
		t.Errorf("keys: got %s, want two without their secrets", list.raw)
	}
	alone := w.do("POST", "/v1/admin/agents/alice/keys", `{"revoke_others":true}`, "X-Admin-Key: "+w.admin)
	if alone.body["revoked"] != 2.0 {
		t.Errorf("rotation: got %s, want two revoked", alone.raw)
	}
	for _, ended := range []string{old, fresh} {
		w.wants("a revoked key", w.do("GET", "/v1/whoami", "", ended), 401, "AUTHENTICATION_FAILED")
	}
	last := "Authorization: Bearer " + alone.body["api_key"].(string)
	w.wants("the new key", w.do("GET", "/v1/whoami", "", last), 200, "")
	w.wants("an unknown key id", w.do("DELETE", "/v1/admin/agents/alice/keys/key_none", "", last), 404, "KEY_NOT_FOUND")
	w.wants("revoke", w.do("DELETE", "/v1/admin/agents/alice/keys/"+alone.body["id"].(string), "", last), 200, "")
	w.wants("after it", w.do("GET", "/v1/whoami", "", last), 401, "AUTHENTICATION_FAILED")
}

func TestUpdateAndDelete(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	w.send("bob", "alice", `"for the first alice"`)
	changed := w.do("PATCH", "/v1/admin/agents/alice", `{"role":"buyer","listed":false}`, w.as("alice"))
	if changed.body["role"] != "buyer" || changed.body["listed"] != false {
		t.Errorf("update: got %s", changed.raw)
	}
	w.wants("a bad update", w.do("PATCH", "/v1/admin/agents/alice", `{"delivery_mode":"push"}`, w.as("alice")), 400,
		"INVALID_REQUEST_FORMAT")
	w.wants("delete by oneself", w.do("DELETE", "/v1/admin/agents/alice", "", w.as("alice")), 200, "")
	w.wants("its key afterwards", w.do("GET", "/v1/whoami", "", w.as("alice")), 401, "AUTHENTICATION_FAILED")
	w.wants("delete again", w.do("DELETE", "/v1/admin/agents/alice", "", "X-Admin-Key: "+w.admin), 404, "AGENT_UNKNOWN")
	w.agent("alice")
	if ids, _ := w.inbox("alice", ""); len(ids) != 0 {
		t.Errorf("a namesake inherited %v", ids)
	}
}

// TestUpdatesAtOnce: when two callers change different members of an agent at the same
// time, both changes are stored.
func TestUpdatesAtOnce(t *testing.T) {
	w := start(t)
	w.agent("alice")
	for i := range 20 {
		done := make(chan answer, 2)
		for _, member := range []string{"role", "description"} {
			go func() {
				done <- w.do("PATCH", "/v1/admin/agents/alice", fmt.Sprintf(`{%q:"%s %d"}`, member, member, i),
					w.as("alice"))
			}()
		}
		for range 2 {
			w.wants("update", <-done, 200, "")
		}
		a := w.do("GET", "/v1/admin/agents/alice", "", w.as("alice"))
		if a.body["role"] != fmt.Sprintf("role %d", i) || a.body["description"] != fmt.Sprintf("description %d", i) {
			t.Fatalf("round %d: an update was lost: %s", i, a.raw)
		}
	}
}

func TestDiscovery(t *testing.T) {
	w := start(t)
	for _, body := range []string{
		`{"address":"a","role":"Buyer","capabilities":["po"],"supported_schemas":["agntcy:commerce.*"]}`,
		`{"address":"b","role":"seller","supported_schemas":["agntcy:finance.pay.v1"]}`,
		`{"address":"hidden","listed":false}`,
	} {
		w.wants(body, w.do("POST", "/v1/admin/agents", body), 201, "")
	}
	for query, want := range map[string]string{
		"": "a@localhost b@localhost", "?role=buyer": "a@localhost", "?capability=po": "a@localhost",
		"?schema=agntcy:commerce.order.v1": "a@localhost", "?schema=agntcy:finance.*": "b@localhost",
		"?schema=agntcy:x.y.v1": "",
		"?address=B@localhost":  "b@localhost", "?address=hidden@localhost": "", "?delivery_mode=push": "",
		"?delivery_mode=pull&active_only=true": "a@localhost b@localhost",
	} {
		for _, path := range []string{"/v1/discovery/agents", "/v1/discovery/agents/localhost"} {
			a := w.do("GET", path+query, "")
			var got []string
			for _, agent := range a.body["agents"].([]any) {
				got = append(got, agent.(map[string]any)["address"].(string))
			}
			if strings.Join(got, " ") != want || a.body["agent_count"] != float64(len(got)) ||
				a.body["domain"] != "localhost" {
				t.Errorf("%s%s: got %v, want %q: %s", path, query, got, want, a.raw)
			}
			if strings.Contains(a.raw, "api_key") || !strings.Contains(a.raw, "T00:00:00.000Z") && len(got) > 0 {
				t.Errorf("%s%s: a stranger sees too much: %s", path, query, a.raw)
			}
		}
	}
	w.wants("another domain", w.do("GET", "/v1/discovery/agents/other.test", ""), 404, "DOMAIN_NOT_FOUND")
	w.wants("a bad filter", w.do("GET", "/v1/discovery/agents?delivery_mode=fly", ""), 400, "INVALID_PARAMETER")
}

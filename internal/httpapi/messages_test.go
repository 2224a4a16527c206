package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestSendIsRefused(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	w.agent("alice")
	w.agent("bob")
	message := func(sender, recipient string) string {
		return `{"sender":"` + sender + `","recipients":["` + recipient + `"],"payload":1}`
	}
	good := message("alice@localhost", "bob@localhost")
	for _, c := range []struct {
		name, body, header string
		status             int
		code               string
	}{
		{"no key", good, "Accept: */*", 401, "LOCAL_SENDER_AUTH_REQUIRED"},
		{"an unknown key", good, "Authorization: Bearer amtp_wrong", 401, "AUTHENTICATION_FAILED"},
		{"another scheme", good, "Authorization: Basic YTpi", 401, "AUTHENTICATION_FAILED"},
		{"another agent's key", good, w.as("bob"), 403, "SENDER_CREDENTIAL_MISMATCH"},
		{"the admin key", good, "X-Admin-Key: " + w.admin, 403, "ACCESS_DENIED"},
		{"a wrong admin key", good, "X-Admin-Key: x", 403, "ADMIN_ACCESS_DENIED"},
		{"a sender from elsewhere", message("a@other.test", "bob@localhost"), "Accept: */*", 403, "ACCESS_DENIED"},
		{"a sender from elsewhere with a key", message("a@other.test", "bob@localhost"), w.as("alice"), 403,
			"SENDER_CREDENTIAL_MISMATCH"},
		{"an unknown recipient", message("alice@localhost", "ghost@localhost"), w.as("alice"), 404, "AGENT_UNKNOWN"},
		{"a recipient elsewhere", message("alice@localhost", "bob@other.test"), w.as("alice"), 404,
			"RECIPIENT_NOT_FOUND"},
		{"a bad recipient", message("alice@localhost", "bob"), w.as("alice"), 400, "INVALID_RECIPIENT"},
		{"coordination",
			`{"sender":"alice@localhost","recipients":["bob@localhost"],"coordination":{"type":"parallel"}}`,
			w.as("alice"), 400, "COORDINATION_FAILED"},
		{"a forged label", `{"sender":"alice@localhost","recipients":["bob@localhost"],"trust":"verified"}`,
			w.as("alice"), 400, "INVALID_MESSAGE_FORMAT"},
		{"a forged label in other letters",
			`{"sender":"alice@localhost","recipients":["bob@localhost"],"Trust":"verified"}`, w.as("alice"), 400,
			"INVALID_MESSAGE_FORMAT"},
		{"an attachment with a second url",
			`{"sender":"alice@localhost","recipients":["bob@localhost"],"attachments":[{"filename":"a","content_type":"b","size":1,"hash":"sha256:ab","url":"https://ok.test/a","URL":"file:///etc/passwd"}]}`,
			w.as("alice"), 400, "INVALID_MESSAGE_FORMAT"},
		{"no object", `[]`, w.as("alice"), 400, "INVALID_MESSAGE_FORMAT"},
		{"another version", `{"version":"2.0","sender":"alice@localhost","recipients":["bob@localhost"]}`,
			w.as("alice"), 400, "UNSUPPORTED_VERSION"},
	} {
		w.wants(c.name, w.do("POST", "/v1/messages", c.body, c.header), c.status, c.code)
	}
	if ids, _ := w.inbox("bob", ""); len(ids) != 0 {
		t.Errorf("after refusals the inbox holds %d messages, want 0", len(ids))
	}
}

func TestSendRefusedAsAWholeNamesTheRecipients(t *testing.T) {
	w := start(t)
	w.agent("alice")
	a := w.do("POST", "/v1/messages",
		`{"message_id":"m-1","sender":"alice@localhost","recipients":["ghost@localhost"]}`, w.as("alice"))
	w.wants("all unknown", a, 404, "AGENT_UNKNOWN")
	if a.body["message_id"] != "m-1" || a.body["status"] != "failed" || len(a.body["recipients"].([]any)) != 1 {
		t.Errorf("members after the error: got %s, want message_id, status and recipients", a.raw)
	}
}

func TestSendToSeveral(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	a := w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","recipients":["carol@localhost","ghost@localhost","BOB@LOCALHOST","bob@localhost"],"payload":{"n":1.0}}`,
		w.as("alice"))
	w.wants("send", a, 202, "")
	var got []string
	for _, r := range a.body["recipients"].([]any) {
		r := r.(map[string]any)
		code, _ := r["error_code"].(string)
		got = append(got, r["address"].(string)+" "+r["status"].(string)+" "+code)
	}
	want := "carol@localhost delivered |ghost@localhost failed AGENT_UNKNOWN|bob@localhost delivered "
	if strings.Join(got, "|") != want || a.body["status"] != "accepted" {
		t.Errorf("recipients: got %q status %v, want %q accepted", strings.Join(got, "|"), a.body["status"], want)
	}
	for _, name := range []string{"bob", "carol"} {
		if ids, page := w.inbox(name, ""); len(ids) != 1 || !strings.Contains(page.raw, `"payload":{"n":1.0}`) {
			t.Errorf("inbox of %s: got %s, want the message once, its payload verbatim", name, page.raw)
		}
	}
}

func TestSendAgainWithTheSameKey(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	body := `{"sender":"alice@localhost","recipients":["bob@localhost"],"idempotency_key":"k","payload":1}`
	first := w.do("POST", "/v1/messages", body, w.as("alice"))
	again := w.do("POST", "/v1/messages", body, w.as("alice"))
	w.wants("again", again, 202, "")
	if first.body["message_id"] != again.body["message_id"] || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry: got id %v, replayed %q, want %v, true", again.body["message_id"],
			again.header.Get("Idempotent-Replayed"), first.body["message_id"])
	}
	other := strings.Replace(body, `"payload":1`, `"payload":2`, 1)
	w.wants("other content", w.do("POST", "/v1/messages", other, w.as("alice")), 422, "IDEMPOTENCY_KEY_REUSED")
	if ids, _ := w.inbox("bob", ""); len(ids) != 1 {
		t.Errorf("inbox: got %d messages, want 1", len(ids))
	}
}

// TestSendAgainAfterTheRecipientLeft: a message that was accepted stays accepted.
func TestSendAgainAfterTheRecipientLeft(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	body := `{"sender":"alice@localhost","recipients":["bob@localhost"],"idempotency_key":"k","payload":1}`
	first := w.do("POST", "/v1/messages", body, w.as("alice"))
	w.wants("unregister", w.do("DELETE", "/v1/admin/agents/bob", "", w.as("bob")), 200, "")
	again := w.do("POST", "/v1/messages", body, w.as("alice"))
	w.wants("again", again, 202, "")
	if first.body["message_id"] != again.body["message_id"] || again.body["status"] != "delivered" {
		t.Errorf("a retry: got %s, want %s", again.raw, first.raw)
	}
	fresh := strings.Replace(body, `"k"`, `"k2"`, 1)
	w.wants("another key", w.do("POST", "/v1/messages", fresh, w.as("alice")), 404, "AGENT_UNKNOWN")
	w.agent("bob")
	w.wants("the same key when there is a bob again", w.do("POST", "/v1/messages", fresh, w.as("alice")), 202, "")
}

// TestSendAgainInOtherWords: the same content in another JSON form is a retry.
func TestSendAgainInOtherWords(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	first := w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","recipients":["bob@localhost"],"idempotency_key":"k","payload":{"a":1,"b":[2.0]}}`,
		w.as("alice"))
	again := w.do("POST", "/v1/messages",
		`{"payload": {"b":[2.0], "a":1}, "idempotency_key":"k","recipients":["bob@localhost"],"sender":"alice@localhost"}`,
		w.as("alice"))
	w.wants("again", again, 202, "")
	if first.body["message_id"] != again.body["message_id"] {
		t.Errorf("a retry in other words: got id %v, want %v", again.body["message_id"], first.body["message_id"])
	}
}

// TestMessageIsShownToThoseItConcerns asks for one message as every caller. A caller who is
// neither sender nor recipient gets the answer for a message that does not exist.
func TestMessageIsShownToThoseItConcerns(t *testing.T) {
	w := start(t, "AMTP_AUTH_REQUIRED=true")
	for _, name := range []string{"alice", "bob", "eve"} {
		w.agent(name)
	}
	id := w.send("alice", "bob", `"secret"`)
	absent := "01a204dc-8339-7ac7-ac52-c37b55304ca1"
	for _, path := range []string{"/v1/messages/%s", "/v1/messages/%s/status"} {
		mine, none := strings.Replace(path, "%s", id, 1), strings.Replace(path, "%s", absent, 1)
		for _, who := range []string{w.as("alice"), w.as("bob"), "X-Admin-Key: " + w.admin,
			"Authorization: Bearer " + w.admin} {
			w.wants("GET "+mine, w.do("GET", mine, "", who), 200, "")
			w.wants("GET "+none, w.do("GET", none, "", who), 404, "MESSAGE_NOT_FOUND")
		}
		w.wants("a stranger", w.do("GET", mine, "", w.as("eve")), 404, "MESSAGE_NOT_FOUND")
		w.wants("nobody", w.do("GET", mine, ""), 401, "MISSING_AUTHORIZATION")
	}
	list := w.do("GET", "/v1/messages", "", w.as("eve"))
	if list.body["total"] != 0.0 {
		t.Errorf("a stranger's list: got %s, want nothing", list.raw)
	}
	w.wants("a list without a key", w.do("GET", "/v1/messages", ""), 401, "MISSING_AUTHORIZATION")
}

// TestRecipientsDoNotSeeAcknowledgements: a recipient does not see the marks of the other
// recipients; the sender sees all.
func TestRecipientsDoNotSeeAcknowledgements(t *testing.T) {
	w := start(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	a := w.do("POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["bob@localhost","carol@localhost"]}`,
		w.as("alice"))
	id := a.body["message_id"].(string)
	w.wants("ack", w.do("DELETE", "/v1/inbox/bob@localhost/"+id, "", w.as("bob")), 200, "")
	for name, want := range map[string]int{"alice": 1, "bob": 1, "carol": 0} {
		status := w.do("GET", "/v1/messages/"+id+"/status", "", w.as(name))
		if got := strings.Count(status.raw, `"acknowledged":true`); got != want ||
			status.body["status"] != "delivered" {
			t.Errorf("status as %s: got %d acknowledgements in %s, want %d", name, got, status.raw, want)
		}
	}
}

// TestSenderIsShownOnce: a reader that does not tell SENDER from sender must see the
// gateway's value, not the one that the sender chose.
func TestSenderIsShownOnce(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	for _, name := range []string{"\u017fender", `\u017fender`, "me\u017fsage_id", "tru\u017ft", "TRUST", "Created_At",
		"\ufb06atus", "\u017fubject"} {
		body := `{"sender":"alice@localhost","` + name +
			`":"boss@localhost","recipients":["bob@localhost"],"extra":[1.0]}`
		w.wants(name, w.do("POST", "/v1/messages", body, w.as("alice")), 400, "INVALID_MESSAGE_FORMAT")
	}
	a := w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","SENDER":"boss@localhost","recipients":["bob@localhost"],"Message_ID":"boss","extra":[1.0],"gr\u00f6\u00dfe":1}`,
		w.as("alice"))
	w.wants("send", a, 202, "")
	_, page := w.inbox("bob", "")
	one := w.do("GET", "/v1/messages/"+a.body["message_id"].(string), "", w.as("bob"))
	for _, raw := range []string{page.raw, one.raw} {
		if strings.Contains(raw, "boss") || !strings.Contains(raw, `"extra":[1.0]`) {
			t.Errorf("shown: got %s, want the gateway's sender only, other members verbatim", raw)
		}
	}
}

func TestMessageListFilters(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	w.send("alice", "bob", `1`)
	w.send("bob", "alice", `2`)
	for query, want := range map[string]float64{
		"":                            2,
		"?sent=true":                  1,
		"?sender=bob@localhost":       1,
		"?recipient=bob@localhost":    1,
		"?recipient=ghost@localhost":  0,
		"?status=delivered":           2,
		"?status=failed":              0,
		"?status=pending":             0,
		"?since=2030-01-01T00:00:00Z": 0,
		"?since=2020-01-01T00:00:00%2B01:00&limit=1": 2,
	} {
		if a := w.do("GET", "/v1/messages"+query, "", w.as("alice")); a.body["total"] != want {
			t.Errorf("GET /v1/messages%s: got total %v, want %v: %s", query, a.body["total"], want, a.raw)
		}
	}
	for query, code := range map[string]string{
		"?limit=0": "INVALID_LIMIT", "?limit=1001": "INVALID_LIMIT", "?limit=x": "INVALID_LIMIT",
		"?offset=-1": "INVALID_OFFSET", "?offset=10001": "INVALID_OFFSET",
		"?since=yesterday": "INVALID_SINCE_FORMAT", "?status=lost": "INVALID_PARAMETER",
		"?sender=x":   "INVALID_PARAMETER",
		"?sent=maybe": "INVALID_PARAMETER", "?limit=1&limit=2": "INVALID_PARAMETER", "?a=%zz": "INVALID_PARAMETER",
		"?sender=" + strings.Repeat("a", 10<<10): "INVALID_PARAMETER",
	} {
		w.wants("GET /v1/messages"+query[:min(len(query), 40)], w.do("GET", "/v1/messages"+query, "", w.as("alice")),
			http.StatusBadRequest, code)
	}
}

// TestWordsOfTheDraft asks with every value that the protocol names for a
// parameter: none is refused. AMTP §3, §5.
func TestWordsOfTheDraft(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.send("alice", "alice", `1`)
	discovery := map[string][]string{
		"address": {"alice@localhost"}, "role": {"buyer"}, "delivery_mode": {"pull", "push"},
		"active_only": {"true", "false"},
		"capability":  {"pricing"}, "schema": {"agntcy:commerce.*", "agntcy:commerce.order.v1"},
	}
	for path, parameters := range map[string]map[string][]string{
		"/v1/messages": {
			"status":    {"pending", "delivered", "failed", "queued", "delivering", "retrying"},
			"sender":    {"alice@localhost", "a@b.example"},
			"recipient": {"alice@localhost", "a@b.example"},
			"since":     {"2025-08-14T10:30:00.000Z", "2025-08-14T10:30:00Z"},
			"limit":     {"1", "100", "1000"}, "offset": {"0", "1", "10000"},
		},
		"/v1/inbox/alice@localhost": {
			"status": {"unread", "read"}, "since": {"2025-08-14T10:30:00.000Z", "2025-08-14T10:30:00Z"},
			"limit": {"1", "100", "1000"}, "offset": {"0", "1", "10000"},
		},
		"/v1/discovery/agents":           discovery,
		"/v1/discovery/agents/localhost": discovery,
	} {
		for name, values := range parameters {
			for _, value := range values {
				if a := w.do("GET", path+"?"+name+"="+url.QueryEscape(value), "",
					w.as("alice")); a.status != http.StatusOK {
					t.Errorf("GET %s?%s=%s = %d, want 200: %s", path, name, value, a.status, a.raw)
				}
			}
		}
	}
}

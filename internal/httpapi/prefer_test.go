package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// question sends a message from alice to bob that prefers an answer.
func (w *world) question(prefer, key string) answer {
	w.t.Helper()
	return w.do("POST", "/v1/messages",
		`{"sender":"alice@localhost","recipients":["bob@localhost"],"payload":1,"idempotency_key":"`+key+`"}`,
		w.as("alice"), "Prefer: "+prefer)
}

// TestPreferWait: the answer to a message comes with the answer to its submission, if it
// comes in time. The message is there in any case.
func TestPreferWait(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	go func() { // bob answers the first message that he gets
		page := w.do("GET", "/v1/inbox/bob@localhost?wait=30s", "", w.as("bob"))
		for _, m := range page.body["messages"].([]any) {
			w.reply("bob", "alice", m.(map[string]any)["message_id"].(string))
		}
	}()
	a := w.question("respond-async, wait=30", "k1")
	w.wants("a question that is answered", a, 200, "")
	reply, _ := a.body["reply"].(map[string]any)
	if reply["in_reply_to"] != a.body["message_id"] || reply["sender"] != "bob@localhost" ||
		a.body["status"] != "delivered" || a.header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("got %s, %v; want the answer of bob", a.raw, a.header)
	}
	again := w.question("wait=0", "k1")
	w.wants("the same again", again, 200, "")
	if again.header.Get("Idempotent-Replayed") != "true" || !strings.Contains(again.raw, reply["message_id"].(string)) {
		t.Errorf("again: got %s, %v; want the same answer", again.raw, again.header)
	}
	if ids, _ := w.inbox("alice", ""); len(ids) != 1 {
		t.Errorf("alice's inbox has %v, want the answer still there", ids)
	}
	late := w.question("wait=1", "k2")
	w.wants("a question without an answer", late, 202, "")
	if late.body["reply"] != nil || late.header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("got %s, %v; want no reply", late.raw, late.header)
	}
	if ids, _ := w.inbox("bob", ""); len(ids) != 2 {
		t.Errorf("bob's inbox has %v, want both questions", ids)
	}
}

// TestPreferIsIgnored: other preferences, and callers without the sender's own key, have no
// wait.
func TestPreferIsIgnored(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	for _, prefer := range []string{"respond-async", "wait", "wait=", "wait=-1", "wait=soon", "wait=1.5",
		"waiting=30", "wait=99999999999999999999"} {
		a := w.question(prefer, "k-"+prefer)
		if w.wants(prefer, a, 202, ""); a.header.Get("Preference-Applied") != "" {
			t.Errorf("%s: was applied", prefer)
		}
	}
	a := w.do("POST", "/v1/messages", `{"sender":"alice@localhost","recipients":["bob@localhost"],"payload":1}`,
		"Prefer: wait=30") // without a key, in the development profile
	if w.wants("without a key", a, 202, ""); a.header.Get("Preference-Applied") != "" {
		t.Error("without a key the preference was applied")
	}
	refused := w.do("POST", "/v1/messages", `{"sender":"bob@localhost","recipients":["alice@localhost"],"payload":1}`,
		w.as("alice"), "Prefer: wait=30")
	w.wants("as another", refused, 403, "SENDER_CREDENTIAL_MISMATCH")
	for i, prefer := range []string{`wait="0"`, "WAIT=0; a=b", "a, wait=0"} {
		a := w.question(prefer, fmt.Sprintf("k-%d", i))
		if w.wants(prefer, a, 202, ""); a.header.Get("Preference-Applied") != "wait=0" {
			t.Errorf("%s: applied %q, want wait=0", prefer, a.header.Get("Preference-Applied"))
		}
	}
}

// TestPreferLooksBehind: what is in the inbox before the message is sent is no answer to it,
// and is not read again.
func TestPreferLooksBehind(t *testing.T) {
	w := start(t)
	w.agent("alice")
	w.agent("bob")
	const id = "01a204dc-8339-7ac7-ac52-c37b55304caa"
	early := w.do("POST", "/v1/messages", `{"sender":"bob@localhost","recipients":["alice@localhost"],"payload":1,
		"in_reply_to":"`+id+`"}`, w.as("bob"))
	w.wants("an answer to nothing", early, 202, "")
	a := w.do("POST", "/v1/messages", `{"message_id":"`+id+`","sender":"alice@localhost",
		"recipients":["bob@localhost"],"payload":1}`, w.as("alice"), "Prefer: wait=0")
	if w.wants("the question", a, 202, ""); a.body["reply"] != nil {
		t.Errorf("the reply is older than the question: %s", a.raw)
	}
}

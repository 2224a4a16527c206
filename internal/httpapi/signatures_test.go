package httpapi_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
)

// far is another domain, for which these tests sign. It has keys and does not say that it
// signs. Its signing code is separate from the program's.
type far struct {
	es *ecdsa.PrivateKey // under the selector es
	rs *rsa.PrivateKey   // under rs
}

func newFar(t *testing.T) *far {
	t.Helper()
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &far{es, rs}
}

// records returns the domain's records in DNS.
func (f *far) records(t *testing.T) string {
	t.Helper()
	record := func(alg string, key crypto.PublicKey) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return "v=amtpkey1;alg=" + alg + ";p=" + base64.StdEncoding.EncodeToString(der)
	}
	b, err := json.Marshal(map[string]string{
		"far.example":             "v=amtp1;gateway=https://amtp.far.example",
		"es._amtpkey.far.example": record("ES256", &f.es.PublicKey),
		"rs._amtpkey.far.example": record("RS256", &f.rs.PublicKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// signed returns a message with the signature of the key that the selector names. It signs
// the form that encoding/json gives a map: sorted and without spaces. For plain strings and
// small numbers this is the form of RFC 8785.
func (f *far) signed(t *testing.T, m map[string]any, keyid string) map[string]any {
	t.Helper()
	m = with(m, "signature", nil)
	form, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	digest, algorithm, value := sha256.Sum256(form), "ES256", []byte(nil)
	if keyid == "rs" {
		algorithm = "RS256"
		value, err = rsa.SignPKCS1v15(nil, f.rs, crypto.SHA256, digest[:])
	} else {
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, f.es, digest[:]); err == nil {
			value = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return with(m, "signature", map[string]any{"algorithm": algorithm, "keyid": keyid,
		"value": base64.RawURLEncoding.EncodeToString(value)})
}

// with returns a copy with another value for one member; nil removes the member.
func with(m map[string]any, name string, value any) map[string]any {
	m = maps.Clone(m)
	m[name] = value
	if value == nil {
		delete(m, name)
	}
	return m
}

// letter returns a message of the domain to the agent, with every kind of member.
func letter(to string) map[string]any {
	return map[string]any{
		"version": "1.0", "message_id": uuid.Must(uuid.NewV7()).String(), "idempotency_key": uuid.NewString(),
		"timestamp": time.Now().UTC().Format(time.RFC3339), "sender": "ann@far.example",
		"recipients": []any{to + "@ours.example"},
		"subject":    "Prices", "schema": "agntcy:far.example.order.v1", "headers": map[string]any{"priority": "high"},
		"payload": map[string]any{"total": 29, "lines": []any{"one", "two"}}, "in_reply_to": "before-1",
		"response_type": "workflow_response",
		"workflow_id":   "flow-1", "coordination": map[string]any{"type": "parallel"},
		"x-note": map[string]any{"deep": []any{1, true}},
		"attachments": []any{map[string]any{"filename": "a", "content_type": "text/plain", "size": 1,
			"hash": "sha256:ab", "url": "https://far.example/a"}},
	}
}

// receiver is the gateway of ours.example, under one policy.
type receiver struct {
	*world
	policy string
}

func newReceiver(t *testing.T, f *far, policy string) *receiver {
	t.Helper()
	w := start(t, "AMTP_DOMAIN=ours.example", "AMTP_SIGNATURE_VERIFY_POLICY="+policy,
		"AMTP_DNS_MOCK_RECORDS="+f.records(t))
	for _, name := range []string{"alice", "bob", "carol"} {
		w.agent(name)
	}
	return &receiver{w, policy}
}

func jsonOf(t *testing.T, m map[string]any) string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stored returns the number of messages that the gateway has.
func (r *receiver) stored() float64 {
	r.t.Helper()
	a := r.do("GET", "/v1/messages?limit=1", "", "X-Admin-Key: "+r.admin)
	r.wants("count", a, 200, "")
	return a.body["total"].(float64)
}

// takes brings a message that must be stored once. It checks the verification of the sender
// that is shown in the inbox, with the message and in its status.
func (r *receiver) takes(t *testing.T, to, doc string, want map[string]any, headers ...string) string {
	t.Helper()
	before := r.stored()
	a := r.do("POST", "/v1/messages", doc, headers...)
	if a.status != http.StatusAccepted || r.stored() != before+1 {
		t.Fatalf("%s: got %d %s with %v messages before and %v now; want 202 and one more; sent %s", r.policy, a.status,
			a.raw, before, r.stored(), doc)
	}
	id := a.body["message_id"].(string)
	if a.body["sender_verification"] != nil {
		t.Errorf("%s: the answer to the sender says %v", r.policy, a.body["sender_verification"])
	}
	var item map[string]any
	page := r.do("GET", "/v1/inbox/"+to+"@ours.example", "", r.as(to))
	for _, m := range page.body["messages"].([]any) {
		if m := m.(map[string]any); m["message_id"] == id {
			item = m
		}
	}
	for where, body := range map[string]map[string]any{
		"inbox": item, "message": r.do("GET", "/v1/messages/"+id, "", r.as(to)).body,
		"status": r.do("GET", "/v1/messages/"+id+"/status", "", r.as(to)).body,
	} {
		got, _ := body["sender_verification"].(map[string]any)
		if !maps.Equal(got, want) {
			t.Errorf("%s: the %s says %v, want %v; sent %s", r.policy, where, got, want, doc)
		}
	}
	proven := want["method"] != nil
	if trust := item["trust"]; (trust == "verified" || trust == "local") != proven ||
		(item["authentication"].(map[string]any)["result"] == "pass") != proven {
		t.Errorf("%s: trust is %v, authentication %v, verification %v", r.policy, trust, item["authentication"], want)
	}
	return id
}

// refuses brings a message that must be refused, and checks that nothing is stored.
func (r *receiver) refuses(t *testing.T, doc string, status int, code, result string, headers ...string) answer {
	t.Helper()
	before := r.stored()
	a := r.do("POST", "/v1/messages", doc, headers...)
	if a.status != status || a.code() != code || r.stored() != before {
		t.Errorf("%s: got %d %s with %v messages before and %v now; want %d %s and no more; sent %s", r.policy,
			a.status, a.raw, before, r.stored(), status, code, doc)
		return a
	}
	details, _ := a.body["error"].(map[string]any)["details"].(map[string]any)
	if got, _ := details["result"].(string); got != result {
		t.Errorf("%s: the result in the details is %q, want %q: %s", r.policy, got, result, a.raw)
	}
	if (a.header.Get("Retry-After") != "") != (status == 503) {
		t.Errorf("%s: Retry-After is %q with %d", r.policy, a.header.Get("Retry-After"), status)
	}
	return a
}

// proven returns the sender_verification of a message whose signature verifies.
func proven(keyid, algorithm string) map[string]any {
	return map[string]any{"result": "verified", "method": "domain_signature", "domain": "far.example", "keyid": keyid,
		"algorithm": algorithm}
}

// unproven returns the sender_verification of a message that was accepted without proof.
func (r *receiver) unproven(result, keyid, algorithm string) map[string]any {
	v := map[string]any{"result": result, "domain": "far.example", "policy": r.policy}
	if keyid != "" {
		v["keyid"] = keyid
	}
	if algorithm != "" {
		v["algorithm"] = algorithm
	}
	return v
}

// flagged returns the operator's counts of messages that were accepted without proof.
func (r *receiver) flagged() map[string]any {
	r.t.Helper()
	a := r.do("GET", "/v1/admin/peers", "", "X-Admin-Key: "+r.admin)
	r.wants("peers", a, 200, "")
	return a.body["flagged"].(map[string]any)
}

// TestDomainSignatures has the ten conformance tests of the revision of domain
// signatures, in its order. AMTP §9.
func TestDomainSignatures(t *testing.T) {
	f := newFar(t)
	flag, reject, accept := newReceiver(t, f, "flag"), newReceiver(t, f, "reject"), newReceiver(t, f, "accept")
	all := []*receiver{flag, reject, accept}

	t.Run("1_valid_ES256", func(t *testing.T) {
		for _, r := range all {
			r.takes(t, "bob", jsonOf(t, f.signed(t, letter("bob"), "es")), proven("es", "ES256"))
		}
	})
	t.Run("2_valid_RS256", func(t *testing.T) {
		for _, r := range all {
			r.takes(t, "bob", jsonOf(t, f.signed(t, letter("bob"), "rs")), proven("rs", "RS256"))
		}
	})
	// A domain that has signed once must sign under every policy. The next tests are about
	// the policies, so they use new gateways, to which the domain has not written.
	flag, accept = newReceiver(t, f, "flag"), newReceiver(t, f, "accept")
	t.Run("3_tamper", func(t *testing.T) { tamper(t, f, reject, flag) })
	t.Run("4_unsigned_policy", func(t *testing.T) {
		before := flag.flagged()["unsigned"].(float64)
		for _, r := range []*receiver{flag, accept} {
			r.takes(t, "bob", jsonOf(t, letter("bob")), r.unproven("unsigned", "", ""))
		}
		reject.refuses(t, jsonOf(t, letter("bob")), 403, "SIGNATURE_REQUIRED", "unsigned")
		if got := flag.flagged()["unsigned"].(float64); got != before+1 {
			t.Errorf("%v unsigned messages are counted, want %v", got, before+1)
		}
		if got := accept.flagged()["unsigned"].(float64); got != 0 {
			t.Errorf("%v unsigned messages are counted under accept, want 0", got)
		}
	})
	t.Run("5_invalid_policy", func(t *testing.T) {
		before := flag.flagged()["invalid"].(float64)
		forged := func() string { return jsonOf(t, with(f.signed(t, letter("bob"), "es"), "subject", "Forged")) }
		for _, r := range []*receiver{flag, accept} {
			r.takes(t, "bob", forged(), r.unproven("invalid", "es", "ES256"))
		}
		reject.refuses(t, forged(), 403, "SIGNATURE_INVALID", "invalid")
		if got := flag.flagged()["invalid"].(float64); got != before+1 {
			t.Errorf("%v invalid messages are counted, want %v", got, before+1)
		}
	})
	t.Run("6_unknown_key", func(t *testing.T) {
		unknown := func() string { return jsonOf(t, f.signed(t, letter("bob"), "nokey")) }
		for _, r := range []*receiver{flag, accept} {
			r.takes(t, "bob", unknown(), r.unproven("key_unavailable", "nokey", "ES256"))
		}
		reject.refuses(t, unknown(), 503, "SIGNATURE_KEY_UNAVAILABLE", "key_unavailable")
		if got := flag.flagged()["key_unavailable"].(float64); got != 1 {
			t.Errorf("%v messages without a key are counted, want 1", got)
		}
	})
	t.Run("7_doubled_name", func(t *testing.T) {
		doc := jsonOf(t, f.signed(t, letter("bob"), "es"))
		for _, r := range []*receiver{flag, reject, accept} {
			for _, twice := range []string{`"subject":"Prices"`, `"total":29`, `"keyid":"es"`} {
				doubled := string(bytes.Replace([]byte(doc), []byte(twice), []byte(twice+","+twice), 1))
				if doubled == doc {
					t.Fatalf("%s is not in %s", twice, doc)
				}
				r.refuses(t, doubled, 400, "INVALID_MESSAGE_FORMAT", "")
			}
		}
	})
	t.Run("8_fan_out", func(t *testing.T) {
		for _, r := range []*receiver{reject, newReceiver(t, f, "flag")} {
			m := letter("bob")
			r.takes(t, "bob", jsonOf(t, f.signed(t, m, "es")), proven("es", "ES256"))
			r.joins(t, "carol", jsonOf(t, f.signed(t, with(m, "recipients", []any{"carol@ours.example"}), "es")),
				m["message_id"].(string))
			r.joins(t, "bob", jsonOf(t, f.signed(t, m, "es")), m["message_id"].(string)) // a retry
		}
	})
	t.Run("9_workflow_answer", func(t *testing.T) {
		for _, r := range []*receiver{reject, newReceiver(t, f, "flag")} {
			first := r.takes(t, "bob", jsonOf(t, f.signed(t, letter("bob"), "es")), proven("es", "ES256"))
			answers := with(with(letter("bob"), "in_reply_to", first), "workflow_id", first)
			r.refuses(t, jsonOf(t, with(f.signed(t, answers, "es"), "payload", map[string]any{"approve": true})), 403,
				"SIGNATURE_INVALID", "invalid")
			r.refuses(t, jsonOf(t, answers), 403, "SIGNATURE_REQUIRED", "unsigned")
			// The refused answers changed nothing and are not remembered, so the real answer is
			// a new message.
			r.takes(t, "bob", jsonOf(t, f.signed(t, answers, "es")), proven("es", "ES256"))
		}
	})
	t.Run("10_local_sender", func(t *testing.T) {
		for _, r := range all {
			m := jsonOf(t, with(with(letter("bob"), "sender", "alice@ours.example"), "coordination", nil))
			a := r.refuses(t, m, 401, "LOCAL_SENDER_AUTH_REQUIRED", "")
			if details,
				_ := a.body["error"].(map[string]any)["details"].(map[string]any); details["required_header"] == nil {
				t.Errorf("the answer does not say which header is needed: %s", a.raw)
			}
			claimed := f.signed(t, with(letter("bob"), "sender", "alice@ours.example"), "es")
			r.refuses(t, jsonOf(t, claimed), 401, "LOCAL_SENDER_AUTH_REQUIRED", "")
			r.refuses(t, m, 403, "SENDER_CREDENTIAL_MISMATCH", "", r.as("carol"))
			r.refuses(t, jsonOf(t, f.signed(t, letter("bob"), "es")), 403, "SENDER_CREDENTIAL_MISMATCH", "",
				r.as("carol"))
			r.refuses(t, m, 401, "AUTHENTICATION_FAILED", "", "Authorization: Bearer amtp_nobody")
			r.takes(t, "bob", m, map[string]any{"result": "authenticated", "method": "agent_api_key"}, r.as("alice"))
		}
	})
	t.Run("claimed_result", func(t *testing.T) {
		for _, name := range []string{"sender_verification", "Sender_Verification"} {
			flag.refuses(t, jsonOf(t, f.signed(t, with(letter("bob"), name, proven("es", "ES256")), "es")), 400,
				"INVALID_MESSAGE_FORMAT", "")
		}
	})
}

// tamper changes every member of a signed message, one at a time.
func tamper(t *testing.T, f *far, reject, flag *receiver) {
	other := map[string]any{
		"version": nil, "message_id": uuid.NewString(), "idempotency_key": uuid.NewString(),
		"timestamp": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339),
		"sender":    "eve@far.example", "recipients": []any{"carol@ours.example"}, "subject": "Other prices",
		"schema":  "agntcy:far.example.order.v2",
		"headers": map[string]any{"priority": "low"}, "payload": map[string]any{"total": 28,
			"lines": []any{"one", "two"}}, "in_reply_to": "before-2",
		"response_type": "workflow_error", "workflow_id": "flow-2",
		"coordination": map[string]any{"type": "sequential"}, "x-note": map[string]any{"deep": []any{1, false}},
		"attachments": []any{map[string]any{"filename": "a", "content_type": "text/plain", "size": 2,
			"hash": "sha256:ab", "url": "https://far.example/a"}},
	}
	for name := range letter("bob") {
		if _, ok := other[name]; !ok {
			t.Errorf("the test does not change the member %s", name)
		}
	}
	try := func(name string, value any) {
		m := f.signed(t, letter("bob"), "es")
		reject.refuses(t, jsonOf(t, with(m, name, value)), 403, "SIGNATURE_INVALID", "invalid")
		if name != "recipients" {
			flag.takes(t, "bob", jsonOf(t, with(m, name, value)), flag.unproven("invalid", "es", "ES256"))
		}
		if name != "version" {
			reject.refuses(t, jsonOf(t, with(m, name, nil)), refusedWithout(name),
				map[int]string{400: "INVALID_MESSAGE_FORMAT", 403: "SIGNATURE_INVALID"}[refusedWithout(name)],
				map[int]string{403: "invalid"}[refusedWithout(name)])
		}
	}
	for name, value := range other {
		try(name, value)
	}
	m := f.signed(t, letter("bob"), "es")
	reject.refuses(t, jsonOf(t, with(m, "added", "by somebody on the way")), 403, "SIGNATURE_INVALID", "invalid")
	for member, value := range map[string]any{"algorithm": "RS256", "keyid": "rs",
		"value": base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "extra": 1} {
		reject.refuses(t, jsonOf(t, with(m, "signature", with(m["signature"].(map[string]any), member, value))), 403,
			"SIGNATURE_INVALID", "invalid")
	}
}

// refusedWithout is the status for a message without the member.
func refusedWithout(name string) int {
	if name == "sender" || name == "recipients" {
		return http.StatusBadRequest
	}
	return http.StatusForbidden
}

// joins brings another delivery of a message that is stored already. The message is in the
// inbox once, and the gateway has no further message.
func (r *receiver) joins(t *testing.T, to, doc, id string) {
	t.Helper()
	before := r.stored()
	if a := r.do("POST", "/v1/messages", doc); a.status != http.StatusAccepted || a.body["message_id"] != id ||
		r.stored() != before {
		t.Errorf("%s: got %d %s with %v messages before and %v now; want 202, %s and no more", r.policy, a.status,
			a.raw, before, r.stored(), id)
	}
	times := 0
	for _, m := range r.do("GET", "/v1/inbox/"+to+"@ours.example", "", r.as(to)).body["messages"].([]any) {
		if m := m.(map[string]any); m["message_id"] == id {
			times++
			if got, _ := m["sender_verification"].(map[string]any); fmt.Sprint(got) != fmt.Sprint(proven("es",
				"ES256")) {
				t.Errorf("%s: sender_verification of %s is %v", r.policy, to, got)
			}
		}
	}
	if times != 1 {
		t.Errorf("%s: %s has the message %d times, want once", r.policy, to, times)
	}
}

package testnet_test

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
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/testnet"
)

// key is a key with which a domain signs, or pretends to sign.
type key struct {
	algorithm string
	private   crypto.Signer
}

// record is the record that the domain publishes for the key.
func (k *key) record() string { return recordOf(k.algorithm, k.private.Public()) }

func recordOf(algorithm string, public crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	return "v=amtpkey1;alg=" + algorithm + ";p=" + base64.StdEncoding.EncodeToString(der)
}

// sign is written separately from the program's own code. So a mistake there does not
// change what the tests accept as a signature.
func (k *key) sign(form []byte) []byte {
	digest := sha256.Sum256(form)
	var out []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, private, digest[:]); err == nil {
			out = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case *rsa.PrivateKey:
		out, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest[:])
	}
	if err != nil {
		panic(err)
	}
	return out
}

func es256() *key {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return &key{"ES256", private}
}

// rs256 makes an RSA key of each size only once, because that takes long.
var rs256 = func() func(bits int) *key {
	var mu sync.Mutex
	made := map[int]*key{}
	return func(bits int) *key {
		mu.Lock()
		defer mu.Unlock()
		if made[bits] == nil {
			private, err := rsa.GenerateKey(rand.Reader, bits)
			if err != nil {
				panic(err)
			}
			made[bits] = &key{"RS256", private}
		}
		return made[bits]
	}
}()

// letter is a message as another domain's gateway writes it.
type letter map[string]any

// with returns a copy with another value of one member; nil removes the member.
func (l letter) with(name string, value any) letter {
	l = maps.Clone(l)
	l[name] = value
	if value == nil {
		delete(l, name)
	}
	return l
}

// signedBy returns a copy that the key signed, under the keyid.
func (l letter) signedBy(k *key, keyid string) letter {
	form, err := canonical.Form(l.with("signature", nil).bytes())
	if err != nil {
		panic(err)
	}
	return l.with("signature", signature(k.algorithm, keyid, k.sign(form)))
}

func signature(algorithm, keyid string, value []byte) map[string]any {
	return map[string]any{"algorithm": algorithm, "keyid": keyid, "value": base64.RawURLEncoding.EncodeToString(value)}
}

// signatureWith returns a copy with another value of one member of the signature; nil
// removes the member.
func (l letter) signatureWith(name string, value any) letter {
	s := letter(l["signature"].(map[string]any)).with(name, value)
	return l.with("signature", map[string]any(s))
}

// value returns the decoded signature.
func (l letter) value() []byte {
	v, err := base64.RawURLEncoding.DecodeString(l["signature"].(map[string]any)["value"].(string))
	if err != nil {
		panic(err)
	}
	return v
}

func (l letter) bytes() []byte {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return b
}

// world is an internet with one real gateway. Other domains write to it, and this test
// plays their gateways.
type world struct {
	*testing.T
	net    *testnet.Net
	gate   *testnet.Gateway
	http   *http.Client
	policy gateway.Policy // of the gateway
}

// ours is the domain of the gateway.
const ours = "ours.example"

// policySetting is the variable for the policy on messages that prove nothing.
const policySetting = "AMTP_SIGNATURE_VERIFY_POLICY="

// openWorld starts the gateway of ours, with settings.
func openWorld(t *testing.T, settings ...string) *world {
	n := testnet.New(t)
	w := &world{T: t, net: n, gate: n.Start(ours, settings...), http: n.HTTP(ours), policy: gateway.PolicyFlag}
	for _, s := range settings {
		if _, policy, ok := strings.Cut(s, policySetting); ok {
			w.policy = gateway.Policy(policy)
		}
	}
	return w
}

// within returns the world for a subtest.
func (w *world) within(t *testing.T) *world {
	inner := *w
	inner.T = t
	return &inner
}

// domain is another domain, with its key in DNS under key1.
type domain struct {
	w    *world
	name string
	key  *key
}

// newDomain makes a domain that the gateway does not know. A domain that is held
// publishes that it signs all its messages.
func (w *world) newDomain(held bool) *domain {
	d := &domain{w: w, name: "d-" + uuid.NewString() + ".town.example", key: es256()}
	d.publish("key1", d.key.record())
	auth := "none"
	if held {
		auth = "sig"
	}
	w.net.DNS.TXT("_amtp."+d.name, time.Minute, "v=amtp1;gateway=https://amtp."+d.name+";auth="+auth)
	return d
}

func (d *domain) publish(selector string, records ...string) {
	d.w.net.DNS.TXT(selector+"._amtpkey."+d.name, time.Minute, records...)
}

// writes returns an unsigned letter to the recipients.
func (d *domain) writes(to ...string) letter {
	return letter{
		"version": "1.0", "message_id": uuid.Must(uuid.NewV7()).String(), "idempotency_key": uuid.NewString(),
		"timestamp": time.Now().UTC().Format(amtp.TimeFormat), "sender": "ann@" + d.name, "recipients": to,
		"subject": "a letter", "payload": map[string]any{"total": 29.99, "lines": []string{"one", "two"}},
	}
}

// signs returns the letter with the domain's signature.
func (d *domain) signs(l letter) letter { return l.signedBy(d.key, "key1") }

// newAgent registers an agent of ours with an empty inbox.
func (w *world) newAgent() *testnet.Person {
	return w.net.As("agent-" + uuid.NewString() + "@" + ours)
}

// answer is the gateway's answer to a letter.
type answer struct {
	status     int
	code       amtp.Code
	reason     any // in the details
	found      any // the result, also in the details
	retryAfter string
	replayed   bool
	result     amtp.SendResult
	text       string
}

// post sends a body to the gateway, with the given headers.
func (w *world) post(body []byte, header ...string) answer {
	w.Helper()
	q, err := http.NewRequestWithContext(w.Context(), "POST", w.gate.URL()+"/v1/messages", bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	r, err := w.http.Do(q)
	if err != nil {
		w.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		w.Fatal(err)
	}
	var said struct {
		Error amtp.Error `json:"error"`
		amtp.SendResult
	}
	if err := json.Unmarshal(text, &said); err != nil {
		w.Fatalf("the answer is no JSON: %v: %s", err, text)
	}
	return answer{status: r.StatusCode, code: said.Error.Code, reason: said.Error.Details["reason"],
		found:      said.Error.Details["result"],
		retryAfter: r.Header.Get("Retry-After"),
		replayed:   r.Header.Get("Idempotent-Replayed") == "true", result: said.SendResult, text: string(text)}
}

// stored returns how many messages the gateway has.
func (w *world) stored() int {
	w.Helper()
	all := w.gate.Operator()
	all.Key = all.AdminKey
	list, err := all.Messages(w.Context(), amtp.MessageQuery{Limit: 1})
	if err != nil {
		w.Fatal(err)
	}
	return list.Total
}

// refused posts a body that must be refused, and checks that nothing is stored.
func (w *world) refused(body []byte, status int, code amtp.Code, reason amtp.Reason, header ...string) answer {
	w.Helper()
	before := w.stored()
	a := w.post(body, header...)
	if a.status != status || a.code != code {
		w.Errorf("the answer is %d %s, want %d %s: %s; body %s", a.status, a.code, status, code, a.text, body)
	}
	if got, _ := a.reason.(string); got != string(reason) {
		w.Errorf("the reason is %q, want %q: %s; body %s", got, reason, a.text, body)
	}
	if got, _ := a.found.(string); reason != "" && got != string(reason.Verification()) {
		w.Errorf("the result is %q, want %q: %s; body %s", got, reason.Verification(), a.text, body)
	}
	if after := w.stored(); after != before {
		w.Errorf("%d messages are stored, want %d as before the refusal; body %s", after, before, body)
	}
	return a
}

// turnedAway posts a body that must be refused because its sender must be proven and is
// not.
func (w *world) turnedAway(body []byte, reason amtp.Reason) {
	w.Helper()
	status, code, wait := http.StatusForbidden, amtp.CodeSignatureInvalid, ""
	switch reason.Verification() {
	case amtp.SenderUnsigned:
		code = amtp.CodeSignatureRequired
	case amtp.SenderKeyUnavailable:
		status, code, wait = http.StatusServiceUnavailable, amtp.CodeSignatureKeyUnavailable, "60"
	}
	if a := w.refused(body, status, code, reason); a.retryAfter != wait {
		w.Errorf("Retry-After is %q, want %q: %s", a.retryAfter, wait, a.text)
	}
}

// taken posts a body that must be accepted and returns the message from the agent's
// inbox.
func (w *world) taken(body []byte, by *testnet.Person) amtp.InboxMessage {
	w.Helper()
	before := len(by.Inbox())
	if a := w.post(body); a.status != http.StatusAccepted || a.replayed {
		w.Fatalf("the answer is %d (replayed %v), want 202 for a new message: %s; body %s", a.status, a.replayed,
			a.text, body)
	}
	inbox := by.Inbox()
	if len(inbox) != before+1 {
		w.Fatalf("the inbox has %d messages, want %d; body %s", len(inbox), before+1, body)
	}
	return inbox[before]
}

// verified checks the authentication of a message whose sender was proven.
func (w *world) verified(m amtp.InboxMessage, d *domain, algorithm, selector string) {
	w.Helper()
	want := amtp.Authentication{Result: "pass", Domain: d.name, Selector: selector, Algorithm: algorithm,
		FirstContact: m.Authentication.FirstContact}
	if m.Trust != amtp.TrustVerified || m.Authentication != want {
		w.Errorf("the message is shown as %s, %+v; want verified, %+v", m.Trust, m.Authentication, want)
	}
	w.shown(m, amtp.SenderVerification{Result: amtp.SenderVerified, Method: amtp.MethodDomainSignature,
		Domain: amtp.Domain(d.name), KeyID: selector, Algorithm: algorithm})
}

// unverified checks the authentication of a message whose sender proved nothing.
func (w *world) unverified(m amtp.InboxMessage, d *domain, reason amtp.Reason) {
	w.Helper()
	a := m.Authentication
	if m.Trust != amtp.TrustUnverified || a.Result != reason.Result() || a.Reason != string(reason) ||
		a.Domain != d.name {
		w.Errorf("the message is shown as %s, %+v; want unverified, %s because of %s, domain %s", m.Trust, a,
			reason.Result(), reason, d.name)
	}
	w.shown(m, amtp.SenderVerification{Result: reason.Verification(), Domain: amtp.Domain(d.name), KeyID: a.Selector,
		Algorithm: a.Algorithm, Policy: string(w.policy)})
}

// shown checks the protocol's own form of a message's authentication.
func (w *world) shown(m amtp.InboxMessage, want amtp.SenderVerification) {
	w.Helper()
	if m.SenderVerification == nil || *m.SenderVerification != want {
		w.Errorf("sender_verification is %+v, want %+v", m.SenderVerification, want)
	}
}

package amtp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
)

// complete is a message with every member that must be signed.
const complete = `{"version":"1.0","message_id":"019b1d3e-7c00-7000-8000-000000000001","idempotency_key":"550e8400-e29b-41d4-a716-446655440000",` +
	`"timestamp":"2026-11-22T17:00:00.000Z","sender":"Orders@example.com","recipients":["billing@receiver.test"],"subject":"","x-unknown":{"b":1,"a":[1.50,null]},"payload":{"total":10498.50,"currency":"€"}}`

func signer(t testing.TB) *amtp.Signer {
	t.Helper()
	s, err := amtp.NewSigner("key1", signingKey(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed(t testing.TB, body string) string {
	t.Helper()
	out, err := signer(t).Sign([]byte(body))
	if err != nil {
		t.Fatalf("Sign = %v; body %s", err, body)
	}
	return string(out)
}

// check goes through the steps as a gateway does.
func check(t testing.TB, body string, key amtp.KeyRecord) (amtp.Signature, error) {
	t.Helper()
	m, failure := amtp.ParseMessage([]byte(body))
	if failure != nil {
		t.Fatalf("ParseMessage = %v; body %s", failure, body)
	}
	sig, err := amtp.ParseSignature(m)
	if err != nil {
		return sig, err
	}
	return sig, sig.Verify(key)
}

func TestSign(t *testing.T) {
	out := signed(t, complete)
	if !strings.HasPrefix(out, complete[:len(complete)-1]+`,"signature":{"algorithm":"ES256","keyid":"key1","value":"`) {
		t.Errorf("Sign = %s, want the body and behind it the signature; body %s", out, complete)
	}
	if again := signed(t, complete); again != out {
		t.Errorf("Sign = %s, want the bytes of the first time %s", again, out)
	}
	sig, err := check(t, out, signer(t).KeyRecord())
	if err != nil || sig.Domain != "example.com" || sig.Selector != "key1" || sig.Algorithm != amtp.ES256 {
		t.Errorf("signature = %+v, %v, want one of key1 at example.com that verifies; body %s", sig, err, out)
	}
	spaced := "\n" + strings.Replace(complete, `,"subject"`, " ,\n\t\"subject\"", 1) + " \n"
	if _, err := check(t, signed(t, spaced), signer(t).KeyRecord()); err != nil {
		t.Errorf("Verify = %v, want no error; body with white space %q", err, spaced)
	}
	other := `{"payload":{"currency":"\u20ac","total":1.04985E4},"x-unknown":{"a":[1.5,null],"b":1},` + out[1:strings.Index(out, `,"x-unknown"`)] + out[strings.Index(out, `,"signature"`):]
	if _, err := check(t, other, signer(t).KeyRecord()); err != nil {
		t.Errorf("Verify = %v, want no error; the same message written by another hand %s", err, other)
	}
}

func TestSignRefuses(t *testing.T) {
	for _, c := range []struct {
		name, body string
		reason     amtp.Reason
	}{
		{"no message", `{}`, "?"},
		{"signed already", signed(t, complete), amtp.ReasonMalformed},
		{"null for a signature", strings.Replace(complete, `{`, `{"signature":null,`, 1), amtp.ReasonMalformed},
		{"inexact number", strings.Replace(complete, `10498.50`, `9007199254740993`, 1), amtp.ReasonInexactNumber},
		{"inexact number in an unknown member", strings.Replace(complete, `1.50`, `0.1000000000000000055`, 1), amtp.ReasonInexactNumber},
		{"no version", without("version"), amtp.ReasonIncomplete},
		{"no message_id", without("message_id"), amtp.ReasonIncomplete},
		{"no idempotency_key", without("idempotency_key"), amtp.ReasonIncomplete},
		{"no timestamp", without("timestamp"), amtp.ReasonIncomplete},
		{"no payload", without("payload"), amtp.ReasonIncomplete},
	} {
		if out, err := signer(t).Sign([]byte(c.body)); reasonOf(err) != c.reason {
			t.Errorf("%s: Sign = %s, %v, want reason %q; body %s", c.name, out, err, c.reason, c.body)
		}
	}
	if _, err := check(t, signed(t, strings.Replace(complete, `{"total":10498.50,"currency":"€"}`, `null`, 1)), signer(t).KeyRecord()); err != nil {
		t.Errorf("Verify = %v, want no error; a payload of null is a payload", err)
	}
}

// without returns the complete message without one member.
func without(name string) string { return edit(complete, name, "") }

// edit writes another value for a member of a message, or none for "".
func edit(body, name, value string) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		panic(err)
	}
	members[name] = json.RawMessage(value)
	if value == "" {
		delete(members, name)
	}
	b, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestNewSignerRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := amtp.NewSigner("key1", p384); err == nil {
		t.Error("NewSigner = nil, want an error for a key on P-384")
	}
	if _, err := amtp.NewSigner("key1", nil); err == nil {
		t.Error("NewSigner = nil, want an error for no key")
	}
	if _, err := amtp.NewSigner(`k"1`, signingKey(t, "a")); err == nil {
		t.Error("NewSigner = nil, want an error for a selector with a quote")
	}
}

// Every member that is signed, and every other one, is covered.
func TestChangedMembersAreFound(t *testing.T) {
	body, key := signed(t, complete), signer(t).KeyRecord()
	for name, value := range map[string]string{
		"message_id": `"other"`, "idempotency_key": `"other"`, "timestamp": `"2026-11-22T17:00:00.001Z"`, "sender": `"orders@example.com"`,
		"recipients": `["billing@receiver.test","eve@receiver.test"]`, "payload": `{"total":10498.51,"currency":"€"}`, "subject": `"x"`,
		"x-unknown": `{"b":1,"a":[1.50,0]}`, "added": `null`, "coordination": `null`,
	} {
		changed := edit(body, name, value)
		if _, err := check(t, changed, key); reasonOf(err) != amtp.ReasonBadSignature {
			t.Errorf("Verify = %v, want %s; %s changed: %s", err, amtp.ReasonBadSignature, name, changed)
		}
	}
	if _, err := check(t, edit(body, "x-unknown", ""), key); reasonOf(err) != amtp.ReasonBadSignature {
		t.Errorf("Verify = %v, want %s; a member removed", err, amtp.ReasonBadSignature)
	}
	for _, name := range []string{"version", "message_id", "idempotency_key", "timestamp", "payload"} {
		if _, err := check(t, edit(body, name, ""), key); reasonOf(err) != amtp.ReasonIncomplete {
			t.Errorf("check = %v, want %s; %s removed", err, amtp.ReasonIncomplete, name)
		}
	}
	if _, err := check(t, edit(body, "payload", "9007199254740993"), key); reasonOf(err) != amtp.ReasonInexactNumber {
		t.Errorf("Verify = %v, want %s; a payload beyond binary64", err, amtp.ReasonInexactNumber)
	}
}

func TestParseSignature(t *testing.T) {
	value := base64.StdEncoding.EncodeToString(make([]byte, 64))
	object := func(algorithm, keyid, value string) string {
		b, err := json.Marshal(map[string]string{"algorithm": algorithm, "keyid": keyid, "value": value})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, signature string
		reason          amtp.Reason
	}{
		{"none", ``, amtp.ReasonUnsigned},
		{"null", `null`, amtp.ReasonUnsigned},
		{"selector", object("ES256", "key1", value), ""},
		{"selector in upper case", object("ES256", "KEY1", value), ""},
		{"domain and selector", object("ES256", "example.com:key1", value), ""},
		{"domain in upper case with a dot", object("EdDSA", "EXAMPLE.com.:key1", value), ""},
		{"further members", `{"algorithm":"RS256","keyid":"key1","value":"` + value + `","x":1}`, ""},
		{"empty object", `{}`, amtp.ReasonMalformed},
		{"number for a value", `{"algorithm":"ES256","keyid":"key1","value":1}`, amtp.ReasonMalformed},
		{"names in another case", `{"Algorithm":"ES256","KeyID":"key1","Value":"` + value + `"}`, amtp.ReasonMalformed},
		{"another domain", object("ES256", "evil.test:key1", value), amtp.ReasonForeignDomain},
		{"a domain above", object("ES256", "com:key1", value), amtp.ReasonForeignDomain},
		{"a domain below", object("ES256", "mail.example.com:key1", value), amtp.ReasonForeignDomain},
		{"empty domain", object("ES256", ":key1", value), amtp.ReasonForeignDomain},
		{"no selector", object("ES256", "example.com:", value), amtp.ReasonMalformed},
		{"two colons", object("ES256", "example.com:a:b", value), amtp.ReasonMalformed},
		{"selector with a slash", object("ES256", "a/b", value), amtp.ReasonMalformed},
		{"selector that is too long", object("ES256", strings.Repeat("a.", 120)+"a", value), amtp.ReasonMalformed},
		{"no algorithm", object("", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"algorithm none", object("none", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"HMAC", object("HS256", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"algorithm in lower case", object("es256", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"empty value", object("ES256", "key1", ""), amtp.ReasonMalformed},
		{"value without padding", object("ES256", "key1", strings.TrimRight(value, "=")), amtp.ReasonMalformed},
		{"value with a line break", object("ES256", "key1", value[:4]+"\n"+value[4:]), amtp.ReasonMalformed},
		{"value in the other alphabet", object("ES256", "key1", "__"+value[2:]), amtp.ReasonMalformed},
		{"value with bits behind its end", object("ES256", "key1", value[:len(value)-3]+"B=="), amtp.ReasonMalformed},
		{"long value", object("ES256", "key1", strings.Repeat("A", 1372)), amtp.ReasonMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, failure := amtp.ParseMessage([]byte(edit(complete, "signature", c.signature)))
			if failure != nil {
				t.Fatal(failure)
			}
			sig, err := amtp.ParseSignature(m)
			if reasonOf(err) != c.reason || sig.Domain != "example.com" || err == nil && sig.Selector != "key1" {
				t.Fatalf("ParseSignature = %+v, %v, want reason %q; signature %s", sig, err, c.reason, c.signature)
			}
			if err := sig.Verify(signer(t).KeyRecord()); err == nil {
				t.Errorf("Verify = nil, want an error; signature %s", c.signature)
			}
		})
	}
}

func TestVerifyWithAnotherKey(t *testing.T) {
	body := signed(t, complete)
	for _, c := range []struct {
		name   string
		key    amtp.KeyRecord
		reason amtp.Reason
	}{
		{"revoked", amtp.KeyRecord{Algorithm: amtp.ES256}, amtp.ReasonKeyRevoked},
		{"another", amtp.KeyRecord{Algorithm: amtp.ES256, Key: &signingKey(t, "b").PublicKey}, amtp.ReasonBadSignature},
		{"of another kind", amtp.KeyRecord{Algorithm: amtp.EdDSA, Key: edKey("a").Public()}, amtp.ReasonAlgorithmMismatch},
		{"of no kind", amtp.KeyRecord{Key: &signingKey(t, "a").PublicKey}, amtp.ReasonAlgorithmMismatch},
	} {
		if _, err := check(t, body, c.key); reasonOf(err) != c.reason {
			t.Errorf("%s: Verify = %v, want %s", c.name, err, c.reason)
		}
	}
}

// The other algorithms, and what is nearly a signature of each.
func TestVerifyAlgorithms(t *testing.T) {
	form, err := canonical.Form([]byte(complete))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(form)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	pss, err := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, digest[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := signingKey(t, "a").Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	es, rs, ed := signer(t).KeyRecord(), amtp.KeyRecord{Algorithm: amtp.RS256, Key: &rsaKey.PublicKey}, amtp.KeyRecord{Algorithm: amtp.EdDSA, Key: edKey("a").Public()}
	order := elliptic.P256().Params().N
	for _, c := range []struct {
		name   string
		key    amtp.KeyRecord
		value  []byte
		reason amtp.Reason
	}{
		{"RS256", rs, pkcs, ""},
		{"EdDSA", ed, sign(t, "a", form), ""},
		{"RS256 with PSS", rs, pss, amtp.ReasonBadSignature},
		{"RS256 without its first byte", rs, pkcs[1:], amtp.ReasonBadSignature},
		{"EdDSA over the digest", ed, sign(t, "a", digest[:]), amtp.ReasonBadSignature},
		{"EdDSA without its last byte", ed, sign(t, "a", form)[:63], amtp.ReasonBadSignature},
		{"ES256 in ASN.1", es, der, amtp.ReasonBadSignature},
		{"ES256 of zeros", es, make([]byte, 64), amtp.ReasonBadSignature},
		{"ES256 of the order", es, slices.Concat(order.Bytes(), order.Bytes()), amtp.ReasonBadSignature},
		{"ES256 of the largest numbers", es, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 512), big.NewInt(1)).Bytes(), amtp.ReasonBadSignature},
	} {
		object := `{"algorithm":"` + c.key.Algorithm + `","keyid":"key1","value":"` + base64.StdEncoding.EncodeToString(c.value) + `"}`
		if _, err := check(t, edit(complete, "signature", object), c.key); reasonOf(err) != c.reason {
			t.Errorf("%s: Verify = %v, want reason %q", c.name, err, c.reason)
		}
	}
}

func sign(t testing.TB, seed string, text []byte) []byte {
	t.Helper()
	value, err := edKey(seed).Sign(nil, text, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestCheckTimestamp(t *testing.T) {
	now := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		age    time.Duration
		reason amtp.Reason
	}{
		{0, ""},
		{8 * 24 * time.Hour, ""},
		{8*24*time.Hour + time.Millisecond, amtp.ReasonExpired},
		{100 * 24 * 365 * time.Hour, amtp.ReasonExpired},
		{-10 * time.Minute, ""},
		{-10*time.Minute - time.Millisecond, amtp.ReasonNotYetValid},
	} {
		if err := amtp.CheckTimestamp(now.Add(-c.age), now); reasonOf(err) != c.reason {
			t.Errorf("CheckTimestamp = %v, want reason %q; age %v", err, c.reason, c.age)
		}
	}
	if err := amtp.CheckTimestamp(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), now); reasonOf(err) != amtp.ReasonNotYetValid {
		t.Errorf("CheckTimestamp = %v, want %s; year 9999", err, amtp.ReasonNotYetValid)
	}
	if err := amtp.CheckTimestamp(time.Time{}, now); reasonOf(err) != amtp.ReasonExpired {
		t.Errorf("CheckTimestamp = %v, want %s; zero time", err, amtp.ReasonExpired)
	}
}

func TestSignable(t *testing.T) {
	for _, c := range []struct{ name, body, field string }{
		{"plain", complete, ""},
		{"no critical members", `{"sender":"a@x.test","recipients":["b@y.test"]}`, ""},
		{"null for a signature", edit(complete, "signature", "null"), ""},
		{"number that binary64 has not", edit(complete, "payload", `{"a":[9007199254740993]}`), "payload"},
		{"number in an unknown member", edit(complete, "x", `1e400`), "x"},
		{"digits in a string", edit(complete, "payload", `"9007199254740993"`), ""},
		{"another spelling of sender", edit(complete, "Sender", `"ceo@example.com"`), "Sender"},
		{"another spelling of version, with a long s", edit(complete, "ver\u017fion", `"2.0"`), "ver\u017fion"},
		{"signature of its own", signed(t, complete), "signature"},
	} {
		m, failure := amtp.ParseMessage([]byte(c.body))
		if failure != nil {
			t.Fatal(failure)
		}
		err := m.Signable()
		if (err == nil) != (c.field == "") || err != nil && (err.Code != amtp.CodeInvalidMessage || err.Details["field"] != c.field) {
			t.Errorf("%s: Signable = %v, want an error about %q; body %s", c.name, err, c.field, c.body)
		}
	}
}

func TestAuthentication(t *testing.T) {
	sig, err := check(t, signed(t, complete), signer(t).KeyRecord())
	want := amtp.Authentication{Result: "pass", Domain: "example.com", Selector: "key1", Algorithm: "ES256"}
	if got := sig.Authentication(err); got != want {
		t.Errorf("Authentication = %+v, want %+v", got, want)
	}
	for _, c := range []struct {
		err            error
		result, reason string
	}{
		{&amtp.SignatureError{Reason: amtp.ReasonUnsigned}, "none", "unsigned"},
		{&amtp.SignatureError{Reason: amtp.ReasonKeyMissing}, "permerror", "key-missing"},
		{&amtp.SignatureError{Reason: amtp.ReasonMalformed}, "permerror", "malformed"},
		{&amtp.SignatureError{Reason: amtp.ReasonBadSignature}, "fail", "bad-signature"},
		{&amtp.SignatureError{Reason: amtp.ReasonExpired}, "fail", "expired"},
		{errors.New("the resolver does not answer"), "temperror", "key-unavailable"},
	} {
		want.Result, want.Reason = c.result, c.reason
		if got := sig.Authentication(c.err); got != want {
			t.Errorf("Authentication = %+v, want %+v; error %v", got, want, c.err)
		}
	}
}

// FuzzParseSignature gives a good message a strange signature: it is refused for
// a reason, or has a key to look for, and never passes.
func FuzzParseSignature(f *testing.F) {
	value := base64.StdEncoding.EncodeToString(make([]byte, 64))
	for _, s := range []string{
		`null`, `{}`, `{"algorithm":"ES256","keyid":"key1","value":"` + value + `"}`, `{"algorithm":"EdDSA","keyid":"Example.com.:a.b","value":"` + value + `","x":[1]}`,
		`{"algorithm":"RS256","keyid":"evil.test:key1","value":"AAAA"}`, `{"algorithm":"none","keyid":":","value":""}`, `{"algorithm":1,"keyid":"a b","value":"*"}`,
	} {
		f.Add([]byte(s))
	}
	keys := []amtp.KeyRecord{signer(f).KeyRecord(), {Algorithm: amtp.EdDSA, Key: edKey("a").Public()}, {Algorithm: amtp.RS256, Key: rsaNumber(2048, 3)}, {Algorithm: amtp.ES256}}
	f.Fuzz(func(t *testing.T, signature []byte) {
		m, failure := amtp.ParseMessage(slices.Concat([]byte(complete[:len(complete)-1]+`,"signature":`), signature, []byte("}")))
		if failure != nil {
			return
		}
		sig, err := amtp.ParseSignature(m)
		if reasonOf(err) == "?" || err != nil && len(err.Error()) > 700 {
			t.Fatalf("ParseSignature = %v, want a short *SignatureError; signature %q", err, signature)
		}
		if name, bad := amtp.KeyRecordName(sig.Selector, sig.Domain); err == nil && (bad != nil || !strings.HasSuffix(name, "._amtpkey.example.com")) {
			t.Fatalf("KeyRecordName = %q, %v, want a name below the sender's domain; signature %q", name, bad, signature)
		}
		for _, key := range keys {
			if sig.Verify(key) == nil {
				t.Fatalf("Verify = nil with a key of %s, want an error; signature %q", key.Algorithm, signature)
			}
		}
	})
}

// FuzzSignature checks that what Sign takes verifies, that one changed byte of
// it either leaves the meaning as it was or is found, and that no signature of
// a stranger verifies.
func FuzzSignature(f *testing.F) {
	f.Add([]byte(complete), uint16(200), byte(1))
	f.Add([]byte(signed(f, complete)), uint16(3), byte(32))
	f.Add([]byte(edit(complete, "signature", `{"algorithm":"EdDSA","keyid":"example.com:key1","value":"AAAA"}`)), uint16(0), byte(0))
	f.Add([]byte(edit(complete, "payload", `[1e21,-0,1.0,"\u20ac\ud83d\ude00"]`)), uint16(400), byte(4))
	f.Add([]byte(edit(complete, "payload", `9007199254740993`)), uint16(0), byte(8))
	s := signer(f)
	stranger := amtp.KeyRecord{Algorithm: amtp.ES256, Key: &signingKey(f, "b").PublicKey}
	f.Fuzz(func(t *testing.T, body []byte, at uint16, flip byte) {
		if m, failure := amtp.ParseMessage(body); failure == nil {
			sig, err := amtp.ParseSignature(m)
			if reasonOf(err) == "?" || reasonOf(sig.Verify(stranger)) == "" {
				t.Fatalf("ParseSignature = %+v, %v, want a reason and no pass with a stranger's key; body %q", sig, err, body)
			}
		}
		out, err := s.Sign(body)
		if err != nil {
			return
		}
		if _, err := check(t, string(out), s.KeyRecord()); err != nil {
			t.Fatalf("Verify = %v of our own signature; body %q", err, out)
		}
		want, err := canonical.Form(body)
		if err != nil {
			t.Fatalf("Form = %v, Sign accepts; body %q", err, body)
		}
		changed := slices.Clone(body)
		changed[int(at)%len(changed)] ^= flip
		again, err := s.Sign(changed)
		if err != nil {
			return
		}
		form, err := canonical.Form(changed)
		same := string(again[len(again)-92:]) == string(out[len(out)-92:])
		if err != nil || same != (string(form) == string(want)) {
			t.Fatalf("same signature = %v, want %v; %q and %q", same, !same, body, changed)
		}
	})
}

package amtp_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
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
	if !strings.HasPrefix(out, complete[:len(complete)-1]+
		`,"signature":{"algorithm":"ES256","keyid":"key1","value":"`) {
		t.Errorf("Sign = %s, want the body and after it the signature; body %s", out, complete)
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
	other := `{"payload":{"currency":"\u20ac","total":1.04985E4},"x-unknown":{"a":[1.5,null],"b":1},` +
		out[1:strings.Index(out, `,"x-unknown"`)] + out[strings.Index(out, `,"signature"`):]
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
		{"inexact number in an unknown member", strings.Replace(complete, `1.50`, `0.1000000000000000055`, 1),
			amtp.ReasonInexactNumber},
		{"no version", without("version"), amtp.ReasonIncomplete},
		{"no message_id", without("message_id"), amtp.ReasonIncomplete},
		{"no idempotency_key", without("idempotency_key"), amtp.ReasonIncomplete},
		{"no timestamp", without("timestamp"), amtp.ReasonIncomplete},
		{"message_id null", edit(complete, "message_id", "null"), amtp.ReasonIncomplete},
		{"idempotency_key empty", edit(complete, "idempotency_key", `""`), amtp.ReasonIncomplete},
		{"timestamp of the year 1", edit(complete, "timestamp", `"0001-01-01T00:00:00Z"`), amtp.ReasonIncomplete},
	} {
		if out, err := signer(t).Sign([]byte(c.body)); reasonOf(err) != c.reason {
			t.Errorf("%s: Sign = %s, %v, want reason %q; body %s", c.name, out, err, c.reason, c.body)
		}
	}
	for _, payload := range []string{"", "null"} { // the content of a message does not matter
		body := edit(complete, "payload", payload)
		if _, err := check(t, signed(t, body), signer(t).KeyRecord()); err != nil {
			t.Errorf("Verify = %v, want no error; payload %q", err, payload)
		}
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

// TestChangedMembersAreFound: the signature covers every member, whether it is required
// or not.
func TestChangedMembersAreFound(t *testing.T) {
	body, key := signed(t, complete), signer(t).KeyRecord()
	for name, value := range map[string]string{
		"message_id": `"other"`, "idempotency_key": `"other"`, "timestamp": `"2026-11-22T17:00:00.001Z"`,
		"sender":     `"orders@example.com"`,
		"recipients": `["billing@receiver.test","eve@receiver.test"]`, "payload": `{"total":10498.51,"currency":"€"}`,
		"subject":   `"x"`,
		"x-unknown": `{"b":1,"a":[1.50,0]}`, "added": `null`, "coordination": `null`, "workflow_id": `"w1"`,
		"Payload": `null`,
	} {
		changed := edit(body, name, value)
		if _, err := check(t, changed, key); reasonOf(err) != amtp.ReasonBadSignature {
			t.Errorf("Verify = %v, want %s; %s changed: %s", err, amtp.ReasonBadSignature, name, changed)
		}
	}
	for _, name := range []string{"x-unknown", "subject", "payload"} {
		if _, err := check(t, edit(body, name, ""), key); reasonOf(err) != amtp.ReasonBadSignature {
			t.Errorf("Verify = %v, want %s; %s removed", err, amtp.ReasonBadSignature, name)
		}
	}
	for _, name := range []string{"version", "message_id", "idempotency_key", "timestamp"} {
		if _, err := check(t, edit(body, name, ""), key); reasonOf(err) != amtp.ReasonIncomplete {
			t.Errorf("check = %v, want %s; %s removed", err, amtp.ReasonIncomplete, name)
		}
	}
	if _, err := check(t, edit(body, "payload", "9007199254740993"), key); reasonOf(err) != amtp.ReasonInexactNumber {
		t.Errorf("Verify = %v, want %s; a payload beyond binary64", err, amtp.ReasonInexactNumber)
	}
}

func TestParseSignature(t *testing.T) {
	value := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	object := func(algorithm, keyid, value string) string {
		b, err := json.Marshal(map[string]string{"algorithm": algorithm, "keyid": keyid, "value": value})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := object("ES256", "key1", value)
	for _, c := range []struct {
		name, signature string
		reason          amtp.Reason
	}{
		{"none", ``, amtp.ReasonUnsigned},
		{"null", `null`, amtp.ReasonUnsigned},
		{"ES256", good, ""},
		{"RS256", object("RS256", "key1", value), ""},
		{"other order, spaces and escapes", ` { "value" : "` + value +
			`" , "keyid" : "k\u0065y1", "\u0061lgorithm":"ES256" } `, ""},
		{"empty object", `{}`, amtp.ReasonMalformed},
		{"a fourth member", `{"note":1,` + good[1:], amtp.ReasonMalformed},
		{"a fourth member without a name", `{"":"",` + good[1:], amtp.ReasonMalformed},
		{"a fourth member of another case", `{"KeyID":"key1",` + good[1:], amtp.ReasonMalformed},
		{"no algorithm", `{"keyid":"key1","value":"` + value + `"}`, amtp.ReasonMalformed},
		{"no keyid", `{"algorithm":"ES256","value":"` + value + `"}`, amtp.ReasonMalformed},
		{"no value", `{"algorithm":"ES256","keyid":"key1"}`, amtp.ReasonMalformed},
		{"another member in the place of value", `{"algorithm":"ES256","keyid":"key1","sig":"` + value + `"}`,
			amtp.ReasonMalformed},
		{"names in another case", `{"Algorithm":"ES256","KeyID":"key1","Value":"` + value + `"}`, amtp.ReasonMalformed},
		{"null for an algorithm", `{"algorithm":null,"keyid":"key1","value":"` + value + `"}`, amtp.ReasonMalformed},
		{"null for a keyid", `{"algorithm":"ES256","keyid":null,"value":"` + value + `"}`, amtp.ReasonMalformed},
		{"null for a value", `{"algorithm":"ES256","keyid":"key1","value":null}`, amtp.ReasonMalformed},
		{"number for a value", `{"algorithm":"ES256","keyid":"key1","value":1}`, amtp.ReasonMalformed},
		{"array for an algorithm", `{"algorithm":["ES256"],"keyid":"key1","value":"` + value + `"}`,
			amtp.ReasonMalformed},
		{"object for a value", `{"algorithm":"ES256","keyid":"key1","value":{"value":"` + value + `"}}`,
			amtp.ReasonMalformed},
		{"nested", `{"signature":` + good + `}`, amtp.ReasonMalformed},
		{"keyid empty", object("ES256", "", value), amtp.ReasonMalformed},
		{"keyid in upper case", object("ES256", "KEY1", value), amtp.ReasonMalformed},
		{"keyid with a letter in upper case", object("ES256", "K1", value), amtp.ReasonMalformed},
		{"keyid with a dot", object("ES256", "k.1", value), amtp.ReasonMalformed},
		{"keyid with a dot at its end", object("ES256", "key1.", value), amtp.ReasonMalformed},
		{"keyid with a hyphen in front", object("ES256", "-k", value), amtp.ReasonMalformed},
		{"keyid with a hyphen at its end", object("ES256", "k-", value), amtp.ReasonMalformed},
		{"keyid with an underscore", object("ES256", "k_1", value), amtp.ReasonMalformed},
		{"keyid with a line break", object("ES256", "key1\n", value), amtp.ReasonMalformed},
		{"keyid with a space", object("ES256", " key1", value), amtp.ReasonMalformed},
		{"keyid with a slash", object("ES256", "a/b", value), amtp.ReasonMalformed},
		{"keyid with the domain", object("ES256", "example.com:key1", value), amtp.ReasonMalformed},
		{"keyid with another domain", object("ES256", "evil.test:key1", value), amtp.ReasonMalformed},
		{"keyid of 64 letters", object("ES256", strings.Repeat("a", 64), value), amtp.ReasonMalformed},
		{"algorithm empty", object("", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"algorithm none", object("none", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"HMAC", object("HS256", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"EdDSA", object("EdDSA", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"algorithm in lower case", object("es256", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"algorithm with a space", object("ES256 ", "key1", value), amtp.ReasonUnsupportedAlgorithm},
		{"value empty", object("ES256", "key1", ""), amtp.ReasonMalformed},
		{"value with padding", object("ES256", "key1", value+"=="), amtp.ReasonMalformed},
		{"value with half its padding", object("ES256", "key1", value+"="), amtp.ReasonMalformed},
		{"value of padding", object("ES256", "key1", "===="), amtp.ReasonMalformed},
		{"value with a line break inside", object("ES256", "key1", value[:4]+"\n"+value[4:]), amtp.ReasonMalformed},
		{"value with a line break at its end", object("ES256", "key1", value+"\n"), amtp.ReasonMalformed},
		{"value with a carriage return", object("ES256", "key1", "\r"+value), amtp.ReasonMalformed},
		{"value with a space", object("ES256", "key1", " "+value), amtp.ReasonMalformed},
		{"value in the standard alphabet", object("ES256", "key1", "+/"+value[2:]), amtp.ReasonMalformed},
		{"value in its own alphabet", object("ES256", "key1", "-_"+value[2:]), ""},
		{"value with stray bits behind its end", object("ES256", "key1", value[:len(value)-1]+"B"),
			amtp.ReasonMalformed},
		{"value of one character more", object("ES256", "key1", value[:len(value)-1]), amtp.ReasonMalformed},
		{"value as long as any", object("RS256", "key1", strings.Repeat("A", 1366)), ""},
		{"value longer than any", object("RS256", "key1", strings.Repeat("A", 1367)), amtp.ReasonMalformed},
		{"value in hexadecimal of an odd length", object("ES256", "key1", strings.Repeat("0", 129)),
			amtp.ReasonMalformed},
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

// TestSignaturesThatMakeNoMessage: a signature that is no object, or that has a member
// twice, makes the whole document invalid, because two readers could read it
// differently.
func TestSignaturesThatMakeNoMessage(t *testing.T) {
	out := signed(t, complete)
	at := strings.Index(out, `"signature"`)
	object := out[at+len(`"signature":`) : len(out)-1]
	for name, body := range map[string]string{
		"an array":                      out[:at] + `"signature":[` + object + `]}`,
		"a string":                      out[:at] + `"signature":"x"}`,
		"a number":                      out[:at] + `"signature":1}`,
		"true":                          out[:at] + `"signature":true}`,
		"signature twice":               out[:len(out)-1] + `,"signature":` + object + `}`,
		"signature twice, one null":     out[:len(out)-1] + `,"signature":null}`,
		"signature twice, once escaped": out[:len(out)-1] + `,"s\u0069gnature":` + object + `}`,
		"value twice":                   strings.Replace(out, `"value"`, `"value":"AAAA","value"`, 1),
		"value twice, equal": strings.Replace(out, `}}`,
			`,"value":`+object[strings.Index(object, `"value":`)+8:]+`}`, 1),
		"keyid twice, once escaped": strings.Replace(out, `"keyid"`, `"key\u0069d":"key2","keyid"`, 1),
		"algorithm twice":           strings.Replace(out, `"algorithm"`, `"algorithm":"none","algorithm"`, 1),
	} {
		if _, failure := amtp.ParseMessage([]byte(body)); failure == nil || failure.Code != amtp.CodeInvalidMessage {
			t.Errorf("%s: ParseMessage = %v, want %s; body %s", name, failure, amtp.CodeInvalidMessage, body)
		}
	}
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
	if err := amtp.CheckTimestamp(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		now); reasonOf(err) != amtp.ReasonNotYetValid {
		t.Errorf("CheckTimestamp = %v, want %s; year 9999", err, amtp.ReasonNotYetValid)
	}
	if err := amtp.CheckTimestamp(time.Time{}, now); reasonOf(err) != amtp.ReasonExpired {
		t.Errorf("CheckTimestamp = %v, want %s; zero time", err, amtp.ReasonExpired)
	}
}

// tiny is a list of that many numbers that are slow to read.
func tiny(n int) string { return "[" + strings.Repeat("5e-324,", n-1) + "5e-324]" }

// TestSignable: a message that Signable accepts can be signed.
func TestSignable(t *testing.T) {
	for _, c := range []struct{ name, body, field string }{
		{"plain", complete, ""},
		{"no critical members", `{"sender":"a@x.test","recipients":["b@y.test"]}`, ""},
		{"null for a signature", edit(complete, "signature", "null"), ""},
		{"number that binary64 has not", edit(complete, "payload", `{"a":[9007199254740993]}`), "payload"},
		{"number in an unknown member", edit(complete, "x", `1e400`), "x"},
		{"digits in a string", edit(complete, "payload", `"9007199254740993"`), ""},
		{"another spelling of sender", edit(complete, "Sender", `"ceo@example.com"`), "Sender"},
		{"another spelling of version, in capitals", edit(complete, "VERSION", `"2.0"`), "VERSION"},
		{"signature of its own", signed(t, complete), "signature"},
		{"as many numbers next to zero as are allowed, in two members",
			edit(edit(complete, "x", tiny(400)), "y", tiny(600)), ""},
		{"more of them than are allowed, in two members", edit(edit(complete, "x", tiny(600)), "y", tiny(600)), "y"},
	} {
		m, failure := amtp.ParseMessage([]byte(c.body))
		if failure != nil {
			t.Fatal(failure)
		}
		err := m.Signable()
		if (err == nil) != (c.field == "") || err != nil &&
			(err.Code != amtp.CodeInvalidMessage || err.Details["field"] != c.field) {
			t.Errorf("%s: Signable = %v, want an error about %q; body %.300s", c.name, err, c.field, c.body)
		}
		if !m.Timestamp.IsZero() && c.field != "signature" && !strings.Contains(c.name, "spelling") &&
			!strings.Contains(c.name, "null") {
			if _, bad := signer(t).Sign([]byte(c.body)); (bad == nil) != (err == nil) {
				t.Errorf("%s: Signable = %v and Sign = %v, want both or none", c.name, err, bad)
			}
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

// TestVerificationOfReasons: the value of each reason in sender_verification.
func TestVerificationOfReasons(t *testing.T) {
	for reason, want := range map[amtp.Reason]amtp.VerificationResult{
		"":                              amtp.SenderVerified,
		amtp.ReasonUnsigned:             amtp.SenderUnsigned,
		amtp.ReasonMalformed:            amtp.SenderInvalid,
		amtp.ReasonUnsupportedAlgorithm: amtp.SenderInvalid,
		amtp.ReasonIncomplete:           amtp.SenderInvalid,
		amtp.ReasonInexactNumber:        amtp.SenderInvalid,
		amtp.ReasonKeyMissing:           amtp.SenderKeyUnavailable,
		amtp.ReasonKeyInvalid:           amtp.SenderInvalid,
		amtp.ReasonKeyAmbiguous:         amtp.SenderInvalid,
		amtp.ReasonKeyUnavailable:       amtp.SenderKeyUnavailable,
		amtp.ReasonAlgorithmMismatch:    amtp.SenderInvalid,
		amtp.ReasonBadSignature:         amtp.SenderInvalid,
		amtp.ReasonExpired:              amtp.SenderInvalid,
		amtp.ReasonNotYetValid:          amtp.SenderInvalid,
		"something that nobody knows":   amtp.SenderInvalid,
	} {
		if got := reason.Verification(); got != want {
			t.Errorf("Verification = %s, want %s; reason %q", got, want, reason)
		}
	}
}

// FuzzParseSignature gives a good message a strange signature. It is refused for a
// reason, or has exactly three members and names a key. It is never valid.
func FuzzParseSignature(f *testing.F) {
	value := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	for _, s := range []string{
		`null`, `{}`, `{"algorithm":"ES256","keyid":"key1","value":"` + value + `"}`,
		`{"algorithm":"ES256","keyid":"key1","value":"` + value + `==","x":[1]}`,
		`{"algorithm":"RS256","keyid":"a.b","value":"AAAA"}`, `{"algorithm":"none","keyid":"-","value":""}`,
		`{"algorithm":1,"keyid":"a b","value":"*"}`,
		`{"algorithm":"RS256","keyid":"k1","value":"A-_A"}`,
		`{"algorithm":"RS256","keyid":"k1","value":"A+/A","value":"AAAA"}`,
	} {
		f.Add([]byte(s))
	}
	keys := []amtp.KeyRecord{signer(f).KeyRecord(), {Algorithm: amtp.RS256, Key: rsaNumber(2048, 3)},
		{Algorithm: amtp.ES256}}
	f.Fuzz(func(t *testing.T, signature []byte) {
		m, failure := amtp.ParseMessage(slices.Concat([]byte(complete[:len(complete)-1]+`,"signature":`), signature,
			[]byte("}")))
		if failure != nil {
			return
		}
		sig, err := amtp.ParseSignature(m)
		if reasonOf(err) == "?" || err != nil && len(err.Error()) > 700 {
			t.Fatalf("ParseSignature = %v, want a short *SignatureError; signature %q", err, signature)
		}
		var members map[string]string
		if err == nil && (json.Unmarshal(signature, &members) != nil || len(members) != 3) {
			t.Fatalf("ParseSignature = nil, want an error for other than three strings; signature %q", signature)
		}
		if name, bad := amtp.KeyRecordName(sig.Selector, sig.Domain); err == nil &&
			(bad != nil || !strings.HasSuffix(name, "._amtpkey.example.com")) {
			t.Fatalf("KeyRecordName = %q, %v, want a name below the sender's domain; signature %q", name,
				bad, signature)
		}
		for _, key := range keys {
			if sig.Verify(key) == nil {
				t.Fatalf("Verify = nil with a key of %s, want an error; signature %q", key.Algorithm, signature)
			}
		}
	})
}

// FuzzSignature checks that a message that Sign accepts verifies. One changed byte of
// it either keeps the meaning or is found, and no signature of a stranger verifies.
func FuzzSignature(f *testing.F) {
	f.Add([]byte(complete), uint16(200), byte(1))
	f.Add([]byte(signed(f, complete)), uint16(3), byte(32))
	f.Add([]byte(edit(complete, "signature", `{"algorithm":"RS256","keyid":"key1","value":"AAAA"}`)),
		uint16(0), byte(0))
	f.Add([]byte(edit(complete, "payload", `[1e21,-0,1.0,"\u20ac\ud83d\ude00"]`)), uint16(400), byte(4))
	f.Add([]byte(edit(complete, "payload", `9007199254740993`)), uint16(0), byte(8))
	s := signer(f)
	stranger := amtp.KeyRecord{Algorithm: amtp.ES256, Key: &signingKey(f, "b").PublicKey}
	f.Fuzz(func(t *testing.T, body []byte, at uint16, flip byte) {
		if m, failure := amtp.ParseMessage(body); failure == nil {
			sig, err := amtp.ParseSignature(m)
			if reasonOf(err) == "?" || reasonOf(sig.Verify(stranger)) == "" {
				t.Fatalf("ParseSignature = %+v, %v, want a reason and no pass with a stranger's key; body %q",
					sig, err, body)
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
		const end = 86 + len(`"}}`) // the value of an ES256 signature, and the text after it
		same := string(again[len(again)-end:]) == string(out[len(out)-end:])
		if err != nil || same != (string(form) == string(want)) {
			t.Fatalf("same signature = %v, want %v; %q and %q", same, !same, body, changed)
		}
	})
}

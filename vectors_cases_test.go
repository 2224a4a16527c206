package amtp_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

// order is the message of most vectors.
const order = `{"version":"1.0","message_id":"019b1d3e-7c00-7000-8000-000000000001","idempotency_key":"550e8400-e29b-41d4-a716-446655440000",` +
	`"timestamp":"2026-11-22T17:00:00.000Z","sender":"orders@example.com","recipients":["billing@receiver.test"],"subject":"Invoice 17","payload":{"total":10498.50,"currency":"EUR"}}`

var vectorNow = time.Date(2026, 11, 22, 17, 0, 5, 0, time.UTC)

const keyName = "key1._amtpkey.example.com"

// vectorBook makes vectors.
type vectorBook struct {
	t    *testing.T
	keys map[string]testKey
}

// pass is the vector of a message that is signed with the key and verifies.
func (b vectorBook) pass(name, key, unsigned string) vector {
	v := vector{Name: name, DNS: map[string][]string{keyName: {b.keys[key].Record}}, Now: vectorNow,
		Result: string(amtp.SenderVerified)}
	v = v.digest(b.t, unsigned)
	v.Body = b.attach(unsigned, b.object(key, "key1", b.keys[key].sign(b.t, []byte(v.Canonical))))
	return v
}

// object is a signature in the form that a message carries.
func (b vectorBook) object(key, keyid, value string) string {
	return `{"algorithm":"` + b.keys[key].Algorithm + `","keyid":"` + keyid + `","value":"` + value + `"}`
}

// attach puts the signature after the last member.
func (b vectorBook) attach(unsigned, signature string) string {
	return unsigned[:strings.LastIndexByte(unsigned, '}')] + `,"signature":` + signature + `}`
}

// not is v with changes that make it fail for the reason.
func (v vector) not(name string, reason amtp.Reason, change func(*vector)) vector {
	v.Name, v.Reason, v.Result = name, reason, string(reason.Verification())
	dns := make(map[string][]string, len(v.DNS))
	for name, txts := range v.DNS {
		dns[name] = txts
	}
	v.DNS = dns
	change(&v)
	if reason != "" {
		v.Canonical, v.SHA256 = "", ""
	}
	return v
}

func (v *vector) replace(old, with string) {
	changed := strings.Replace(v.Body, old, with, 1)
	if changed == v.Body {
		panic("nothing to replace: " + old)
	}
	v.Body = changed
}

func vectorFiles(t *testing.T, keys map[string]testKey) map[string][]vector {
	b := vectorBook{t: t, keys: keys}
	return map[string][]vector{
		"es256.json": b.es256(), "rs256.json": b.rs256(), "records.json": b.records(),
		"failing.json": append(b.failing(), b.notSigned()...),
	}
}

func (b vectorBook) es256() []vector {
	plain := b.pass("a message", "es256", order)
	list := []vector{
		plain,
		b.pass("null for a payload", "es256", edit(order, "payload", "null")),
		b.pass("several recipients, unknown members, empty and null members", "es256",
			strings.Replace(edit(edit(order, "x-trace", `{"b":[],"a":{}}`), "recipients",
				`["a@receiver.test","B@receiver.test"]`), `{`, `{"headers":null,"schema":"",`, 1)),
		b.pass("numbers that binary64 gives back", "es256",
			edit(order, "payload",
				`[0,-0,-0.0,0e5,1.0,1e0,100,1E21,1e-7,0.000001,4.50,2e-3,10498.50,9007199254740992,333333333.3333333,5e-324,1.7976931348623157e308,0.1,1e23,123456789012345680000]`)),
		b.pass("strings: escapes, controls, no normal form", "es256",
			edit(order, "payload",
				`["\u0000\b\t\n\f\r\u001f\u007f\"\\\/","\u20ac\ud83d\ude00","\u00e9","e\u0301","<script>&'\u2028","ﬁ"]`)),
		b.pass("names in the order of UTF-16", "es256",
			edit(order, "payload",
				`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"":8,"10":9,"A":10,"a":11}`)),
	}
	other := b.pass("", "es256", order)
	other.Name = "the same message and signature by another hand: other order, white space, escapes, number literals"
	value := other.Body[strings.Index(other.Body, `"signature"`)+len(`"signature":`) : len(other.Body)-1]
	other.Body = "\n{ \"signature\" : " + value +
		",\r\n\t\"payload\":{\"currency\":\"\\u0045UR\" , \"total\":1.04985E+4},\"subject\":\"Invoice\\u002017\",\"recipients\":[ \"billing@receiver.test\" ]," +
		`"sender":"orders@example.com","timestamp":"2026-11-22T17:00:00.000Z","idempotency_key":"550e8400-e29b-41d4-a716-446655440000","message_id":"019b1d3e-7c00-7000-8000-000000000001","version":"1.0"} `
	upper := b.pass("a sender whose domain is in upper case", "es256",
		strings.Replace(order, "orders@example.com", "Orders@Example.COM", 1))
	none := b.pass("no payload", "es256", edit(order, "payload", ""))
	return append(list, other, upper, none)
}

func (b vectorBook) rs256() []vector {
	plain := b.pass("a message", "rs256", order)
	return []vector{
		plain,
		b.pass("a key of 3072 bits", "rs256-3072", order),
		plain.not("another message", amtp.ReasonBadSignature, func(v *vector) {
			v.replace("Invoice 17", "Invoice 18")
		}),
		plain.not("without the first three bytes of the signature", amtp.ReasonBadSignature, func(v *vector) {
			at := strings.Index(v.Body, `"value":"`) + len(`"value":"`)
			v.Body = v.Body[:at] + v.Body[at+4:]
		}),
		plain.not("three bytes in front of the signature", amtp.ReasonBadSignature, func(v *vector) {
			v.replace(`"value":"`, `"value":"AAAA`)
		}),
		plain.not("the key of another size", amtp.ReasonBadSignature, func(v *vector) {
			v.DNS[keyName] = []string{b.keys["rs256-3072"].Record}
		}),
	}
}

// records combine one good message with different DNS records of its key.
func (b vectorBook) records() []vector {
	plain := b.pass("the record as we write it", "es256", order)
	record, other, rs := b.keys["es256"].Record, b.keys["es256-other"].Record, b.keys["rs256"].Record
	value := func(record string) string { return record[strings.Index(record, "p=")+2:] }
	p := value(record)
	with := func(name string, reason amtp.Reason, txts ...string) vector {
		return plain.not(name, reason, func(v *vector) { v.DNS[keyName] = txts })
	}
	const missing, invalid, ambiguous = amtp.ReasonKeyMissing, amtp.ReasonKeyInvalid, amtp.ReasonKeyAmbiguous
	return []vector{
		plain,
		with("other order and spaces", "", " p="+p+" ; alg=ES256; v=amtpkey1 ;"),
		with("unknown parameters", "", "v=amtpkey1;t=s;alg=ES256;n=x=y;flag;flag;K=1;p="+p),
		with("among other records", "", "v=spf1 -all", record, "", "v=amtp1;k=ES256;p="+p),
		with("beside broken records", "", "v=amtpkey1", record, "v=amtpkey1;alg=ES256;p=",
			"v=amtpkey1;alg=ES256;alg=ES256;p="+value(other)),
		with("none", missing),
		with("other records only", missing, "v=spf1 -all", "v=DKIM1;k=rsa;p="+p, "alg=ES256;p="+p),
		with("the record of another version", missing, "v=amtpkey2;alg=ES256;p="+p),
		with("the version in upper case", missing, "v=AMTPKEY1;alg=ES256;p="+p),
		with("the name of the version in upper case", missing, "V=amtpkey1;alg=ES256;p="+p),
		with("spaces around the first equals sign", missing, "v = amtpkey1;alg=ES256;p="+p),
		with("in quotes", missing, `"`+record+`"`),
		plain.not("under another selector only", missing, func(v *vector) {
			v.DNS = map[string][]string{"key2._amtpkey.example.com": {record}}
		}),
		plain.not("at the domain above only", missing, func(v *vector) {
			v.DNS = map[string][]string{"key1._amtpkey.com": {record}}
		}),
		with("another key", amtp.ReasonBadSignature, other),
		with("a key for another algorithm", amtp.ReasonAlgorithmMismatch, rs),
		with("two keys", ambiguous, record, other),
		with("the same record twice", ambiguous, record, record),
		with("two records of the same key", ambiguous, record, record+";n=x"),
		with("keys for both algorithms", ambiguous, record, rs),
		with("two keys and a broken record", ambiguous, record, "v=amtpkey1", other),
		with("broken records only", invalid, "v=amtpkey1", "v=amtpkey1;alg=ES256;p="),
		with("no alg", invalid, "v=amtpkey1;p="+p),
		with("alg in lower case", invalid, "v=amtpkey1;alg=es256;p="+p),
		with("alg HS256", invalid, "v=amtpkey1;alg=HS256;p="+p),
		with("no p", invalid, "v=amtpkey1;alg=ES256"),
		with("p in upper case", invalid, "v=amtpkey1;alg=ES256;P="+p),
		with("empty p", invalid, "v=amtpkey1;alg=ES256;p="),
		with("v twice", invalid, "v=amtpkey1;"+record),
		with("alg twice", invalid, "v=amtpkey1;alg=ES256;alg=ES256;p="+p),
		with("p twice", invalid, "v=amtpkey1;alg=ES256;p="+value(other)+";p="+p),
		with("an unknown parameter twice", invalid, record+";n=x;n=y"),
		with("a key on P-256 that is said to be for RS256", invalid, "v=amtpkey1;alg=RS256;p="+p),
		with("an RSA key that is said to be for ES256", invalid, "v=amtpkey1;alg=ES256;p="+value(rs)),
		with("p is not base64", invalid, "v=amtpkey1;alg=ES256;p=*"+p),
		with("p with a space", invalid, "v=amtpkey1;alg=ES256;p="+p[:40]+" "+p[40:]),
		with("p without padding", invalid, "v=amtpkey1;alg=ES256;p="+strings.TrimRight(p, "=")),
		with("p is half a key", invalid, "v=amtpkey1;alg=ES256;p="+p[:80]),
		with("RSA of 1024 bits", invalid, "v=amtpkey1;alg=RS256;p="+spki(b.t, rsaNumber(1024, 65537))),
		with("RSA of 2047 bits", invalid, "v=amtpkey1;alg=RS256;p="+spki(b.t, rsaNumber(2047, 65537))),
		with("more than 2048 bytes", invalid, record+";n="+strings.Repeat("x", 2048)),
	}
}

// failing are messages with a signature that proves nothing.
func (b vectorBook) failing() []vector {
	plain := b.pass("", "es256", order)
	change := func(name string, reason amtp.Reason, old, with string) vector {
		return plain.not(name, reason, func(v *vector) { v.replace(old, with) })
	}
	value := b.keys["es256"].sign(b.t, []byte(plain.Canonical))
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		b.t.Fatal(err)
	}
	cut := base64.RawURLEncoding.EncodeToString(raw[:63])
	incomplete, malformed, bad := amtp.ReasonIncomplete, amtp.ReasonMalformed, amtp.ReasonBadSignature
	list := []vector{
		change("another payload", bad, `10498.50`, `10498.51`),
		change("another recipient", bad, `billing@receiver.test`, `eve@receiver.test`),
		change("one recipient more", bad, `"billing@receiver.test"`, `"billing@receiver.test","eve@receiver.test"`),
		change("the sender in another case", bad, `orders@`, `Orders@`),
		change("another timestamp", bad, `17:00:00.000Z`, `17:00:00.001Z`),
		change("another idempotency key", bad, `550e8400`, `550e8401`),
		change("a member more", bad, `"subject"`, `"x":null,"subject"`),
		change("a member less", bad, `"subject":"Invoice 17",`, ``),
		change("no payload any more", bad, `,"payload":{"total":10498.50,"currency":"EUR"}`, ``),
		change("a signature of zeros", bad, value, base64.RawURLEncoding.EncodeToString(make([]byte, 64))),
		change("63 bytes of a signature", bad, value, cut),
		change("null for a message id", incomplete, `"019b1d3e-7c00-7000-8000-000000000001"`, `null`),
		change("empty idempotency key", incomplete, `550e8400-e29b-41d4-a716-446655440000`, ``),
		change("no version", incomplete, `"version":"1.0",`, ``),
		change("no timestamp", incomplete, `"timestamp":"2026-11-22T17:00:00.000Z",`, ``),
		change("a keyid with the domain", malformed, `"keyid":"key1"`, `"keyid":"example.com:key1"`),
		change("a keyid with a dot", malformed, `"keyid":"key1"`, `"keyid":"key.1"`),
		change("a keyid in upper case", malformed, `"keyid":"key1"`, `"keyid":"KEY1"`),
		change("a keyid with an underscore", malformed, `"keyid":"key1"`, `"keyid":"key_1"`),
		change("a fourth member", malformed, `"keyid":"key1"`, `"note":"x","keyid":"key1"`),
		change("no keyid", malformed, `"keyid":"key1",`, ``),
		change("null for a keyid", malformed, `"keyid":"key1"`, `"keyid":null`),
		change("no algorithm that is known", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"none"`),
		change("a shared secret", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"HS256"`),
		change("algorithm in lower case", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"es256"`),
		change("an algorithm that there was", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"EdDSA"`),
		change("the algorithm of another key", amtp.ReasonAlgorithmMismatch, `"ES256"`, `"RS256"`),
		change("no value", malformed, value, ``),
		change("value with padding", malformed, value, value+"=="),
		change("value in the standard alphabet", malformed, value, "+/"+value[2:]),
		change("value with a line break behind it", malformed, value, value+`\n`),
		change("no selector", malformed, `"key1"`, `""`),
		change("a selector that is no name", malformed, `"key1"`, `"key 1"`),
		change("a number for a value", malformed, `"`+value+`"`, `1`),
	}
	for _, literal := range []string{"9007199254740993", "0.1000000000000000055", "1e400", "4.9e-324"} {
		list = append(list, change("a number that binary64 has not: "+literal, amtp.ReasonInexactNumber,
			`10498.50`, literal))
	}
	at := func(name string, reason amtp.Reason, age time.Duration) vector {
		return plain.not(name, reason, func(v *vector) {
			v.Now = time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC).Add(age)
		})
	}
	return append(list,
		at("eight days old", "", 8*24*time.Hour),
		at("older than eight days", amtp.ReasonExpired, 8*24*time.Hour+time.Millisecond),
		at("ten minutes ahead", "", -10*time.Minute),
		at("more than ten minutes ahead", amtp.ReasonNotYetValid, -10*time.Minute-time.Millisecond),
	)
}

// notSigned are messages without a signature, and bytes that are no message.
func (b vectorBook) notSigned() []vector {
	plain := b.pass("", "es256", order)
	list := []vector{
		plain.not("no signature", amtp.ReasonUnsigned, func(v *vector) { v.Body = order }),
		plain.not("null for a signature", amtp.ReasonUnsigned, func(v *vector) { v.Body = b.attach(order, "null") }),
	}
	for _, c := range []struct{ name, old, with string }{
		{"a member twice", `"subject"`, `"subject":"x","subject"`},
		{"a member twice, one of them by escapes", `"subject"`, `"s\u0075bject":"x","subject"`},
		{"a member of the payload twice", `"total"`, `"total":1,"total"`},
		{"half a surrogate pair", `Invoice 17`, `\ud800`},
		{"something behind the message", `"payload"`, `"payload":null}{"payload"`},
		{"a number with a zero in front", `10498.50`, `010498.50`},
		{"a comma too much", `"EUR"}`, `"EUR",}`},
		{"a member of the signature twice", `"keyid"`, `"keyid":"key1","keyid"`},
		{"the gateway's own word about the sender", `"subject"`,
			`"sender_verification":{"result":"verified"},"subject"`},
		{"a text for a signature", `"signature":{`, `"signature":"x","y":{`},
	} {
		v := plain.not(c.name, "", func(v *vector) { v.replace(c.old, c.with) })
		v.Result, v.Canonical, v.SHA256 = "refused", "", ""
		list = append(list, v)
	}
	return list
}

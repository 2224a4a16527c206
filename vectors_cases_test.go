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

// pass is a vector of a message that is signed with the key and verifies.
func (b vectorBook) pass(name, key, unsigned string) vector {
	v := vector{Name: name, DNS: map[string][]string{keyName: {b.keys[key].Record}}, Now: vectorNow, Result: amtp.AuthPass}
	v = v.digest(b.t, unsigned)
	v.Body = b.attach(unsigned, b.object(key, "key1", b.keys[key].sign(b.t, []byte(v.Canonical))))
	return v
}

// object is a signature as a message carries it.
func (b vectorBook) object(key, keyid, value string) string {
	return `{"algorithm":"` + b.keys[key].Algorithm + `","keyid":"` + keyid + `","value":"` + value + `"}`
}

// attach puts the signature behind the last member.
func (b vectorBook) attach(unsigned, signature string) string {
	return unsigned[:strings.LastIndexByte(unsigned, '}')] + `,"signature":` + signature + `}`
}

// not is v with changes that make it fail for the reason.
func (v vector) not(name string, reason amtp.Reason, change func(*vector)) vector {
	v.Name, v.Reason, v.Result = name, reason, reason.Result()
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
		"es256.json": b.es256(), "rs256.json": b.rs256(), "eddsa.json": b.eddsa(), "records.json": b.records(), "failing.json": append(b.failing(), b.notSigned()...),
	}
}

func (b vectorBook) es256() []vector {
	plain := b.pass("a message", "es256", order)
	list := []vector{
		plain,
		b.pass("null for a payload", "es256", edit(order, "payload", "null")),
		b.pass("several recipients, unknown members, empty and null members", "es256",
			strings.Replace(edit(edit(order, "x-trace", `{"b":[],"a":{}}`), "recipients", `["a@receiver.test","B@receiver.test"]`), `{`, `{"headers":null,"schema":"",`, 1)),
		b.pass("numbers that binary64 gives back", "es256",
			edit(order, "payload", `[0,-0,-0.0,0e5,1.0,1e0,100,1E21,1e-7,0.000001,4.50,2e-3,10498.50,9007199254740992,333333333.3333333,5e-324,1.7976931348623157e308,0.1,1e23,123456789012345680000]`)),
		b.pass("strings: escapes, controls, no normal form", "es256",
			edit(order, "payload", `["\u0000\b\t\n\f\r\u001f\u007f\"\\\/","\u20ac\ud83d\ude00","\u00e9","e\u0301","<script>&'\u2028","ﬁ"]`)),
		b.pass("names in the order of UTF-16", "es256",
			edit(order, "payload", `{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"":8,"10":9,"A":10,"a":11}`)),
	}
	other := b.pass("", "es256", order)
	other.Name = "the same message and signature by another hand: other order, white space, escapes, number literals"
	value := other.Body[strings.Index(other.Body, `"signature"`)+len(`"signature":`) : len(other.Body)-1]
	other.Body = "\n{ \"signature\" : " + value + ",\r\n\t\"payload\":{\"currency\":\"\\u0045UR\" , \"total\":1.04985E+4},\"subject\":\"Invoice\\u002017\",\"recipients\":[ \"billing@receiver.test\" ]," +
		`"sender":"orders@example.com","timestamp":"2026-11-22T17:00:00.000Z","idempotency_key":"550e8400-e29b-41d4-a716-446655440000","message_id":"019b1d3e-7c00-7000-8000-000000000001","version":"1.0"} `
	long := b.pass("keyid with the domain", "es256", order)
	long.replace(`"keyid":"key1"`, `"keyid":"Example.COM:key1"`)
	more := b.pass("a signature with further members", "es256", order)
	more.replace(`"keyid":"key1"`, `"note":[1e400],"keyid":"key1"`)
	more.replace(`1e400`, `1`)
	upper := b.pass("a sender whose domain is in upper case", "es256", strings.Replace(order, "orders@example.com", "Orders@Example.COM", 1))
	return append(list, other, long, more, upper)
}

func (b vectorBook) rs256() []vector {
	plain := b.pass("a message", "rs256", order)
	return []vector{
		plain,
		b.pass("a key of 3072 bits", "rs256-3072", order),
		plain.not("another message", amtp.ReasonBadSignature, func(v *vector) { v.replace("Invoice 17", "Invoice 18") }),
		plain.not("three bytes in front of the signature", amtp.ReasonBadSignature, func(v *vector) { v.replace(`"value":"`, `"value":"AAAA`) }),
		plain.not("the key of another size", amtp.ReasonBadSignature, func(v *vector) { v.DNS[keyName] = []string{b.keys["rs256-3072"].Record} }),
	}
}

func (b vectorBook) eddsa() []vector {
	plain := b.pass("a message", "eddsa", order)
	return []vector{plain,
		plain.not("another message", amtp.ReasonBadSignature, func(v *vector) { v.replace("Invoice 17", "Invoice 18") }),
		plain.not("over the digest instead of the form", amtp.ReasonBadSignature, func(v *vector) {
			form := b.digestOf(v.Canonical)
			v.Body = b.attach(order, b.object("eddsa", "key1", b.keys["eddsa"].sign(b.t, form)))
		})}
}

func (b vectorBook) digestOf(text string) []byte {
	v := vector{}.digest(b.t, text)
	sum := make([]byte, 32)
	for i := range sum {
		sum[i] = unhex(v.SHA256[2*i])<<4 | unhex(v.SHA256[2*i+1])
	}
	return sum
}

func unhex(c byte) byte { return byte(strings.IndexByte("0123456789abcdef", c)) }

// records are one good message and what DNS may say about its key.
func (b vectorBook) records() []vector {
	plain := b.pass("the record as we write it", "es256", order)
	record, other, ed := b.keys["es256"].Record, b.keys["es256-other"].Record, b.keys["eddsa"].Record
	p := record[strings.Index(record, "p=")+2:]
	with := func(name string, reason amtp.Reason, txts ...string) vector {
		return plain.not(name, reason, func(v *vector) { v.DNS[keyName] = txts })
	}
	const missing, invalid, ambiguous = amtp.ReasonKeyMissing, amtp.ReasonKeyInvalid, amtp.ReasonKeyAmbiguous
	return []vector{
		plain,
		with("other order, case and spaces", "", " P = "+p[:40]+" "+p[40:]+" ; K=es256; V=AMTP1 ;"),
		with("unknown tags", "", "v=amtp1;t=s;k=ES256;n=x;n=y;flag;p="+p),
		with("among other records", "", "v=spf1 -all", record, ""),
		with("twice the same", "", record, "k=ES256;p="+p+";v=amtp1"),
		with("in quotes", "", `"`+record+`"`),
		with("none", missing),
		with("other records only", missing, "v=spf1 -all", "v=DKIM1;k=rsa;p="+p, "k=ES256;p="+p),
		plain.not("under another selector only", missing, func(v *vector) { v.DNS = map[string][]string{"key2._amtpkey.example.com": {record}} }),
		plain.not("at the domain above only", missing, func(v *vector) { v.DNS = map[string][]string{"key1._amtpkey.com": {record}} }),
		with("revoked", amtp.ReasonKeyRevoked, "v=amtp1;k=ES256;p="),
		with("another key", amtp.ReasonBadSignature, other),
		with("a key for another algorithm", amtp.ReasonAlgorithmMismatch, ed),
		with("two keys", ambiguous, record, other),
		with("a key and a malformed record", ambiguous, record, "v=amtp1;k=ES256"),
		with("no k", invalid, "v=amtp1;p="+p),
		with("unknown k", invalid, "v=amtp1;k=HS256;p="+p),
		with("no p", invalid, "v=amtp1;k=ES256"),
		with("k twice", invalid, "v=amtp1;k=ES256;k=ES256;p="+p),
		with("a key that k does not name", invalid, "v=amtp1;k=ES256;p="+ed[strings.Index(ed, "p=")+2:]),
		with("p is not base64", invalid, "v=amtp1;k=ES256;p=*"+p),
		with("p is half a key", invalid, "v=amtp1;k=ES256;p="+p[:80]),
		with("RSA of 1024 bits", invalid, "v=amtp1;k=RS256;p="+spki(b.t, rsaNumber(1024, 65537))),
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
	raw := unbase64(b.t, value)
	cut := base64.StdEncoding.EncodeToString(raw[:63])
	incomplete, foreign, malformed, bad := amtp.ReasonIncomplete, amtp.ReasonForeignDomain, amtp.ReasonMalformed, amtp.ReasonBadSignature
	list := []vector{
		change("another payload", bad, `10498.50`, `10498.51`),
		change("another recipient", bad, `billing@receiver.test`, `eve@receiver.test`),
		change("one recipient more", bad, `"billing@receiver.test"`, `"billing@receiver.test","eve@receiver.test"`),
		change("the sender in another case", bad, `orders@`, `Orders@`),
		change("another timestamp", bad, `17:00:00.000Z`, `17:00:00.001Z`),
		change("another idempotency key", bad, `550e8400`, `550e8401`),
		change("a member more", bad, `"subject"`, `"x":null,"subject"`),
		change("a member less", bad, `"subject":"Invoice 17",`, ``),
		change("a signature of zeros", bad, value, base64.StdEncoding.EncodeToString(make([]byte, 64))),
		change("63 bytes of a signature", bad, value, cut),
		change("no payload", incomplete, `,"payload":{"total":10498.50,"currency":"EUR"}`, ``),
		change("null for a message id", incomplete, `"019b1d3e-7c00-7000-8000-000000000001"`, `null`),
		change("empty idempotency key", incomplete, `550e8400-e29b-41d4-a716-446655440000`, ``),
		change("no version", incomplete, `"version":"1.0",`, ``),
		change("no timestamp", incomplete, `"timestamp":"2026-11-22T17:00:00.000Z",`, ``),
		change("a key of another domain", foreign, `"keyid":"key1"`, `"keyid":"evil.test:key1"`),
		change("a key of the domain below", foreign, `"keyid":"key1"`, `"keyid":"mail.example.com:key1"`),
		change("a sender of another domain", foreign, `"keyid":"key1"`, `"keyid":"receiver.test:key1"`),
		change("no algorithm that is known", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"none"`),
		change("a shared secret", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"HS256"`),
		change("algorithm in lower case", amtp.ReasonUnsupportedAlgorithm, `"ES256"`, `"es256"`),
		change("the algorithm of another key", amtp.ReasonAlgorithmMismatch, `"ES256"`, `"EdDSA"`),
		change("no value", malformed, value, ``),
		change("value without padding", malformed, value, strings.TrimRight(value, "=")),
		change("value in base64url", malformed, value, "-_"+value[2:]),
		change("no selector", malformed, `"key1"`, `""`),
		change("a selector that is no name", malformed, `"key1"`, `"key 1"`),
		change("a number for a value", malformed, `"`+value+`"`, `1`),
	}
	for _, literal := range []string{"9007199254740993", "0.1000000000000000055", "1e400", "4.9e-324"} {
		list = append(list, change("a number that binary64 has not: "+literal, amtp.ReasonInexactNumber, `10498.50`, literal))
	}
	at := func(name string, reason amtp.Reason, age time.Duration) vector {
		return plain.not(name, reason, func(v *vector) { v.Now = time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC).Add(age) })
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
		{"a text for a signature", `"signature":{`, `"signature":"x","y":{`},
	} {
		v := plain.not(c.name, "", func(v *vector) { v.replace(c.old, c.with) })
		v.Result, v.Canonical, v.SHA256 = "refused", "", ""
		list = append(list, v)
	}
	return list
}

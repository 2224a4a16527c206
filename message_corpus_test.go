package amtp_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

const (
	imf amtp.Code = amtp.CodeInvalidMessage
	ir  amtp.Code = amtp.CodeInvalidRecipient
	uv  amtp.Code = amtp.CodeUnsupportedVersion
	ok  amtp.Code = "" // the document is a message
)

// malformed is a case of the corpus of malformed requests that the parser decides. The
// ids are shared with the tests of the HTTP API.
type malformed struct {
	id, what, doc string
	want          amtp.Code
}

// with returns a good message in which the member has the value; "" removes the member.
func with(member, value string) string {
	members := []struct{ name, value string }{
		{"sender", `"a@x.test"`}, {"recipients", `["b@y.test"]`}, {"subject", `"hello"`}, {"payload", `{"n":1}`},
	}
	var b strings.Builder
	found := false
	for _, m := range members {
		if m.name == member {
			m.value, found = value, true
		}
		if m.value != "" {
			b.WriteString(`,"` + m.name + `":` + m.value)
		}
	}
	if !found {
		b.WriteString(`,"` + member + `":` + value)
	}
	return "{" + b.String()[1:] + "}"
}

func quoted(s string) string { return `"` + s + `"` }

func list(n int, item string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
}

var jsonLayer = []malformed{
	{"M024", "empty body", ``, imf},
	{"M027", "null", `null`, imf},
	{"M028", "array", `[]`, imf},
	{"M029", "string", `"x"`, imf},
	{"M030", "truncated", strings.TrimSuffix(with("subject", `"s"`), "}"), imf},
	{"M031", "trailing comma", strings.TrimSuffix(with("subject", `"s"`), "}") + ",}", imf},
	{"M032", "comment", with("payload", `1 /* one */`), imf},
	{"M033", "single quotes", with("subject", `'s'`), imf},
	{"M034", "NaN", with("payload", `NaN`), imf},
	{"M035", "plus sign", with("payload", `+1`), imf},
	{"M036", "leading zero", with("payload", `01`), imf},
	{"M037", "no digit behind the point", with("payload", `1.`), imf},
	{"M038", "no digit before the point", with("payload", `.5`), imf},
	{"M039", "byte order mark", "\ufeff" + with("subject", `"s"`), imf},
	{"M040", "invalid UTF-8 in a name", with("\xff", `1`), imf},
	{"M041", "invalid UTF-8 in a value", with("subject", "\"\xff\""), imf},
	{"M042", "overlong UTF-8", with("subject", "\"\xc0\xaf\""), imf},
	{"M043", "lone high surrogate", with("subject", `"\ud800"`), imf},
	{"M044", "lone low surrogate", with("subject", `"\udc00"`), imf},
	{"M045", "NUL in the sender", with("sender", `"a\u0000@x.test"`), imf},
	{"M046", "raw control character", with("subject", "\"\x07\""), imf},
	{"M047", "sender twice", strings.TrimSuffix(with("subject", `"s"`), "}") + `,"sender":"m@x.test"}`, imf},
	{"M048", "a name twice inside the payload", with("payload", `{"a":{"b":1,"b":2}}`), imf},
	{"M049", "Sender for sender", strings.Replace(with("subject", `"s"`), "sender", "Sender", 1), imf},
	{"M050", "sender and SENDER", with("SENDER", `"m@x.test"`), ok},
	{"M051", "second document", with("subject", `"s"`) + with("subject", `"s"`), imf},
	{"M052", "trailing garbage", with("subject", `"s"`) + "x", imf},
	{"M053", "65 deep", with("payload", strings.Repeat("[", 64)+strings.Repeat("]", 64)), imf},
	{"M053", "64 deep", with("payload", strings.Repeat("[", 63)+strings.Repeat("]", 63)), ok},
	{"M054", "ten megabytes of brackets", strings.Repeat("[", 10_000_000), imf},
	{"M055", "an object of 10,001 members", with("payload", object(10_001)), imf},
	{"M055", "an object of 10,000 members", with("payload", object(10_000)), ok},
	{"M056", "number of 65 digits", with("payload", strings.Repeat("7", 65)), imf},
	{"M056", "number of 64 digits", with("payload", strings.Repeat("7", 64)), ok},
	{"M057", "1e401", with("payload", `1e401`), imf},
	{"M058", "minus zero", with("payload", `-0`), ok},
	{"M059", "number beyond binary64", with("payload", `9007199254740993`), ok},
	{"M060", "ten megabytes of escapes", with("subject", quoted(strings.Repeat(`\u0061`, 1_700_000))), imf},
	{"M061", "UTF-16", "\xff\xfe{\x00\"\x00", imf},
	{"M062", "sender twice, once escaped", with(`s\u0065nder`, `"m@x.test"`), imf},
	{"M063", "unknown member of 10 KiB", with("x", quoted(strings.Repeat("x", 10<<10))), ok},
	{"M064", "forged authentication", with("authentication", `{"result":"pass"}`), imf},
	{"M064", "forged trust", with("trust", `"verified"`), imf},
	{"M064", "forged status", with("status", `"delivered"`), imf},
	{"M064", "forged labels", with("labels", `[]`), imf},
	{"M064", "forged received_at", with("received_at", `null`), imf},
	{"M064", "forged thread_id", with("thread_id", `""`), imf},
	{"M064", "forged delivery_count", with("delivery_count", `1`), imf},
	{"M064", "forged sender_verification", with("sender_verification", `{"result":"verified"}`), imf},
	{"M064", "forged sender_verification of null", with("sender_verification", `null`), imf},
	{"M064", "forged sender_verification in upper case", with("SENDER_VERIFICATION", `{"result":"verified"}`), imf},
	{"M064", "forged sender_verification in mixed case", with("Sender_Verification", `{"result":"verified"}`), imf},
	{"M064", "forged sender_verification with a long s",
		with("\u017fender_verification", `{"result":"verified"}`), imf},
	{"M064", "forged status with a long s", with("statu\u017f", `"delivered"`), imf},
	{"M064", "sender_verification in the payload", with("payload",
		`{"sender_verification":{"result":"verified"}}`), ok},
	{"M064", "forged by escapes", with(`tr\u0075st`, `"verified"`), imf},
}

var fieldLayer = []malformed{
	{"M065", "no version", with("subject", `"s"`), ok},
	{"M065", "version 1.0", with("version", `"1.0"`), ok},
	{"M065", "version null", with("version", `null`), ok},
	{"M066", "version as a number", with("version", `1`), imf},
	{"M067", "version 2.0", with("version", `"2.0"`), uv},
	{"M068", "version 1.1", with("version", `"1.1"`), uv},
	{"M069", "no sender", with("sender", ""), imf},
	{"M069", "sender null", with("sender", "null"), imf},
	{"M069", "sender empty", with("sender", `""`), imf},
	{"M070", "sender as a number", with("sender", `1`), imf},
	{"M071", "sender as an array", with("sender", `["a@x.test"]`), imf},
	{"M072", "no at sign", with("sender", `"a"`), imf},
	{"M073", "no local part", with("sender", `"@x.test"`), imf},
	{"M074", "no domain", with("sender", `"a@"`), imf},
	{"M075", "two at signs", with("sender", `"a@b@c.test"`), imf},
	{"M076", "space", with("sender", `"a b@x.test"`), imf},
	{"M077", "quoted local part", with("sender", `"\"a\"@x.test"`), imf},
	{"M078", "display name", with("sender", `"CEO <a@x.test>"`), imf},
	{"M079", "address literal", with("sender", `"a@[127.0.0.1]"`), imf},
	{"M080", "IP address", with("sender", `"a@127.0.0.1"`), imf},
	{"M081", "empty label", with("sender", `"a@x..test"`), imf},
	{"M082", "label with a hyphen in front", with("sender", `"a@-x.test"`), imf},
	{"M083", "label of 64 characters", with("sender", quoted("a@"+strings.Repeat("x", 64)+".test")), imf},
	{"M084", "domain of 254 characters", with("sender", quoted("a@"+longDomain(254))), imf},
	{"M084", "domain of 253 characters", with("sender", quoted("a@"+longDomain(253))), ok},
	{"M085", "local part of 65 characters", with("sender", quoted(strings.Repeat("a", 65)+"@x.test")), imf},
	{"M086", "line break in the sender", with("sender", `"a@x.test\r\nb@x.test"`), imf},
	{"M087", "direction override in the local part", with("sender", "\"a\u202eb@x.test\""), imf},
	{"M088", "bad A-label", with("sender", `"a@xn--"`), imf},
	{"M089", "mixed scripts as an A-label", with("sender", `"a@xn--pple-43d.test"`), ok},
	{"M089", "mixed scripts as they are read", with("sender", "\"a@\u0430pple.test\""), imf},
	{"M091", "no recipients", with("recipients", ""), imf},
	{"M091", "recipients null", with("recipients", "null"), imf},
	{"M092", "empty recipients", with("recipients", `[]`), imf},
	{"M093", "recipients as a string", with("recipients", `"b@y.test"`), imf},
	{"M093", "recipients as an object", with("recipients", `{}`), imf},
	{"M094", "number as a recipient", with("recipients", `[1]`), imf},
	{"M095", "null as a recipient", with("recipients", `[null]`), imf},
	{"M096", "101 recipients", with("recipients", list(101, `"b@y.test"`)), ir},
	{"M096", "100 recipients", with("recipients", list(100, `"b@y.test"`)), ok},
	{"M097", "duplicates", with("recipients", `["b@y.test","b@y.test"]`), ok},
	{"M098", "the same in other case", with("recipients", `["b@y.test","B@Y.TEST"]`), ok},
	{"M099", "one bad address among good", with("recipients", `["b@y.test","c@","d@y.test"]`), ir},
	{"M099", "empty address", with("recipients", `[""]`), ir},
	{"M103", "no payload", with("payload", ""), ok},
	{"M104", "payload null", with("payload", `null`), ok},
	{"M105", "subject of 1025 bytes", with("subject", quoted(strings.Repeat("s", 1025))), imf},
	{"M105", "subject of 1024 bytes", with("subject", quoted(strings.Repeat("s", 1024))), ok},
	{"M106", "line break in the subject", with("subject", `"a\r\nBcc: x"`), imf},
	{"M106", "direction override in the subject", with("subject", `"a\u202eb"`), imf},
	{"M107", "subject as a number", with("subject", `1`), imf},
	{"M108", "headers as an array", with("headers", `[]`), imf},
	{"M109", "headers of 65 KiB", with("headers", `{"x":`+quoted(strings.Repeat("h", 65<<10))+`}`), imf},
	{"M110", "line break in a header's name", with("headers", `{"a\rb":1}`), imf},
	{"M110", "empty header name", with("headers", `{"":1}`), imf},
	{"M111", "message id of 129 characters", with("message_id", quoted(strings.Repeat("m", 129))), imf},
	{"M111", "message id of 128 characters", with("message_id", quoted(strings.Repeat("m", 128))), ok},
	{"M112", "message id with a slash", with("message_id", `"a/b"`), imf},
	{"M112", "message id with a line break", with("message_id", `"a\n"`), imf},
	{"M113", "empty message id", with("message_id", `""`), ok},
	{"M114", "yesterday", with("timestamp", `"yesterday"`), imf},
	{"M115", "year 1", with("timestamp", `"0001-01-01T00:00:00Z"`), ok},
	{"M118", "time without a zone", with("timestamp", `"2026-01-31T12:00:00"`), imf},
	{"M118", "time as a number", with("timestamp", `1769860800`), imf},
	{"M119", "key of 256 characters", with("idempotency_key", quoted(strings.Repeat("k", 256))), imf},
	{"M119", "key of 255 characters", with("idempotency_key", quoted(strings.Repeat("k", 255))), ok},
	{"M120", "key with a space", with("idempotency_key", `"a b"`), imf},
	{"M120", "key outside ASCII", with("idempotency_key", `"ä"`), imf},
	{"M121", "key as an object", with("idempotency_key", `{}`), imf},
	{"M124", "bad in_reply_to", with("in_reply_to", `"a/b"`), imf},
	{"M124", "in_reply_to as a number", with("in_reply_to", `7`), imf},
	{"M124", "bad workflow_id", with("workflow_id", `"a/b"`), imf},
	{"M124", "workflow_id as a number", with("workflow_id", `7`), imf},
	{"M124", "workflow_id as an object", with("workflow_id", `{}`), imf},
	{"M124", "workflow_id of 129 characters", with("workflow_id", quoted(strings.Repeat("w", 129))), imf},
	{"M124", "workflow_id", with("workflow_id", `"019b1d3e-7c00-7000-8000-000000000001"`), ok},
	{"M124", "empty workflow_id", with("workflow_id", `""`), ok},
	{"M124", "workflow_id null", with("workflow_id", `null`), ok},
	{"M125", "response_type of 1 KiB", with("response_type", quoted(strings.Repeat("r", 1<<10))), imf},
	{"M126", "schema without a version", with("schema", `"agntcy:x"`), imf},
	{"M130", "101 attachments", with("attachments", list(101, attachment("size", `1`))), imf},
	{"M130", "100 attachments", with("attachments", list(100, attachment("size", `1`))), ok},
	{"M131", "negative size", with("attachments", list(1, attachment("size", `-1`))), imf},
	{"M133", "file URL", with("attachments", list(1, attachment("url", `"file:///etc/passwd"`))), imf},
	{"M134", "URL with credentials", with("attachments", list(1, attachment("url", `"https://a:b@x.test/f"`))), imf},
	{"M134", "a second size in upper case", with("attachments",
		"["+strings.Replace(attachment("size", `1`), `"size"`, `"SIZE":2,"size"`, 1)+"]"), imf},
	{"M134", "a second size with a long s", with("attachments",
		"["+strings.Replace(attachment("size", `1`), `"size"`, "\"\u017fize\":2,\"size\"", 1)+"]"), imf},
	{"M135", "size as a string", with("attachments", list(1, attachment("size", `"1"`))), imf},
	{"M136", "coordination as a string", with("coordination", `"parallel"`), imf},
	{"M159", "signature as a string", with("signature", `"x"`), imf},
	{"M159", "signature as an array", with("signature", `[]`), imf},
	{"M159", "a name twice in the signature", with("signature", `{"value":"x","value":"x"}`), imf},
	{"M159", "signature twice", with("signature", `{},"signature":{}`), imf},
}

func TestMalformedCorpus(t *testing.T) {
	for _, layer := range [][]malformed{jsonLayer, fieldLayer} {
		for _, c := range layer {
			t.Run(c.id+" "+c.what, func(t *testing.T) {
				m, err := amtp.ParseMessage([]byte(c.doc))
				switch {
				case c.want == ok && err != nil:
					t.Fatalf("ParseMessage = %v, want a message; document %.200q", err, c.doc)
				case c.want != ok && (err == nil || err.Code != c.want):
					t.Fatalf("ParseMessage = %v, want %s; document %.200q", err, c.want, c.doc)
				case (m == nil) != (err != nil):
					t.Fatalf("ParseMessage = %v, %v, want either; document %.200q", m, err, c.doc)
				}
				if err != nil && (err.Message == "" || len(err.Error()) > 600) {
					t.Errorf("the error has %d bytes, want a sentence; %s", len(err.Error()), err)
				}
			})
		}
	}
}

// object returns an object with n members.
func object(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strings.Repeat("a", i%100) + "." + strings.Repeat("b", i/100) + `":0`)
	}
	return "{" + b.String()[1:] + "}"
}

// longDomain returns a domain of n characters with labels of at most 49.
func longDomain(n int) string {
	d := strings.Repeat(strings.Repeat("d", 49)+".", 10)
	return d[:n-len(".test")-1] + "x.test"
}

// attachment returns an attachment in which the member has the value.
func attachment(member, value string) string {
	members := map[string]string{
		"filename": `"f.txt"`, "content_type": `"text/plain"`, "size": `1`, "hash": `"sha256:00"`,
		"url": `"https://x.test/f"`,
	}
	members[member] = value
	var b strings.Builder
	for _, name := range []string{"filename", "content_type", "size", "hash", "url"} {
		b.WriteString(`,"` + name + `":` + members[name])
	}
	return "{" + b.String()[1:] + "}"
}

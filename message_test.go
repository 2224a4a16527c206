package amtp_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
)

func parse(t *testing.T, doc string) *amtp.Message {
	t.Helper()
	m, err := amtp.ParseMessage([]byte(doc))
	if err != nil {
		t.Fatalf("ParseMessage = %v, want a message; document %.200s", err, doc)
	}
	return m
}

func TestParseMessageReadsEveryMember(t *testing.T) {
	doc := ` { "version":"1.0", "message_id":"m:1", "idempotency_key":"k/1", "timestamp":"2026-01-31T13:00:00.123456+01:00",
		"sender":"Alice@X.Test", "recipients":["b@y.test","c@z.test"], "subject":"Gr\u00fc\u00dfe", "schema":"agntcy:commerce.order.v1",
		"headers":{"h" : 1.0}, "payload": [1, 9007199254740993 ], "in_reply_to":"m:0", "response_type":"json", "workflow_id":"w:1", "coordination":{"type":"parallel"},
		"attachments":[{"filename":"f","content_type":"text/plain","size":3,"hash":"md5:00","url":"http://x.test/f"}],
		"signature":{"value" : "x"}, "x-more":true } `
	m := parse(t, doc)
	for _, c := range []struct{ member, got, want string }{
		{"version", m.Version, "1.0"},
		{"message_id", string(m.MessageID), "m:1"},
		{"idempotency_key", m.IdempotencyKey, "k/1"},
		{"timestamp", m.Timestamp.Format(time.RFC3339Nano), "2026-01-31T12:00:00.123456Z"},
		{"sender", m.Sender.String(), "Alice@x.test"},
		{"recipients", m.Recipients[0].String() + " " + m.Recipients[1].String(), "b@y.test c@z.test"},
		{"subject", m.Subject, "Grüße"},
		{"schema", m.Schema, "agntcy:commerce.order.v1"},
		{"headers", string(m.Headers), `{"h" : 1.0}`},
		{"payload", string(m.Payload), `[1, 9007199254740993 ]`},
		{"in_reply_to", string(m.InReplyTo), "m:0"},
		{"response_type", m.ResponseType, "json"},
		{"workflow_id", string(m.WorkflowID), "w:1"},
		{"coordination", string(m.Coordination), `{"type":"parallel"}`},
		{"attachment", m.Attachments[0].Filename + " " + m.Attachments[0].Hash, "f md5:00"},
		{"signature", string(m.Signature), `{"value" : "x"}`},
		{"the bytes", string(m.Raw()), doc},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.member, c.got, c.want)
		}
	}
}

// TestEmptyIsAbsent: the reference programs print all members always (null, "", the
// zero time).
func TestEmptyIsAbsent(t *testing.T) {
	m := parse(t,
		`{"version":"","message_id":"","idempotency_key":null,"timestamp":"0001-01-01T00:00:00Z","sender":"a@x.test",
		"recipients":["b@y.test"],"subject":"","schema":"","headers":null,"in_reply_to":"","response_type":null,"workflow_id":"",
		"coordination":null,"attachments":null,"signature":null}`)
	want := amtp.Message{Sender: m.Sender, Recipients: m.Recipients}
	if got, err := json.Marshal(m); err != nil || string(got) != marshal(t, want) {
		t.Errorf("message = %s, %v, want %s", got, err, marshal(t, want))
	}
}

func TestPayloadNullIsAPayload(t *testing.T) {
	if m := parse(t, with("payload", "null")); string(m.Payload) != "null" {
		t.Errorf("payload = %q, want null", m.Payload)
	}
	if m := parse(t, with("payload", "")); m.Payload != nil {
		t.Errorf("payload = %q, want none", m.Payload)
	}
}

func TestRecipientsCollapse(t *testing.T) {
	m := parse(t, with("recipients", `["Bob@y.test","c@y.test","bob@Y.TEST","Bob@y.test"]`))
	if len(m.Recipients) != 2 || m.Recipients[0].String() != "Bob@y.test" || m.Recipients[1].String() != "c@y.test" {
		t.Errorf("recipients = %v, want Bob@y.test and c@y.test", m.Recipients)
	}
}

func TestTimestamps(t *testing.T) {
	for in, want := range map[string]string{
		"2026-01-31T12:00:00Z":           "2026-01-31T12:00:00Z",
		"2026-01-31T12:00:00.5-05:00":    "2026-01-31T17:00:00.5Z",
		"0001-01-01T00:00:00Z":           "0001-01-01T00:00:00Z",
		"0002-01-01T00:00:00+01:00":      "0001-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999Z":       "9999-12-31T23:59:59.999Z",
		"2026-01-31T12:00:00.123456789Z": "2026-01-31T12:00:00.123456789Z",
	} {
		if got := parse(t, with("timestamp", quoted(in))).Timestamp.Format(time.RFC3339Nano); got != want {
			t.Errorf("timestamp = %s, want %s; input %s", got, want, in)
		}
	}
	for _, in := range []string{"9999-12-31T23:59:59-01:00", "2026-02-30T00:00:00Z", "2026-01-31 12:00:00Z",
		"2026-01-31", "12:00"} {
		if m, err := amtp.ParseMessage([]byte(with("timestamp", quoted(in)))); err == nil {
			t.Errorf("timestamp = %v, want an error; input %s", m.Timestamp, in)
		}
	}
}

func TestAttachments(t *testing.T) {
	for _, c := range []struct {
		member, value string
		fine          bool
	}{
		{"hash", `"sha256:9f86D081"`, true},
		{"hash", `"sha512:` + strings.Repeat("a", 128) + `"`, true},
		{"hash", `"sha512:` + strings.Repeat("a", 129) + `"`, false},
		{"hash", `"sha256:"`, false},
		{"hash", `"sha256:xyz"`, false},
		{"hash", `"crc32:00"`, false},
		{"filename", `""`, false},
		{"filename", `"a\nb"`, false},
		{"content_type", `""`, false},
		{"size", `0`, true},
		{"size", `1.5`, false},
		{"size", `9223372036854775808`, false},
		{"url", `"http://x.test/f?a=b@c"`, true},
		{"url", `"http://"`, false},
		{"url", `"//x.test/f"`, false},
		{"url", `"javascript:x"`, false},
		{"url", `"https://a@x.test/f"`, false},
		{"url", `"https://x.test/a b"`, false},
		{"unknown", `1`, true},
	} {
		doc := with("attachments", "["+strings.TrimSuffix(attachment("size", "1"), "}")+"}]")
		if c.member == "unknown" {
			doc = strings.Replace(doc, `"size"`, `"unknown":1,"size"`, 1)
		} else {
			doc = with("attachments", "["+attachment(c.member, c.value)+"]")
		}
		if _, err := amtp.ParseMessage([]byte(doc)); (err == nil) != c.fine {
			t.Errorf("ParseMessage = %v, want fine %v; attachment with %s %s", err, c.fine, c.member, c.value)
		}
	}
}

func TestErrorsNameTheMember(t *testing.T) {
	for member, doc := range map[string]string{
		"sender":      with("sender", `1`),
		"recipients":  with("recipients", `{}`),
		"headers":     with("headers", `[]`),
		"trust":       with("trust", `"verified"`),
		"attachments": with("attachments", `{}`),
		"timestamp":   with("timestamp", `"x"`),
	} {
		_, err := amtp.ParseMessage([]byte(doc))
		if err == nil || err.Details["field"] != member {
			t.Errorf("details = %v, want field %s; document %s", err, member, doc)
		}
	}
}

func TestRecipientErrorsNameTheRecipient(t *testing.T) {
	_, err := amtp.ParseMessage([]byte(with("recipients", `["b@y.test","c@"]`)))
	if err == nil || err.Details["recipient"] != "c@" {
		t.Errorf("details = %v, want recipient c@", err)
	}
}

func TestFingerprintIsOfTheContent(t *testing.T) {
	first, again := with("message_id", `"m1"`), with("message_id", `"m2"`)
	other := with("subject", `"other"`)
	a, _ := parse(t, first).Fingerprint()
	b, _ := parse(t, again).Fingerprint()
	c, _ := parse(t, other).Fingerprint()
	if a != b || a == c {
		t.Errorf("same content %v, other content %v, want true and false", a == b, a == c)
	}
}

func TestTimeOnTheWire(t *testing.T) {
	at := time.Date(2026, 1, 31, 13, 0, 0, 123456789, time.FixedZone("", 3600))
	if got := marshal(t, amtp.Time{Time: at}); got != `"2026-01-31T12:00:00.123Z"` {
		t.Errorf("time = %s, want UTC with milliseconds", got)
	}
	for _, in := range []string{`null`, `""`} {
		got := amtp.Time{Time: at}
		if err := json.Unmarshal([]byte(in), &got); err != nil {
			t.Errorf("Unmarshal = %v, want no error; input %s", err, in)
		}
	}
	var got amtp.Time
	if err := got.UnmarshalJSON([]byte(`"2026-01-31T12:00:00.5+01:00"`)); err != nil ||
		!got.Equal(time.Date(2026, 1, 31, 11, 0, 0, 500e6, time.UTC)) {
		t.Errorf("UnmarshalJSON = %v, %v, want 11:00:00.5 UTC", got, err)
	}
	for _, in := range []string{`1`, `"x"`, `{}`} {
		if err := got.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("UnmarshalJSON = nil, want an error; input %s", in)
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("Marshal = %v, want no error; value %v", err, v)
	}
	return string(b)
}

// FuzzMessage checks that an accepted message means the same after it was printed and
// read again, and that a refusal has a code.
func FuzzMessage(f *testing.F) {
	for _, layer := range [][]malformed{jsonLayer, fieldLayer} {
		for _, c := range layer {
			if len(c.doc) < 4096 {
				f.Add([]byte(c.doc))
			}
		}
	}
	f.Add([]byte(with("attachments", "["+attachment("size", "1")+"]")))
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		m, err := amtp.ParseMessage(doc)
		if !bytes.Equal(doc, before) {
			t.Fatalf("ParseMessage changed its input to %q; document %q", doc, before)
		}
		if err != nil {
			if err.Code != imf && err.Code != ir && err.Code != uv {
				t.Fatalf("code = %s, want one of the parser's; document %q", err.Code, doc)
			}
			return
		}
		if _, err := m.Fingerprint(); err != nil {
			t.Fatalf("Fingerprint = %v, want no error; document %q", err, doc)
		}
		sameAfterPrinting(t, m)
	})
}

func sameAfterPrinting(t *testing.T, m *amtp.Message) {
	printed := marshal(t, m)
	again, err := amtp.ParseMessage([]byte(printed))
	if err != nil {
		t.Fatalf("ParseMessage = %v, want a message; printed %q from %q", err, printed, m.Raw())
	}
	if twice := marshal(t, again); twice != printed {
		t.Fatalf("printed again = %q, want %q; document %q", twice, printed, m.Raw())
	}
	if !reflect.DeepEqual(again.Recipients, m.Recipients) || again.Subject != m.Subject ||
		!again.Sender.Equal(m.Sender) {
		t.Fatalf("printed = %q, want the same sender, recipients and subject; document %q", printed, m.Raw())
	}
}

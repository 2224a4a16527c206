package amtp_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestNewMessageID(t *testing.T) {
	last := amtp.MessageID("")
	for range 1000 {
		id := amtp.NewMessageID()
		u, isUUID := id.UUID()
		if !isUUID || u.Version() != 7 || u.String() != string(id) {
			t.Fatalf("NewMessageID = %s, want a UUIDv7 in lower case", id)
		}
		if id <= last {
			t.Fatalf("NewMessageID = %s, want it behind %s", id, last)
		}
		last = id
	}
}

func TestParseMessageID(t *testing.T) {
	for _, s := range []string{"a", "A.b_c:d-1", "0190b3c2-0000-7000-8000-000000000000", strings.Repeat("m", 128)} {
		if id, err := amtp.ParseMessageID(s); err != nil || string(id) != s {
			t.Errorf("ParseMessageID = %q, %v, want it unchanged; input %q", id, err, s)
		}
	}
	for _, s := range []string{"", " ", "a b", "a/b", "a@b", "a\n", "ä", "<a>", "{a}", "a%41",
		strings.Repeat("m", 129)} {
		if id, err := amtp.ParseMessageID(s); err == nil {
			t.Errorf("ParseMessageID = %q, want an error; input %q", id, s)
		}
	}
}

func TestMessageIDAsUUID(t *testing.T) {
	for id, want := range map[amtp.MessageID]string{
		"0190b3c2-0000-7000-8000-00000000abcd":          "0190b3c2-0000-7000-8000-00000000abcd",
		"0190B3C2-0000-7000-8000-00000000ABCD":          "0190b3c2-0000-7000-8000-00000000abcd",
		"0190b3c20000700080000000000000ab":              "",
		"urn:uuid:0190b3c2-0000-7000-8000-00000000abcd": "",
		"0190b3c2-0000-7000-8000-00000000abcg":          "",
		"0190b3c2:0000:7000:8000:00000000abcd":          "",
		"not-a-uuid":                                    "",
		"":                                              "",
	} {
		u, isUUID := id.UUID()
		if isUUID != (want != "") || isUUID && u.String() != want {
			t.Errorf("UUID = %s, %v, want %q; id %q", u, isUUID, want, id)
		}
	}
}

func TestCheckIdempotencyKey(t *testing.T) {
	for _, s := range []string{"k", "a/b?c=d", "!~", "{\"x\"}", strings.Repeat("k", 255)} {
		if err := amtp.CheckIdempotencyKey(s); err != nil {
			t.Errorf("CheckIdempotencyKey = %v, want no error; key %q", err, s)
		}
	}
	for _, s := range []string{"", " ", "a b", "a\t", "a\x7f", "ä", "\xff", strings.Repeat("k", 256)} {
		if err := amtp.CheckIdempotencyKey(s); err == nil {
			t.Errorf("CheckIdempotencyKey = nil, want an error; key %q", s)
		}
	}
}

func TestCheckSchema(t *testing.T) {
	for _, s := range []string{
		"agntcy:commerce.order.v1", "agntcy:commerce.order.v1.2", "my-org:a_b.c-d.v10", "x:a.b.c.v3", "A:B.C.v1",
	} {
		if err := amtp.CheckSchema(s); err != nil {
			t.Errorf("CheckSchema = %v, want no error; schema %q", err, s)
		}
	}
	for _, s := range []string{
		"", ":", "agntcy:", "agntcy:x", "agntcy:a.b", "agntcy:a.v1", "agntcy:a.b.1", "agntcy:a.b.v", "agntcy:a.b.vx",
		"agntcy:a.b.c",
		":a.b.v1", "agntcy:a..v1", "agntcy:.b.v1", "agntcy:a.b.v1.", "agntcy:a b.c.v1", "agntcy:a/b.c.v1",
		"agntcy:a.b.v1:c", "agntcy:commerce.*",
		"a:" + strings.Repeat("x", 250) + ".b.v1",
	} {
		if err := amtp.CheckSchema(s); err == nil {
			t.Errorf("CheckSchema = nil, want an error; schema %q", s)
		}
	}
}

func TestCheckSchemaPattern(t *testing.T) {
	for _, s := range []string{"agntcy:commerce.order.v1", "agntcy:commerce.*", "agntcy:commerce.order.*",
		"agntcy:commerce.or*"} {
		if err := amtp.CheckSchemaPattern(s); err != nil {
			t.Errorf("CheckSchemaPattern = %v, want no error; pattern %q", err, s)
		}
	}
	for _, s := range []string{"", "*", "agntcy:*", "agntcy:commerce*", ":a.*", "agntcy:commerce.*.v1", "agntcy:a.*.*",
		"agntcy:a b.*", "agntcy:commerce"} {
		if err := amtp.CheckSchemaPattern(s); err == nil {
			t.Errorf("CheckSchemaPattern = nil, want an error; pattern %q", s)
		}
	}
}

func TestMatchSchema(t *testing.T) {
	const order = "agntcy:commerce.order.v1"
	for pattern, want := range map[string]bool{
		order: true, "agntcy:commerce.*": true, "agntcy:commerce.order.*": true, "agntcy:commerce.or*": true,
		"agntcy:commerce.order.v2": false, "agntcy:finance.*": false, "agntcy:commerce.order": false,
		"other:commerce.*": false,
	} {
		if got := amtp.MatchSchema(pattern, order); got != want {
			t.Errorf("MatchSchema = %v, want %v; pattern %s, schema %s", got, want, pattern, order)
		}
	}
}

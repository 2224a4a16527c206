package amtp_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/amtp-go/amtp/internal/test/hostile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// Sizes at which the cost of reading is compared with that of four times as much.
// Documents are read at two sizes. Many small items fit the smaller one within the
// bounds of strictjson; large items need the other.
const (
	textSize  = 16 << 10
	smallSize = 24 << 10
	largeSize = 96 << 10
)

// reader is a parser of bytes whose sender is not proven.
type reader struct {
	shapes []hostile.Shape
	read   func(input []byte)
}

// textReaders are the parsers of texts: of names, of DNS records, of user input, and of
// the output of other programs.
func textReaders() map[string]reader {
	texts := func(read func(s string), beginnings ...string) reader {
		return reader{hostile.Texts(beginnings...), func(b []byte) { read(string(b)) }}
	}
	return map[string]reader{
		"address":            texts(func(s string) { _, _ = amtp.ParseAddress(s) }, "a@", "a@b.example", "\"a\"@"),
		"domain":             texts(func(s string) { _, _ = amtp.ParseDomain(s) }, "b.", "xn--"),
		"name":               texts(func(s string) { _ = amtp.CheckName(s) }),
		"message id":         texts(func(s string) { _, _ = amtp.ParseMessageID(s) }),
		"idempotency key":    texts(func(s string) { _ = amtp.CheckIdempotencyKey(s) }),
		"schema":             texts(func(s string) { _ = amtp.CheckSchema(s) }, "agntcy:a."),
		"pattern of schemas": texts(func(s string) { _ = amtp.CheckSchemaPattern(s) }, "agntcy:a."),
		"invitation":         texts(func(s string) { _, _ = amtp.ParseInviteCode(s) }, "amtp_invite_"),
		"pin":                texts(func(s string) { _, _ = amtp.ParsePin(s) }, "sha256:"),
		"capabilities": texts(func(s string) { _, _ = amtp.ChooseCapabilities([]string{s}, false) },
			"v=amtp1;", "v=amtp1;gateway=https://a.example;", "v=amtp1;gateway=https://",
			"v=amtp1;gateway=https://a.example;auth="),
		"key record": texts(func(s string) {
			_, _ = amtp.ChooseKeyRecord([]string{s})
		}, "v=amtpkey1;", "v=amtpkey1;alg=ES256;p=", "v=amtpkey1;alg=RS256;p="),
		"signing key": texts(func(s string) { _, _ = amtp.ParseSigningKey([]byte(s)) },
			"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN EC PRIVATE KEY-----\n"),
	}
}

// documentReaders are the steps that a document goes through before its sender is
// proven.
func documentReaders(t testing.TB) map[string]reader {
	value := strings.Repeat("A", 86)
	signed := complete[:strings.LastIndexByte(complete, '}')] +
		`,"signature":{"algorithm":"ES256","keyid":"key1","value":"` + value + `"}}`
	key := signer(t).KeyRecord()
	message := func(run func(m *amtp.Message)) func([]byte) {
		return func(doc []byte) {
			if m, refused := amtp.ParseMessage(doc); refused == nil {
				run(m)
			}
		}
	}
	in := func(template, member string) []hostile.Shape {
		before, behind, _ := strings.Cut(edit(template, member, "\"HERE\""), "\"HERE\"")
		return hostile.Within(hostile.Values(), before, behind)
	}
	readers := map[string]reader{
		"strict JSON":    {hostile.Values(), func(b []byte) { _ = strictjson.Value(b) }},
		"members":        {hostile.Values(), func(b []byte) { _, _ = strictjson.Object(b) }},
		"split members":  {hostile.Values(), func(b []byte) { _, _ = strictjson.Split(b) }},
		"canonical form": {hostile.Values(), func(b []byte) { _, _ = canonical.Form(b) }},
		"verify":         {in(signed, "payload"), message(func(m *amtp.Message) { verifyForged(m, key) })},
		"fingerprint":    {in(complete, "payload"), message(func(m *amtp.Message) { _, _ = m.Fingerprint() })},
		"signable":       {in(complete, "payload"), message(func(m *amtp.Message) { _ = m.Signable() })},
	}
	for _, member := range []string{"recipients", "headers", "attachments", "subject", "schema", "message_id",
		"timestamp", "sender"} {
		readers["message with "+member] = reader{in(complete, member), message(func(*amtp.Message) {})}
	}
	readers["signature"] = reader{in(signed, "signature"),
		message(func(m *amtp.Message) { _, _ = amtp.ParseSignature(m) })}
	return readers
}

// TestReadersOfTextsAreLinear, and those of documents: reading a stranger's input never
// costs more than its length allows.
func TestReadersOfTextsAreLinear(t *testing.T) {
	slow.Test(t, "it reads long texts")
	for name, r := range textReaders() {
		t.Run(name, func(t *testing.T) { hostile.Linear(t, r.shapes, textSize, r.read) })
	}
}

func TestReadersOfDocumentsAreLinear(t *testing.T) {
	slow.Test(t, "it reads documents of ten megabytes")
	for name, r := range documentReaders(t) {
		t.Run(name, func(t *testing.T) {
			hostile.Linear(t, r.shapes, smallSize, r.read)
			if !strings.HasPrefix(name, "message with ") { // it does no more than the others
				hostile.Linear(t, r.shapes, largeSize, r.read)
			}
		})
	}
}

// BenchmarkReaders reports the cost of ten megabytes for each reader, in milliseconds
// of processor time: at most 100 are allowed.
func BenchmarkReaders(b *testing.B) {
	for name, r := range textReaders() {
		b.Run(name, func(b *testing.B) { hostile.Bench(b, r.shapes, textSize, r.read) })
	}
	for name, r := range documentReaders(b) {
		b.Run(name, func(b *testing.B) { hostile.Bench(b, r.shapes, 4<<20, r.read) })
	}
}

// verifyForged takes a signature through all steps.
func verifyForged(m *amtp.Message, key amtp.KeyRecord) {
	if sig, err := amtp.ParseSignature(m); err == nil {
		_ = sig.Verify(key)
	}
}

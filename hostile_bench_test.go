//go:build unix

package amtp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/strictjson"
)

// worstMessages are messages of up to 10 MB that cost a reader as much as possible, by
// their content. No sender of them is proven.
func worstMessages() map[string]string {
	const limit = amtp.MaxMessageSize - 2000
	list := func(item string) string {
		n := min(limit/(len(item)+1), strictjson.MaxTokens-200)
		return "[" + strings.Repeat(item+",", n-1) + item + "]"
	}
	object := func(name func(i int) string, value string, n int) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%q:%s", name(i), value)
		}
		b.WriteByte('}')
		return b.String()
	}
	payloads := map[string]string{
		"ones": list("1"), "tiny numbers": list("5e-324"), "numbers of 16 digits": list("0.1234567890123456"),
		"numbers of 17 digits": list("0.30000000000000004"), "numbers half way": list("9007199254740993"),
		"long numbers": list("0." + strings.Repeat("0", 50) + "12345"), "large exponents": list("1.5e300"),
		"escapes": `"` + strings.Repeat(`\u0041`, limit/6) + `"`,
		"pairs":   `"` + strings.Repeat(`\ud83d\ude00`, limit/12) + `"`,
		"quotes":  `"` + strings.Repeat(`\"`, limit/2) + `"`, "empty lists": list("[]"), "empty texts": list(`""`),
		"nesting": list(strings.Repeat("[", 60) + strings.Repeat("]", 60)),
		"text":    `"` + strings.Repeat("a", limit) + `"`,
		"space":   "[" + strings.Repeat(" ", limit) + "]", "names backwards": object(func(i int) string {
			return fmt.Sprintf("%06d", 95_000-i)
		}, "1", 95_000),
		"long names": object(func(i int) string {
			return strings.Repeat("n", 1000) + fmt.Sprint(9000-i)
		}, "1", 9000),
		"escaped names": "{" + `"\u006e":` + object(func(i int) string { return fmt.Sprintf("é%06d", i) }, `"\u00e9"`,
			90_000) + "}",
	}
	bodies := make(map[string]string, len(payloads)+4)
	for name, payload := range payloads {
		bodies[name] = edit(complete, "payload", payload)
	}
	members := object(func(i int) string { return fmt.Sprintf("m%06d", i) }, "1", 95_000)
	bodies["members"] = complete[:len(complete)-1] + "," + members[1:]
	bodies["headers"] = edit(complete, "headers", object(func(i int) string {
		return fmt.Sprintf("h%d",
			i)
	}, `""`, 5000))
	bodies["recipients"] = edit(complete, "recipients", list(`"a@b.example"`))
	attachment := `{"filename":"a","content_type":"b","size":1,"hash":"sha256:` + strings.Repeat("0",
		64) + `","url":"https://a.example/b"}`
	bodies["attachments"] = edit(complete, "attachments", list(attachment))
	return bodies
}

// BenchmarkHostile measures the cost of everything that a gateway does with a message
// before it knows the sender, and before the message leaves for another domain. At most
// 100 ms of processor time are allowed for 10 MB of any content. A refused message
// costs the time that its refusal took.
func BenchmarkHostile(b *testing.B) {
	key := signer(b).KeyRecord()
	value := strings.Repeat("A", 86)
	for name, body := range worstMessages() {
		forged := body[:strings.LastIndexByte(body, '}')] +
			`,"signature":{"algorithm":"ES256","keyid":"key1","value":"` + value + `"}}`
		for step, run := range map[string]func(m *amtp.Message){
			"parse":       func(*amtp.Message) {},
			"verify":      func(m *amtp.Message) { verifyForged(m, key) },
			"fingerprint": func(m *amtp.Message) { _, _ = m.Fingerprint() },
			"signable":    func(m *amtp.Message) { _ = m.Signable() },
		} {
			b.Run(name+"/"+step, func(b *testing.B) {
				doc := []byte(forged)
				if step == "signable" { // messages of agents here have no signature
					doc = []byte(body)
				}
				b.SetBytes(int64(len(doc)))
				m, failure := amtp.ParseMessage(doc)
				countCPU(b)
				for b.Loop() {
					if step == "parse" {
						m, failure = amtp.ParseMessage(doc)
					}
					if failure == nil {
						run(m)
					}
				}
			})
		}
	}
}

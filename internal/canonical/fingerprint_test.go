package canonical

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/strictjson"
	"pgregory.net/rapid"
)

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func fingerprint(t fataler, doc string) [sha256.Size]byte {
	t.Helper()
	members, err := strictjson.Object([]byte(doc))
	if err != nil {
		t.Fatalf("Object = %v, want no error; document %s", err, doc)
	}
	sum, err := Fingerprint(members)
	if err != nil {
		t.Fatalf("Fingerprint = %v, want no error; document %s", err, doc)
	}
	return sum
}

const content = `{"sender":"a@x.test","recipients":["b@x.test"],"subject":"Grüße","payload":{"n":1,"list":[1,2],"text":"a/b"}}`

func TestSameContent(t *testing.T) {
	want := fingerprint(t, content)
	for name, doc := range map[string]string{
		"other recipients":      strings.Replace(content, `["b@x.test"]`, `["c@x.test","d@x.test"]`, 1),
		"no recipients":         strings.Replace(content, `"recipients":["b@x.test"],`, ``, 1),
		"a message id":          strings.Replace(content, `{`, `{"message_id":"m1",`, 1),
		"an idempotency key":    strings.Replace(content, `{`, `{"idempotency_key":"k1",`, 1),
		"a timestamp":           strings.Replace(content, `{`, `{"timestamp":"2026-01-01T00:00:00Z",`, 1),
		"a signature":           strings.Replace(content, `{`, `{"signature":{"value":"x"},`, 1),
		"escaped outside name":  strings.Replace(content, `{`, `{"message\u005fid":"m1",`, 1),
		"white space":           " { \"sender\" :\t\"a@x.test\",\n\"recipients\":[ ],\"subject\":\"Grüße\", \"payload\" : { \"n\" : 1 , \"list\" : [ 1 , 2 ], \"text\":\"a/b\" } } ",
		"other order":           `{"payload":{"text":"a/b","list":[1,2],"n":1},"subject":"Grüße","sender":"a@x.test"}`,
		"escapes in a value":    strings.Replace(content, `Grüße`, `\u0047r\u00FC\u00dfe`, 1),
		"escapes in a name":     strings.Replace(content, `"subject"`, `"s\u0075bject"`, 1),
		"an escaped slash":      strings.Replace(content, `a/b`, `a\/b`, 1),
		"escapes in the inside": strings.Replace(content, `"text"`, `"t\u0065xt"`, 1),
	} {
		if got := fingerprint(t, doc); got != want {
			t.Errorf("%s: the fingerprint differs, want the same; document %s", name, doc)
		}
	}
}

func TestOtherContent(t *testing.T) {
	seen := map[[sha256.Size]byte]string{fingerprint(t, content): "the original"}
	for _, c := range []struct{ name, doc string }{
		{"other sender", strings.Replace(content, `a@x.test`, `z@x.test`, 1)},
		{"no subject", strings.Replace(content, `"subject":"Grüße",`, ``, 1)},
		{"decomposed subject", strings.Replace(content, `ü`, "u\u0308", 1)},
		{"unknown member", strings.Replace(content, `{`, `{"x":null,`, 1)},
		{"other number", strings.Replace(content, `"n":1`, `"n":2`, 1)},
		{"number with a fraction", strings.Replace(content, `"n":1`, `"n":1.0`, 1)},
		{"number with an exponent", strings.Replace(content, `"n":1`, `"n":1e0`, 1)},
		{"zero", strings.Replace(content, `"n":1`, `"n":0`, 1)},
		{"minus zero", strings.Replace(content, `"n":1`, `"n":-0`, 1)},
		{"number as a string", strings.Replace(content, `"n":1`, `"n":"1"`, 1)},
		{"number beyond binary64", strings.Replace(content, `"n":1`, `"n":9007199254740993`, 1)},
		{"the binary64 next to it", strings.Replace(content, `"n":1`, `"n":9007199254740992`, 1)},
		{"other order of a list", strings.Replace(content, `[1,2]`, `[2,1]`, 1)},
		{"a recipients member of the payload", strings.Replace(content, `"n":1`, `"n":1,"recipients":[]`, 1)},
		{"member moved inside", strings.Replace(content, `"n":1`, `"n":1,"message_id":"m1"`, 1)},
		{"member with other case", strings.Replace(content, `{`, `{"Message_id":"m1",`, 1)},
	} {
		got := fingerprint(t, c.doc)
		if same, ok := seen[got]; ok {
			t.Errorf("%s: the fingerprint is that of %s, want another; document %s", c.name, same, c.doc)
		}
		seen[got] = c.name
	}
}

// The times in headers are no content, whatever their spelling. Any other header is.
func TestTimesInHeaders(t *testing.T) {
	with := func(headers string) [sha256.Size]byte {
		return fingerprint(t, strings.Replace(content, `{`, `{"headers":`+headers+`,`, 1))
	}
	want := with(`{"priority":"high"}`)
	for _, headers := range []string{
		`{"priority":"high","answer-by":"2026-01-01T00:00:00Z"}`, `{"answer-by":"2026-01-01T02:00:00Z","priority":"high"}`,
		`{"Expires":"2026-01-01T00:00:00Z","priority":"high"}`, `{"priority":"high","e\u0078pires":7,"answer-by":[1]}`,
	} {
		if with(headers) != want {
			t.Errorf("the headers %s change the fingerprint, want that without times", headers)
		}
	}
	for _, headers := range []string{
		`{}`, `null`, `"answer-by"`, `["answer-by","expires"]`, `{"priority":"low","expires":"2026-01-01T00:00:00Z"}`,
		`{"priority":"high","x":{"expires":"2026-01-01T00:00:00Z"}}`,
	} {
		if with(headers) == want {
			t.Errorf("the headers %s have the fingerprint of others", headers)
		}
	}
	if fingerprint(t, strings.Replace(content, `"n":1`, `"n":1,"expires":1`, 1)) == fingerprint(t, content) {
		t.Error("a member of the payload was taken for a header")
	}
}

func TestFingerprintOfNothing(t *testing.T) {
	if got, err := Fingerprint(nil); err != nil || got != sha256.Sum256([]byte("{}")) {
		t.Errorf("Fingerprint = %x, %v, want SHA-256 of {}; no members", got, err)
	}
}

func TestFingerprintLeavesTheBytesAlone(t *testing.T) {
	doc := []byte(`{"z":{"b":1, "a":2},"a":"\u0041"}`)
	members, err := strictjson.Object(doc)
	if err != nil {
		t.Fatalf("Object = %v, want no error", err)
	}
	if _, err := Fingerprint(members); err != nil {
		t.Fatalf("Fingerprint = %v, want no error", err)
	}
	if got, want := string(doc), `{"z":{"b":1, "a":2},"a":"\u0041"}`; got != want {
		t.Errorf("the document became %s, want %s", got, want)
	}
}

// The same members in another order, with other white space and other escapes, have the same
// fingerprint.
func TestSpellingDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 6, rapid.ID).Draw(t, "names")
		values := make(map[string]string, len(names))
		for _, name := range names {
			values[name] = rapid.String().Draw(t, "value")
		}
		plain := spell(names, values, plainly, "")
		other := spell(rapid.Permutation(names).Draw(t, "order"), values, escaped,
			rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space"))
		if fingerprint(t, plain) != fingerprint(t, other) {
			t.Fatalf("the fingerprints differ, want the same; %s and %s", plain, other)
		}
	})
}

func spell(names []string, values map[string]string, quote func(string) string, space string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("," + space + quote(name) + space + ":" + space + `{"v":[` + quote(values[name]) + space + `]}`)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + space + "}"
}

func plainly(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xffff {
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		} else {
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	return `"` + b.String() + `"`
}

// Two different literals of a number are different content.
func TestNumberLiteralsMatter(t *testing.T) {
	literal := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := literal.Draw(t, "a"), literal.Draw(t, "b")
		same := fingerprint(t, `{"n":[`+a+`]}`) == fingerprint(t, `{"n":[`+b+`]}`)
		if same != (a == b) {
			t.Fatalf("same fingerprint = %v, want %v; literals %s and %s", same, a == b, a, b)
		}
	})
}

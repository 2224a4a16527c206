package strictjson

import (
	"slices"
	"testing"
)

var splits = []string{
	`{}`, " {\n} ", `{"a":1}`, `{ "a" : 1 , "b" : [ 1 , { "c" : "]}" } ] , "d":true }`,
	`{"a":"\"","b":"\\","c":"\\\"","":""}`,
	`{"a":"}","b":{"c":"{[","d":[]},"e":-1.5e3,"f":null}`, "{\"a\":\t1\r\n,\"b\":\"\"}", `{"\u0061\n":1,"ä":"\u00e4"}`,
	``, `[]`, `{`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":[`, `{"a":"\`, `{,}`, `{"a":1,}`, `{"a":1 "b":2}`,
	`{"a" 1}`, `{\"a":1}`, `{"\x":1}`, `{"a":]}`,
}

// FuzzSplit: Split divides a document that Object accepts as Object does. For any other
// document it does not panic.
func FuzzSplit(f *testing.F) {
	for _, doc := range splits {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, err := Split(doc)
		want, refused := Object(doc)
		if refused != nil {
			return
		}
		if err != nil {
			t.Fatalf("Split(%q) = %v; Object accepts it", doc, err)
		}
		if !slices.EqualFunc(got, want, func(a, b Member) bool {
			return a.Name == b.Name && string(a.Value) == string(b.Value)
		}) {
			t.Errorf("Split(%q) = %q, want %q", doc, got, want)
		}
	})
}

// TestSplitRefuses: a document that ends too early, or is not an object, is an error.
func TestSplitRefuses(t *testing.T) {
	for _, doc := range []string{``, `[]`, `1`, `{`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{,}`, `{"a":1,}`,
		`{"a":1 "b":2}`, `{"\x":1}`} {
		if got, err := Split([]byte(doc)); err == nil {
			t.Errorf("Split(%q) = %q, want an error", doc, got)
		}
	}
}

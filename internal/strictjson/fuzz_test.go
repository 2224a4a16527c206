package strictjson

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzStrictJSON checks that a document that is accepted here means the same to
// encoding/json: the same member names and, byte for byte, the same values.
func FuzzStrictJSON(f *testing.F) {
	for _, doc := range []string{
		`{}`, `{"a":1}`, ` { "a" : [ 1 , {"b":null} ] , "c":"\ud83d\ude02" } `, `{"\u0061":1.0e+5,"A":-0}`,
		`{"a":1,"a":2}`, `{"a":"` + "\xff" + `"}`, `[1]`, `null`, `{"a":1}x`, `{"a":{"a":{"a":[[[]]]}}}`, `{"":""}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		before := bytes.Clone(doc)
		members, err := Object(doc)
		if !bytes.Equal(doc, before) {
			t.Fatalf("Object changed its input to %q; document %q", doc, before)
		}
		if err != nil {
			return
		}
		if err := Value(doc); err != nil {
			t.Fatalf("Value = %v, Object accepts; document %q", err, doc)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatalf("encoding/json = %v, Object accepts; document %q", err, doc)
		}
		compare(t, doc, members, want)
	})
}

func compare(t *testing.T, doc []byte, got []Member, want map[string]json.RawMessage) {
	if len(got) != len(want) {
		t.Fatalf("Object has %d members, encoding/json %d; document %q", len(got), len(want), doc)
	}
	for _, m := range got {
		if value, ok := want[m.Name]; !ok || !bytes.Equal(value, m.Value) {
			t.Fatalf("member %q = %q, encoding/json has %q; document %q", m.Name, m.Value, value, doc)
		}
	}
}

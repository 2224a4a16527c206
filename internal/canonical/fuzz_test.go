package canonical

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/gowebpki/jcs"
)

// FuzzForm checks the canonical form: it means the same as the document, it is its own
// canonical form, and a second implementation writes the same. Documents that differ only in
// white space and the order of members have the same form.
func FuzzForm(f *testing.F) {
	for _, doc := range []string{
		`{"numbers":[1E30,4.50,2e-3,0.000000000000000000000000001],"literals":[null,true,false]}`, `-0`,
		`"\u20ac\ud83d\ude00"`,
		`{"b":1,"a":{"d":[],"c":"\u007f\/"}}`, `[9007199254740993]`, `{"\ufb33":1,"\ud83d\ude00":2}`, ` [ 1 , "a" ] `,
		`1e400`, `5e-324`, `{"a":1,"a":2}`, `"`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		form, err := Form(doc)
		if err != nil {
			return
		}
		if err := strictjson.Value(doc); err != nil {
			t.Fatalf("Form = %q of a document that is not strict JSON (%v); document %q", form, err, doc)
		}
		again, err := Form(form)
		if err != nil || !bytes.Equal(again, form) {
			t.Fatalf("Form of its own result = %q, %v, want %q; document %q", again, err, form, doc)
		}
		if second, err := jcs.Transform(doc); err != nil || !bytes.Equal(second, form) {
			t.Fatalf("Form = %q, the second implementation %q, %v; document %q", form, second, err, doc)
		}
		var a, b any
		if err := json.Unmarshal(doc, &a); err != nil {
			t.Fatalf("encoding/json = %v; document %q", err, doc)
		}
		if err := json.Unmarshal(form, &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("the form means %v, %v, want %v; form %q of %q", b, err, a, form, doc)
		}
		// As another program may write it: members in another order, other escapes.
		other, err := json.MarshalIndent(a, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if third, err := Form(other); err != nil || !bytes.Equal(third, form) {
			t.Fatalf("Form = %q, %v, want %q; %q instead of %q", third, err, form, other, doc)
		}
		sameFingerprint(t, doc, form)
	})
}

// sameFingerprint checks that a message has the same fingerprint with another id, without
// the other members in outside, and with its members in another order.
func sameFingerprint(t *testing.T, doc, form []byte) {
	members, err := strictjson.Object(doc)
	if err != nil {
		return
	}
	one, err := Fingerprint(members)
	if err != nil {
		t.Fatalf("Fingerprint = %v; document %q", err, doc)
	}
	var kept []strictjson.Member
	for _, m := range members {
		if !outside[m.Name] {
			kept = append([]strictjson.Member{m}, kept...)
		}
	}
	two, err := Fingerprint(append(kept, strictjson.Member{Name: "message_id", Value: []byte(`"other"`)}))
	if err != nil || one != two {
		t.Fatalf("Fingerprint = %x, %v, want %x for another id and order; document %q, form %q", two, err,
			one, doc, form)
	}
}

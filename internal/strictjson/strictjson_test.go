package strictjson

import (
	"errors"
	"strings"
	"testing"
)

func TestRefused(t *testing.T) {
	const (
		malformed = "malformed"
		truncated = "ends in the middle"
		twice     = "twice"
		follows   = "follows"
		noObject  = "must be a JSON object"
	)
	for _, c := range []struct{ name, doc, reason string }{
		{"nothing", ``, "no JSON document"},
		{"white space only", " \n", "no JSON document"},
		{"null", `null`, noObject},
		{"array", `[]`, noObject},
		{"string", `"x"`, noObject},
		{"number", `1`, noObject},
		{"truncated object", `{"a":1`, truncated},
		{"truncated string", `{"a":"b`, truncated},
		{"truncated literal", `{"a":tru`, truncated},
		{"name without value", `{"a"}`, malformed},
		{"trailing comma", `{"a":1,}`, malformed},
		{"trailing comma in array", `{"a":[1,]}`, malformed},
		{"comment", `{"a":1/*x*/}`, malformed},
		{"line comment", "{\"a\":1}//x", follows},
		{"single quotes", `{'a':1}`, malformed},
		{"bare name", `{a:1}`, malformed},
		{"number as name", `{1:1}`, malformed},
		{"NaN", `{"a":NaN}`, malformed},
		{"Infinity", `{"a":-Infinity}`, malformed},
		{"plus sign", `{"a":+1}`, malformed},
		{"leading zero", `{"a":01}`, malformed},
		{"no digit behind point", `{"a":1.}`, malformed},
		{"no digit before point", `{"a":.5}`, malformed},
		{"byte order mark", "\ufeff{}", malformed},
		{"invalid UTF-8 in name", "{\"\xff\":1}", malformed},
		{"invalid UTF-8 in value", "{\"a\":\"\xff\"}", malformed},
		{"overlong UTF-8", "{\"a\":\"\xc0\xaf\"}", malformed},
		{"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", malformed},
		{"lone high surrogate", `{"a":"\ud800"}`, malformed},
		{"lone low surrogate", `{"a":"\udc00"}`, malformed},
		{"swapped surrogates", `{"a":"\udc00\ud800"}`, malformed},
		{"unknown escape", `{"a":"\x41"}`, malformed},
		{"raw control character", "{\"a\":\"\x01\"}", malformed},
		{"raw line break", "{\"a\":\"\n\"}", malformed},
		{"form feed as white space", "{\f}", malformed},
		{"duplicate name", `{"a":1,"a":2}`, twice},
		{"duplicate name by escape", `{"sender":1,"s\u0065nder":2}`, twice},
		{"duplicate name deep down", `{"a":[{"b":{"c":1,"c":2}}]}`, twice},
		{"duplicate empty name", `{"":1,"":2}`, twice},
		{"second document", `{}{}`, follows},
		{"second document behind white space", "{}\n{}", follows},
		{"trailing garbage", `{} x`, follows},
		{"trailing NUL", "{}\x00", follows},
		{"too deep", `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, "nested"},
		{"ten million brackets", strings.Repeat("[", 10_000_000), "nested"},
		{"ten million braces", strings.Repeat(`{"":`, 2_500_000), "nested"},
		{"too many members", members(MaxMembers + 1), "members"},
		{"too many members deep down", `{"a":[` + members(MaxMembers+1) + `]}`, "members"},
		{"too many tokens", `{"a":[` + strings.Repeat("0,", MaxTokens) + `0]}`, "names, values and brackets"},
		{"long number", `{"a":` + strings.Repeat("9", MaxNumber+1) + `}`, "characters"},
		{"long number in array", `{"a":[` + strings.Repeat("9", MaxNumber+1) + `]}`, "characters"},
		{"large exponent", `{"a":1e401}`, "exponent"},
		{"small exponent", `{"a":1E-401}`, "exponent"},
		{"very large exponent", `{"a":1e+99999999999999999999}`, "exponent"},
		{"UTF-16", "\xff\xfe{\x00}\x00", malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Object([]byte(c.doc))
			checkRefusal(t, c.doc, err, c.reason)
		})
	}
}

func checkRefusal(t *testing.T, doc string, err error, reason string) {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, reason) {
		t.Fatalf("Object = %v, want an *Error about %q; document %.60q", err, reason, doc)
	}
	if refused.Offset < 0 || refused.Offset > int64(len(doc)) {
		t.Errorf("offset = %d, want it inside the document of %d bytes; document %.60q", refused.Offset, len(doc), doc)
	}
}

// members returns an object with n different members.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",\"" + strings.Repeat("x", i%100) + "." + strings.Repeat("y", i/100) + "\":0")
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

func TestAccepted(t *testing.T) {
	for _, c := range []struct{ name, doc string }{
		{"empty object", `{}`},
		{"white space around", " \t\r\n{ } \n"},
		{"same name on different levels", `{"a":{"a":{"a":1}}}`},
		{"names that differ by case", `{"a":1,"A":2}`},
		{"surrogate pair", `{"a":"\ud83d\ude02"}`},
		{"NUL escape", `{"a":"\u0000"}`},
		{"noncharacter", "{\"a\":\"\uffff\"}"},
		{"as deep as allowed", `{"a":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`},
		{"as many members as allowed", members(MaxMembers)},
		{"as many members deep down", `{"a":` + members(MaxMembers) + `}`},
		{"number as long as allowed", `{"a":` + strings.Repeat("9", MaxNumber) + `}`},
		{"exponents as far as allowed", `{"a":[1e400,1E-400,1e+0400]}`},
		{"minus zero", `{"a":-0}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Object([]byte(c.doc)); err != nil {
				t.Fatalf("Object = %v, want no error; document %.60q", err, c.doc)
			}
			if err := Value([]byte(c.doc)); err != nil {
				t.Fatalf("Value = %v, want no error; document %.60q", err, c.doc)
			}
		})
	}
}

func TestMembersKeepTheirOrderAndBytes(t *testing.T) {
	doc := []byte("{ \"z\" :\t1.0 , \"\\u0061\":\n{ \"x\" : [ 1,2 ] }\r, \"big\":9007199254740993,\"s\":\"\\u003c\" }")
	want := []Member{
		{"z", []byte("1.0")},
		{"a", []byte("{ \"x\" : [ 1,2 ] }")},
		{"big", []byte("9007199254740993")},
		{"s", []byte("\"\\u003c\"")},
	}
	got, err := Object(doc)
	if err != nil || len(got) != len(want) {
		t.Fatalf("Object = %d members, %v, want %d; document %s", len(got), err, len(want), doc)
	}
	for i, m := range got {
		if m.Name != want[i].Name || string(m.Value) != string(want[i].Value) {
			t.Errorf("member %d = %q: %s, want %q: %s", i, m.Name, m.Value, want[i].Name, want[i].Value)
		}
	}
}

func TestValueTakesAnyKind(t *testing.T) {
	for _, doc := range []string{`null`, `true`, ` "x" `, `-1.5e3`, `[]`, `{}`, `[[[1]]]`} {
		if err := Value([]byte(doc)); err != nil {
			t.Errorf("Value = %v, want no error; document %s", err, doc)
		}
	}
	for _, doc := range []string{``, `]`, `}`, `,`, `1 2`, `[1] 2`, `"x`, `nul`} {
		if err := Value([]byte(doc)); err == nil {
			t.Errorf("Value = nil, want an error; document %s", doc)
		}
	}
}

func TestDecode(t *testing.T) {
	type target struct {
		Name string   `json:"name"`
		N    int      `json:"n"`
		List []string `json:"list"`
	}
	var got target
	if err := Decode([]byte(`{"name":"x","Name":"y","n":3,"list":["a"],"other":{"n":"ignored"}}`), &got); err != nil {
		t.Fatalf("Decode = %v, want no error", err)
	}
	if got.Name != "x" || got.N != 3 || len(got.List) != 1 {
		t.Errorf("Decode gave %+v, want name x, n 3 and one item in list", got)
	}
	for _, c := range []struct{ doc, reason string }{
		{`{"n":"3"}`, `member "n" has the wrong type: it is a string`},
		{`{"list":[1]}`, `member "list/0" has the wrong type: it is a number`},
		{`{"name":{}}`, `member "name" has the wrong type: it is an object`},
		{`{"n":1,"n":2}`, "twice"},
		{`[]`, "must be a JSON object"},
	} {
		var v target
		checkRefusal(t, c.doc, Decode([]byte(c.doc), &v), c.reason)
	}
}

func TestErrorsDoNotRepeatTheDocument(t *testing.T) {
	const secret = "hunter2"
	for _, doc := range []string{`{"a":"` + secret, `{"a":` + secret + `}`, `{"a":1}` + secret,
		`{"n":"` + secret + `"}`} {
		err := Decode([]byte(doc), &struct {
			N int `json:"n"`
		}{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("Decode = %v, want an error without the text %q; document %s", err, secret, doc)
		}
	}
}

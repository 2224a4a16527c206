package canonical

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/strictjson"
	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

// The vectors of RFC 8785 §3.2.2 to §3.2.4 and of its authors' test suite. Numbers that
// binary64 does not keep are left out, because they are refused.
func TestForm(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"literals and strings (RFC 8785 §3.2.2)",
			`{"numbers":[1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
			`{"literals":[null,true,false],"numbers":[1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`},
		{"order of names is that of UTF-16 (RFC 8785 §3.2.3)",
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"},
		{"arrays keep their order", ` [ 56 , { "d" : true , "10" : null , "1" : [ ] } ] `,
			`[56,{"1":[],"10":null,"d":true}]`},
		{"structures",
			`{"1":{"f":{"f":"hi","F":5},"\n":56.0},"10":{},"":"empty","a":{},"111":[{"e":"yes","E":"no"}],"A":{}}`,
			`{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{"E":"no","e":"yes"}],"A":{},"a":{}}`},
		{"order ignores the language", `{"peach":1,"péché":2,"pêche":3,"sin":4}`,
			`{"peach":1,"péché":2,"pêche":3,"sin":4}`},
		{"no Unicode normalisation", `{"x":"A\u030a"}`, "{\"x\":\"A\u030a\"}"},
		{"nothing is escaped for HTML", `"\u003c/script>&\u2028"`, "\"</script>&\u2028\""},
		{"control characters", `"\u0000\u0008\u0009\u000a\u000c\u000d\u001f\u007f"`,
			"\"\\u0000\\b\\t\\n\\f\\r\\u001f\u007f\""},
		{"minus zero", `-0`, `0`},
		{"digits inside a string are no numbers", `"9007199254740993 \" 9007199254740993"`,
			`"9007199254740993 \" 9007199254740993"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Form([]byte(c.doc))
			if err != nil || string(got) != c.want {
				t.Fatalf("Form = %q, %v, want %q; document %s", got, err, c.want, c.doc)
			}
			if other, err := jcs.Transform([]byte(c.doc)); err != nil || string(other) != c.want {
				t.Errorf("the second implementation = %q, %v, want %q; document %s", other, err, c.want, c.doc)
			}
			again, err := Form(got)
			if err != nil || string(again) != c.want {
				t.Errorf("Form of its own result = %q, %v, want no change; document %s", again, err, c.doc)
			}
		})
	}
}

func TestFormRefuses(t *testing.T) {
	for _, doc := range []string{
		``, `{`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `[1] 2`,
		`9007199254740993`, `{"a":[333333333.33333329]}`, `{"a":{"b":1e400}}`, `{"a":"\\","b":0.1000000000000000055}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		if got, err := Form([]byte(doc)); err == nil {
			t.Errorf("Form = %q, want an error; document %.60s", got, doc)
		}
	}
}

// The numbers of RFC 8785, appendix B.
func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	} {
		literal := strconv.FormatFloat(math.Float64frombits(c.bits), 'e', -1, 64)
		got, err := Form([]byte(literal))
		if err != nil || string(got) != c.want {
			t.Errorf("Form = %s, %v, want %s; literal %s, bits %016x", got, err, c.want, literal, c.bits)
		}
		if other, err := jcs.NumberToJSON(math.Float64frombits(c.bits)); err != nil || other != c.want {
			t.Errorf("the second implementation = %s, %v, want %s; bits %016x", other, err, c.want, c.bits)
		}
	}
}

func TestExact(t *testing.T) {
	for _, c := range []struct {
		literal string
		want    bool
	}{
		{"0", true}, {"-0", true}, {"-0.0", true}, {"0e400", true}, {"1", true}, {"-1", true},
		{"29.99", true}, {"29.990", true}, {"0.1", true}, {"4.50", true}, {"1E30", true}, {"2e-3", true},
		{"1.0", true}, {"1e0", true}, {"100e-2", true}, {"1e23", true}, {"1e+23", true}, {"5e-324", true},
		{"9007199254740991", true}, {"9007199254740992", true}, {"9007199254740994", true},
		{"9007199254740993", false}, {"-9007199254740993", false}, {"9007199254740993.0", false},
		{"1234567890123456789", false}, {"12345678901234567000", true},
		{"333333333.3333333", true}, {"333333333.33333329", false},
		{"0.1000000000000000055511151231257827", false}, {"0.30000000000000004", true},
		{"0.3000000000000000444", false},
		{"1e308", true}, {"1e309", false}, {"-1e400", false}, {"1e-400", false}, {"4.9e-324", false},
		{"99999999999999999999999999999999", false}, {"100000000000000000000000000000000", true},
		{"1e999999999", false}, {"1e-999999999", false},
		{"0.000000000000001", true}, {"123456789.012345", true}, {"-99999999999999.9", true}, {"999999999999999", true},
		{"9.99999999999999999", false}, {"1.2.3", false}, {"-", false}, {".", false}, {"1-1", false},
		{"", false}, {"x", false}, {"NaN", false}, {"Inf", false},
	} {
		if got := Exact(c.literal); got != c.want {
			t.Errorf("Exact = %v, want %v; literal %q", got, c.want, c.literal)
		}
	}
}

// bySlowFractions is the definition of Exact, by fractions of any size.
func bySlowFractions(literal string) bool {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return false
	}
	want, ok := new(big.Rat).SetString(literal)
	if !ok {
		return false
	}
	got, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	return ok && got.Cmp(want) == 0
}

// Numbers are judged by their digits. The result is that of the definition by fractions,
// and their form is that of a second implementation.
func TestNumbersByDefinition(t *testing.T) {
	plain := rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-3]?[0-9]{1,2})?`)
	printed := rapid.Custom(func(t *rapid.T) string {
		f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		if math.IsNaN(f) || math.IsInf(f, 0) {
			f = 1
		}
		format := rapid.SampledFrom([]byte("efg")).Draw(t, "format")
		return strconv.FormatFloat(f, format, rapid.IntRange(-1, 20).Draw(t, "precision"), 64)
	})
	rapid.Check(t, func(t *rapid.T) {
		short := func(s string) bool { return len(s) <= 64 } // as strict JSON has it
		literal := rapid.OneOf(plain, printed).Filter(short).Draw(t, "literal")
		want := bySlowFractions(literal)
		if got := Exact(literal); got != want {
			t.Fatalf("Exact = %v, want %v; literal %s", got, want, literal)
		}
		got, err := Form([]byte(literal))
		if (err == nil) != want {
			t.Fatalf("Form = %s, %v, want an error to be %v; literal %s", got, err, !want, literal)
		}
		if other, bad := jcs.Transform([]byte(literal)); want && (bad != nil || string(got) != string(other)) {
			t.Fatalf("Form = %s, want %s, %v of the second implementation; literal %s", got, other, bad, literal)
		}
	})
}

// TestTinyNumbersAreCounted: a document with more numbers that are slow to read than the
// bound is refused, also with ten times as many.
func TestTinyNumbersAreCounted(t *testing.T) {
	list := func(n int) []byte { return []byte("[" + strings.Repeat("5e-324,", n-1) + "5e-324]") }
	if err := ExactNumbers(list(maxTiny)); err != nil {
		t.Errorf("ExactNumbers = %v, want no error for %d tiny numbers", err, maxTiny)
	}
	for _, n := range []int{maxTiny + 1, 10 * maxTiny} {
		if err := ExactNumbers(list(n)); !errors.Is(err, errTiny) {
			t.Errorf("ExactNumbers = %v, want %v for %d tiny numbers", err, errTiny, n)
		}
		if got, err := Form(list(n)); !errors.Is(err, errTiny) {
			t.Errorf("Form = %.20s, %v, want %v for %d tiny numbers", got, err, errTiny, n)
		}
	}
}

func TestMembers(t *testing.T) {
	members, err := strictjson.Object([]byte(`{"b":[1.0,{"signature":1}],"signature":{"value":1e400},"a":"\u00e9"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Members(members, "signature")
	if want := `{"a":"é","b":[1,{"signature":1}]}`; err != nil || string(got) != want {
		t.Errorf("Members = %s, %v, want %s", got, err, want)
	}
	if got, err := Members(members, "other"); err == nil {
		t.Errorf("Members = %s, want an error about 1e400", got)
	}
	if got, err := Members(nil, ""); err != nil || string(got) != "{}" {
		t.Errorf("Members = %s, %v, want {}; no members", got, err)
	}
}

package strictjson

import (
	"encoding/json"
	"testing"
)

// If encoding/json takes a name for one of the protocol, Fold returns that name.
func TestFoldIsThatOfReadersThatIgnoreCase(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"sender", "sender"}, {"SENDER", "sender"}, {"Sender_Verification", "sender_verification"},
		{"\u017fender", "sender"},
		{"\u212aey_id", "key_id"}, {"\u017f\u212a", "sk"}, {"\u0131d", "id"}, {"\u0130d", "id"},
		{"\ufb06atus", "status"}, {"re\ufb01ll", "refill"},
		{"gr\u00d6\u00dfe", "gr\u00f6sse"}, {"tru\u0161t", "tru\u0161t"}, {"", ""},
	} {
		if got := Fold(c.name); got != c.want {
			t.Errorf("Fold = %q, want %q; name %q", got, c.want, c.name)
		}
	}
	for r := rune(1); r <= 0xffff; r++ {
		if r >= 0xd800 && r < 0xe000 || r == '"' || r == '\\' || r < ' ' {
			continue
		}
		var v struct{ S, K, I int }
		if err := json.Unmarshal([]byte(`{"`+string(r)+`":1}`), &v); err != nil {
			t.Fatal(err)
		}
		name := Fold(string(r))
		if v.S+v.K+v.I > 0 && name != "s" && name != "k" && name != "i" {
			t.Errorf("Fold = %q, and encoding/json finds %+v; name %q", name, v, string(r))
		}
	}
}

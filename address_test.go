package amtp_test

import (
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a@x.test", "a@x.test"},
		{"Alice@X.TEST", "Alice@x.test"},
		{"a@x.test.", "a@x.test"},
		{"a@localhost", "a@localhost"},
		{"first.last+tag@x.test", "first.last+tag@x.test"},
		{"!#$%&'*+-/=?^_`{|}~@x.test", "!#$%&'*+-/=?^_`{|}~@x.test"},
		{"a@1.2.3.4.test", "a@1.2.3.4.test"},
		{"a@x-y.test", "a@x-y.test"},
		{"a@xn--mnchen-3ya.test", "a@xn--mnchen-3ya.test"},
		{"a@XN--MNCHEN-3YA.test", "a@xn--mnchen-3ya.test"},
		{strings.Repeat("a", 64) + "@" + strings.Repeat("x", 63) + ".test",
			strings.Repeat("a", 64) + "@" + strings.Repeat("x", 63) + ".test"},
		{"a@" + longDomain(253), "a@" + longDomain(253)},
		{"a@" + longDomain(253) + ".", "a@" + longDomain(253)},
	} {
		got, err := amtp.ParseAddress(c.in)
		if err != nil || got.String() != c.want {
			t.Errorf("ParseAddress = %q, %v, want %q; input %q", got, err, c.want, c.in)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"", "@", "a", "a@", "@x.test", "a@b@c.test", "a b@x.test", "a@x .test", " a@x.test", "a@x.test ", "a@x.test\n",
		".a@x.test", "a.@x.test", "a..b@x.test", `"a"@x.test`, "a(c)@x.test", "<a@x.test>", "Alice <a@x.test>",
		"a,b@x.test", "a:b@x.test",
		"a@.", "a@..", "a@.x.test", "a@x..test", "a@x.test..", "a@-x.test", "a@x-.test", "a@x.test-",
		"a@127.0.0.1", "a@[127.0.0.1]", "a@[IPv6:::1]", "a@x.123", "a@1", "a@x/y.test", "a@x:80", "a@x.test/p",
		"ä@x.test", "a@ä.test", "a@x。test", "a@\u212aelvin.test", "a@example.\u212a", "\u212a@x.test", "a@\u017f.test",
		"a@xn--.test", "a@xn--a\u00e4.test", "a@xn--99999999.test", "a@xn---.test", "a\x00@x.test", "a@x\x00.test",
		"a\xff@x.test", "a@\xff.test",
		strings.Repeat("a", 65) + "@x.test", "a@" + strings.Repeat("x", 64) + ".test", "a@" + longDomain(254),
		"a@" + strings.Repeat("x.", 1<<20) + "test", strings.Repeat("a", 1<<20) + "@x.test",
	} {
		got, err := amtp.ParseAddress(in)
		if err == nil || !got.IsZero() {
			t.Errorf("ParseAddress = %q, %v, want an error; input %.80q", got, err, in)
			continue
		}
		if len(err.Error()) > 600 {
			t.Errorf("the error has %d bytes, want fewer than 600; input %.80q", len(err.Error()), in)
		}
	}
}

func TestAddressParts(t *testing.T) {
	a := address(t, "Alice@X.Test")
	if a.Local() != "Alice" || a.Domain() != "x.test" || a.Key() != "alice@x.test" {
		t.Errorf("parts = %q, %q, key %q, want Alice, x.test, alice@x.test; input Alice@X.Test", a.Local(),
			a.Domain(), a.Key())
	}
}

func TestAddressEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"a@x.test", "a@x.test", true},
		{"a@x.test", "A@X.TEST", true},
		{"a@x.test", "a@x.test.", true},
		{"a@x.test", "b@x.test", false},
		{"a@x.test", "a@y.test", false},
		{"a.b@x.test", "ab@x.test", false},
		{"a+t@x.test", "a@x.test", false},
	} {
		a, b := address(t, c.a), address(t, c.b)
		if got := a.Equal(b); got != c.want || (a.Key() == b.Key()) != c.want {
			t.Errorf("Equal = %v, keys %q and %q, want %v; %s and %s", got, a.Key(), b.Key(), c.want, c.a, c.b)
		}
	}
}

func TestZeroAddress(t *testing.T) {
	var zero amtp.Address
	if !zero.IsZero() || zero.String() != "" {
		t.Errorf("zero address = %q, IsZero %v, want empty and true", zero, zero.IsZero())
	}
	text, err := zero.MarshalText()
	if err != nil || len(text) != 0 {
		t.Errorf("MarshalText = %q, %v, want nothing; zero address", text, err)
	}
	got := address(t, "a@x.test")
	if err := got.UnmarshalText(nil); err != nil || !got.IsZero() {
		t.Errorf("UnmarshalText = %v, gave %q, want the zero address; no text", err, got)
	}
	if err := got.UnmarshalText([]byte("a@")); err == nil {
		t.Errorf("UnmarshalText = %q, want an error; input a@", got)
	}
}

func TestParseDomain(t *testing.T) {
	for in, want := range map[string]amtp.Domain{
		"X.Test": "x.test", "x.test.": "x.test", "localhost": "localhost", "a.b.c.d": "a.b.c.d",
		"3com.test": "3com.test",
	} {
		if got, err := amtp.ParseDomain(in); err != nil || got != want {
			t.Errorf("ParseDomain = %q, %v, want %q; input %q", got, err, want, in)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "A1", "alice", "a.b", "a-b_c", "a--b", strings.Repeat("a", 64)} {
		if err := amtp.CheckName(name); err != nil {
			t.Errorf("CheckName = %v, want no error; name %q", err, name)
		}
	}
	for _, name := range []string{"", ".", "-a", "a-", "_a", "a_", ".a", "a.", "a..b", "a b", "a@x.test", "ä", "a/b",
		"a+b", strings.Repeat("a", 65)} {
		if err := amtp.CheckName(name); err == nil {
			t.Errorf("CheckName = nil, want an error; name %q", name)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"a@x.test", "Alice.B+c@Sub.X.TEST.", "a@xn--mnchen-3ya.test", "a@xn--.test", "a@\u212a.test", "\"a\"@x.test",
		"a@[::1]", "a@1.2.3.4", "@", "a..b@x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := amtp.ParseAddress(s)
		if err != nil {
			if len(err.Error()) > 600 {
				t.Fatalf("the error has %d bytes, want fewer than 600; input %q", len(err.Error()), s)
			}
			return
		}
		for i := range len(s) {
			if s[i] <= ' ' || s[i] > '~' {
				t.Fatalf("ParseAddress = %q, want an error for byte %#x; input %q", a, s[i], s)
			}
		}
		again, err := amtp.ParseAddress(a.String())
		if err != nil || again != a {
			t.Fatalf("ParseAddress = %q, %v, want %q; its own String", again, err, a)
		}
		byKey, err := amtp.ParseAddress(a.Key())
		if err != nil || !byKey.Equal(a) || byKey.Key() != a.Key() {
			t.Fatalf("ParseAddress = %q, %v, want an equal of %q; its Key", byKey, err, a)
		}
		if len(a.Local()) > 64 || len(a.Domain()) > 253 {
			t.Fatalf("parts have %d and %d bytes, want at most 64 and 253; input %q", len(a.Local()),
				len(a.Domain()), s)
		}
	})
}

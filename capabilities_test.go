package amtp_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

func TestParseCapabilities(t *testing.T) {
	plain := amtp.Capabilities{Version: "1.0", Gateway: "https://gw.test", MaxSize: 10485760}
	with := func(change func(*amtp.Capabilities)) amtp.Capabilities {
		c := plain
		change(&c)
		return c
	}
	full := with(func(c *amtp.Capabilities) { c.Auth, c.MaxSize = []string{"cert", "sig"}, 50000000 })
	for _, c := range []struct {
		name, txt string
		want      amtp.Capabilities
	}{
		{"the least", "v=amtp1;gateway=https://gw.test", plain},
		{"all", "v=amtp1;gateway=https://gw.test;auth=cert,sig;max-size=50000000", full},
		{"other order", "max-size=50000000;auth=cert,sig;gateway=https://gw.test;v=amtp1", full},
		{"upper case", "V=AMTP1;GATEWAY=HTTPS://GW.TEST;AUTH=CERT,SIG;MAX-SIZE=50000000", full},
		{"spaces", " v = amtp1 ; gateway = https://gw.test ; auth = cert , sig , ; max-size = 50000000 ; ", full},
		{"outer quotes", `"v=amtp1;gateway=https://gw.test"`, plain},
		{"backslashes of a zone file", `v=amtp1\;gateway=https://gw.test\;max-size=50000000`,
			with(func(c *amtp.Capabilities) { c.MaxSize = 50000000 })},
		{"quotes and backslashes", ` "v=amtp1\; gateway=https://gw.test" `, plain},
		{"unknown tags and empty segments", "v=amtp1;;x=1;x=2;schemas;gateway=https://gw.test;;", plain},
		{"empty lists", "v=amtp1;gateway=https://gw.test;auth=;features=;max-size=", plain},
		{"a name twice in a list, and no name", "v=amtp1;gateway=https://gw.test;auth=sig,SIG,a b,",
			with(func(c *amtp.Capabilities) { c.Auth = []string{"sig"} })},
		{"features", "v=amtp1;gateway=https://gw.test;features=x,agent-discovery", with(func(c *amtp.Capabilities) {
			c.Features = []string{"x", "agent-discovery"}
		})},
		{"size with a unit", "v=amtp1;gateway=https://gw.test;max-size=10MB", plain},
		{"negative size", "v=amtp1;gateway=https://gw.test;max-size=-5", plain},
		{"size of nothing", "v=amtp1;gateway=https://gw.test;max-size=0", plain},
		{"size beyond use", "v=amtp1;gateway=https://gw.test;max-size=18446744073709551615",
			with(func(c *amtp.Capabilities) { c.MaxSize = 1 << 50 })},
		{"port", "v=amtp1;gateway=https://gw.test:443",
			with(func(c *amtp.Capabilities) { c.Gateway = "https://gw.test:443" })},
		{"path with slashes at its end", "v=amtp1;gateway=https://gw.test/amtp/x//", with(func(c *amtp.Capabilities) {
			c.Gateway = "https://gw.test/amtp/x"
		})},
		{"dot behind the host", "v=amtp1;gateway=https://gw.test.", plain},
		{"A-labels", "v=amtp1;gateway=https://xn--mnchen-3ya.test", with(func(c *amtp.Capabilities) {
			c.Gateway = "https://xn--mnchen-3ya.test"
		})},
		{"IPv4 address", "v=amtp1;gateway=https://192.0.2.1:8443", with(func(c *amtp.Capabilities) {
			c.Gateway = "https://192.0.2.1:8443"
		})},
		{"IPv6 address", "v=amtp1;gateway=https://[2001:DB8::1]:8443", with(func(c *amtp.Capabilities) {
			c.Gateway = "https://[2001:db8::1]:8443"
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := amtp.ParseCapabilities(c.txt, false)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Fatalf("ParseCapabilities = %+v, %v, want %+v; record %q", got, err, c.want, c.txt)
			}
			again, err := amtp.ParseCapabilities(got.String(), false)
			if err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("ParseCapabilities = %+v, %v, want %+v; its own String %q", again, err, got, got)
			}
		})
	}
}

func TestCapabilitiesAreWrittenAsTheReferenceReadsThem(t *testing.T) {
	c := amtp.Capabilities{Gateway: "https://gw.test:443", Auth: []string{"cert", "sig"}, MaxSize: 5000}
	if got, want := c.String(), "v=amtp1;gateway=https://gw.test:443;auth=cert,sig;max-size=5000"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
	if !c.Signs() || (amtp.Capabilities{Auth: []string{"cert"}}).Signs() {
		t.Errorf("Signs must be true with auth=sig and only then")
	}
	if got, want := amtp.CapabilitiesName("x.test"), "_amtp.x.test"; got != want {
		t.Errorf("CapabilitiesName = %q, want %q", got, want)
	}
}

func TestParseCapabilitiesRefuses(t *testing.T) {
	for _, c := range []struct {
		name, txt string
		want      error
	}{
		{"nothing", "", amtp.ErrNoRecord},
		{"another record", "v=spf1 -all", amtp.ErrNoRecord},
		{"no version", "gateway=https://gw.test", amtp.ErrNoRecord},
		{"version 2", "v=amtp2;gateway=https://gw.test", amtp.ErrNoRecord},
		{"version 1.0", "v=amtp1.0;gateway=https://gw.test", amtp.ErrNoRecord},
		{"bare URL", "https://gw.test", amtp.ErrNoRecord},
		{"no gateway", "v=amtp1", amtp.ErrBadRecord},
		{"empty gateway", "v=amtp1;gateway= ", amtp.ErrBadRecord},
		{"gateway twice", "v=amtp1;gateway=https://a.test;gateway=https://a.test", amtp.ErrBadRecord},
		{"version twice", "v=amtp1;v=amtp2;gateway=https://a.test", amtp.ErrBadRecord},
		{"max-size twice in another case", "v=amtp1;gateway=https://a.test;max-size=1;Max-Size=2", amtp.ErrBadRecord},
		{"too long", "v=amtp1;gateway=https://a.test;x=" + strings.Repeat("x", 2048), amtp.ErrBadRecord},
		{"http", "v=amtp1;gateway=http://a.test", amtp.ErrBadRecord},
		{"other scheme", "v=amtp1;gateway=ftp://a.test", amtp.ErrBadRecord},
		{"no scheme", "v=amtp1;gateway=a.test", amtp.ErrBadRecord},
		{"relative", "v=amtp1;gateway=//a.test", amtp.ErrBadRecord},
		{"opaque", "v=amtp1;gateway=https:a.test", amtp.ErrBadRecord},
		{"no host", "v=amtp1;gateway=https:///x", amtp.ErrBadRecord},
		{"port without host", "v=amtp1;gateway=https://:443", amtp.ErrBadRecord},
		{"user", "v=amtp1;gateway=https://u@a.test", amtp.ErrBadRecord},
		{"user and password", "v=amtp1;gateway=https://u:p@a.test", amtp.ErrBadRecord},
		{"empty user", "v=amtp1;gateway=https://@a.test", amtp.ErrBadRecord},
		{"query", "v=amtp1;gateway=https://a.test/?x=1", amtp.ErrBadRecord},
		{"empty query", "v=amtp1;gateway=https://a.test?", amtp.ErrBadRecord},
		{"fragment", "v=amtp1;gateway=https://a.test#x", amtp.ErrBadRecord},
		{"backslash", `v=amtp1;gateway=https://a.test\@b.test`, amtp.ErrBadRecord},
		{"escape in the host", "v=amtp1;gateway=https://%61.test", amtp.ErrBadRecord},
		{"escape in the path", "v=amtp1;gateway=https://a.test/%2e%2e", amtp.ErrBadRecord},
		{"dots in the path", "v=amtp1;gateway=https://a.test/x/../y", amtp.ErrBadRecord},
		{"two slashes in the path", "v=amtp1;gateway=https://a.test//x", amtp.ErrBadRecord},
		{"space inside", "v=amtp1;gateway=https://a .test", amtp.ErrBadRecord},
		{"line break inside", "v=amtp1;gateway=https://a.test/\r\nx", amtp.ErrBadRecord},
		{"U-label", "v=amtp1;gateway=https://münchen.test", amtp.ErrBadRecord},
		{"broken A-label", "v=amtp1;gateway=https://xn--.test", amtp.ErrBadRecord},
		{"empty label", "v=amtp1;gateway=https://a..test", amtp.ErrBadRecord},
		{"label of 64", "v=amtp1;gateway=https://" + strings.Repeat("a", 64) + ".test", amtp.ErrBadRecord},
		{"address in short form", "v=amtp1;gateway=https://127.1", amtp.ErrBadRecord},
		{"address as a number", "v=amtp1;gateway=https://2130706433", amtp.ErrBadRecord},
		{"address in hexadecimal", "v=amtp1;gateway=https://0x7f000001", amtp.ErrBadRecord},
		{"address with a zone", "v=amtp1;gateway=https://[fe80::1%25eth0]", amtp.ErrBadRecord},
		{"empty port", "v=amtp1;gateway=https://a.test:", amtp.ErrBadRecord},
		{"port 0", "v=amtp1;gateway=https://a.test:0", amtp.ErrBadRecord},
		{"port 65536", "v=amtp1;gateway=https://a.test:65536", amtp.ErrBadRecord},
		{"port with a zero in front", "v=amtp1;gateway=https://a.test:0443", amtp.ErrBadRecord},
		{"port of letters", "v=amtp1;gateway=https://a.test:https", amtp.ErrBadRecord},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := amtp.ParseCapabilities(c.txt, false)
			if !errors.Is(err, c.want) {
				t.Fatalf("ParseCapabilities = %+v, %v, want %v; record %q", got, err, c.want, c.txt)
			}
		})
	}
}

func TestPlainHTTPOnlyWhereItIsAllowed(t *testing.T) {
	const txt = "v=amtp1;gateway=http://127.0.0.1:8080"
	if c, err := amtp.ParseCapabilities(txt, true); err != nil || c.Gateway != "http://127.0.0.1:8080" {
		t.Errorf("ParseCapabilities = %+v, %v, want the gateway; http allowed, record %q", c, err, txt)
	}
	if c, err := amtp.ParseCapabilities(txt, false); !errors.Is(err, amtp.ErrBadRecord) {
		t.Errorf("ParseCapabilities = %+v, %v, want %v; http not allowed, record %q", c, err, amtp.ErrBadRecord, txt)
	}
}

func TestChooseCapabilities(t *testing.T) {
	const a, b, broken, spf = "v=amtp1;gateway=https://a.test", "v=amtp1;gateway=https://b.test", "v=amtp1",
		"v=spf1 -all"
	for _, c := range []struct {
		name string
		txts []string
		want string
		err  error
	}{
		{"none", nil, "", amtp.ErrNoRecord},
		{"others only", []string{spf, "x", ""}, "", amtp.ErrNoRecord},
		{"one", []string{a}, "https://a.test", nil},
		{"one among others", []string{spf, a, "x"}, "https://a.test", nil},
		{"equal", []string{a, a}, "https://a.test", nil},
		{"equal in another order and case", []string{a, "GATEWAY=https://A.test/;max-size=10485760;V=amtp1"},
			"https://a.test", nil},
		{"different", []string{a, spf, b}, "", amtp.ErrRecordsDiffer},
		{"different size", []string{a, a + ";max-size=1"}, "", amtp.ErrRecordsDiffer},
		{"malformed", []string{spf, broken}, "", amtp.ErrBadRecord},
		{"malformed before a valid one", []string{broken, a}, "https://a.test", nil},
		{"malformed behind a valid one", []string{a, broken}, "https://a.test", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := amtp.ChooseCapabilities(c.txts, false)
			if !errors.Is(err, c.err) || got.Gateway != c.want {
				t.Fatalf("ChooseCapabilities = %q, %v, want %q, %v; records %q", got.Gateway, err, c.want,
					c.err, c.txts)
			}
		})
	}
}

// FuzzCapabilities checks that a record that was read can be written and read again, by
// us and by a reader that demands a certain order and case.
func FuzzCapabilities(f *testing.F) {
	for _, txt := range []string{
		"v=amtp1;gateway=https://gw.test:443;auth=cert,sig;max-size=50000000;features=x",
		" V = AMTP1 ; gateway=http://[::1]:8080/x/ ",
		`"v=amtp1;gateway=https://a.test"`, "gateway=https://1.2.3.4;v=amtp1",
		"v=amtp1;gateway=https://a.test;gateway=https://b.test",
		"v=amtp1;gateway=https://u@a.test", "v=amtp1;gateway=https://a.test/..", "v=spf1",
		"v=amtp1;gateway=https://0x1", "v=amtp1;gateway=https://xn--mnchen-3ya.test.",
	} {
		f.Add(txt, true)
		f.Add(txt, false)
	}
	f.Fuzz(func(t *testing.T, txt string, allowHTTP bool) {
		c, err := amtp.ParseCapabilities(txt, allowHTTP)
		if err != nil {
			if !errors.Is(err, amtp.ErrNoRecord) && !errors.Is(err, amtp.ErrBadRecord) || len(err.Error()) > 800 {
				t.Fatalf("ParseCapabilities = %v, want a short ErrNoRecord or ErrBadRecord; record %q", err, txt)
			}
			return
		}
		if !strings.HasPrefix(c.String(), "v=amtp1;gateway=https://") &&
			!(allowHTTP && strings.HasPrefix(c.String(), "v=amtp1;gateway=http://")) {
			t.Fatalf("String = %q, want version and gateway first; record %q", c, txt)
		}
		if strings.ContainsAny(c.Gateway, "@?#%\\ ") || strings.HasSuffix(c.Gateway, "/") || c.MaxSize <= 0 {
			t.Fatalf("ParseCapabilities = %+v, want a plain gateway and a size; record %q", c, txt)
		}
		again, err := amtp.ParseCapabilities(c.String(), allowHTTP)
		if err != nil && len(c.String()) <= 2048 || err == nil && !reflect.DeepEqual(again, c) {
			t.Fatalf("ParseCapabilities = %+v, %v, want %+v; its own String %q of %q", again, err, c, c, txt)
		}
	})
}

package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
)

// TestTXTRecords: the line of a zone file is readable for name servers, in strings of
// at most 255 bytes, and has the content of the value.
func TestTXTRecords(t *testing.T) {
	const head = "v=amtpkey1;alg=RS256;p="
	for _, value := range []string{
		"v=amtp1;gateway=https://amtp.shop.example;auth=sig;max-size=10485760",
		head + strings.Repeat("A", 255-len(head)),
		head + strings.Repeat("B", 256-len(head)),
		head + strings.Repeat("C", 1450),
	} {
		r := newTXT("k1._amtpkey.shop.example", value)
		rr, err := dns.NewRR(r.Zone)
		if err != nil {
			t.Errorf("%d bytes: the line is none: %v\n%s", len(value), err, r.Zone)
			continue
		}
		txt, ok := rr.(*dns.TXT)
		if !ok || txt.Hdr.Name != "k1._amtpkey.shop.example." || txt.Hdr.Ttl != recordTTL ||
			!slices.Equal(txt.Txt, r.Strings) || strings.Join(txt.Txt, "") != value {
			t.Errorf("%d bytes: got %v of\n%s\nwant the value in strings", len(value), rr, r.Zone)
		}
		if i := slices.IndexFunc(r.Strings, func(s string) bool { return len(s) > 255 || s == "" }); i >= 0 ||
			len(r.Strings) != (len(value)+254)/255 {
			t.Errorf("%d bytes: got %d strings, one of them too long or empty", len(value), len(r.Strings))
		}
	}
}

// TestDomainRecords: the records are those that other gateways may need at the time.
func TestDomainRecords(t *testing.T) {
	now := time.Now()
	key := func(selector string, state admin.KeyState, until time.Time) admin.SigningKey {
		return admin.SigningKey{Selector: selector, State: state, Name: selector + "._amtpkey.shop.example",
			Record: "v=amtpkey1;alg=ES256;p=" + selector, Until: amtp.Time{Time: until}}
	}
	list := domainRecords("shop.example", amtp.Capabilities{Gateway: "https://amtp.shop.example", Auth: []string{"sig"},
		MaxSize: 5000}, []admin.SigningKey{
		key("old", admin.KeyRetired, now.Add(-time.Hour)), key("former", admin.KeyRetired, now.Add(time.Hour)),
		key("present", admin.KeyActive, time.Time{}), key("next", admin.KeyWaiting, time.Time{}),
	}, now)
	var got []string
	for _, r := range list {
		got = append(got, r.Name+" "+r.Value)
	}
	want := []string{
		"_amtp.shop.example v=amtp1;gateway=https://amtp.shop.example;auth=sig;max-size=5000",
		"former._amtpkey.shop.example v=amtpkey1;alg=ES256;p=former",
		"present._amtpkey.shop.example v=amtpkey1;alg=ES256;p=present",
		"next._amtpkey.shop.example v=amtpkey1;alg=ES256;p=next",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

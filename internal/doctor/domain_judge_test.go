package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/doctor"
	"github.com/amtp-go/amtp/internal/outbound"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

const (
	record    = "v=amtp1;gateway=https://amtp.shop.example;auth=sig"
	keyRecord = "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="
	otherKey  = "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPDaLHlJ3eymrFr1dSKz3fdIW2N/m8wiO0JHSXQyCESPZrvMz7MAnAHWAxLirnvzzFSofCwinucJ2wHT7mGpRHA=="
)

// sound is a domain without faults.
func sound() *doctor.SeenDomain {
	s := &doctor.SeenDomain{Domain: "shop.example", Host: "amtp.shop.example",
		Addrs: []netip.Addr{netip.MustParseAddr("8.8.4.4")}}
	publish(s, record)
	s.Keys = []doctor.SeenKey{{Selector: "k1", SeenTXT: txt("k1._amtpkey.shop.example", keyRecord)}}
	s.Call = doctor.SeenCall{Made: true, Connected: true, Verified: true, Remote: "8.8.4.4:443", Proto: 2, Status: 200,
		Serves: "shop.example",
		Began:  now, Ended: now.Add(time.Second),
		Header: http.Header{"Date": {now.Format(http.TimeFormat)}, "Strict-Transport-Security": {"max-age=31536000"}},
		TLS: &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{
			{DNSNames: []string{"amtp.shop.example"}, NotBefore: now.AddDate(0, -1, 0),
				NotAfter: now.AddDate(0, 2, 0)}}}}
	return s
}

func txt(name string, records ...string) doctor.SeenTXT {
	return doctor.SeenTXT{Name: name, Status: discovery.Exists, Records: records}
}

// publish puts records where the domain has its own.
func publish(s *doctor.SeenDomain, records ...string) {
	s.Record = txt("_amtp.shop.example", records...)
	s.Found, s.FoundErr = amtp.ChooseCapabilities(records, false)
}

// fails is a call that ended with an error before an answer.
func fails(s *doctor.SeenDomain, connected, verified bool, err error) {
	s.Call = doctor.SeenCall{Made: true, Connected: connected, Verified: verified, Err: err, Began: now,
		Ended: now.Add(time.Second)}
}

// own is what the gateway of the domain knows.
func own() *doctor.OwnDomain {
	return &doctor.OwnDomain{Gateway: "https://amtp.shop.example", MaxMessage: amtp.MaxMessageSize,
		Keys: []admin.SigningKey{{Selector: "k1", State: admin.KeyActive, Name: "k1._amtpkey.shop.example",
			Record: keyRecord}}}
}

// TestJudge breaks one thing at a time. Its point names the fault and the fix, and no
// other point is blamed.
func TestJudge(t *testing.T) {
	refused := errors.New("connection refused")
	leaf := func(from, to time.Time, hosts ...string) *x509.Certificate {
		return &x509.Certificate{DNSNames: hosts, NotBefore: from, NotAfter: to}
	}
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		what    string
		point   string // that fails, "" for none
		text    string // in what it says
		verdict doctor.Verdict
		foreign bool // it is another gateway's domain
		breaks  func(*doctor.SeenDomain, *doctor.OwnDomain)
	}{
		{what: "nothing", breaks: func(*doctor.SeenDomain, *doctor.OwnDomain) {}},
		{what: "nothing, elsewhere", foreign: true, breaks: func(*doctor.SeenDomain, *doctor.OwnDomain) {}},
		{what: "no keys are known elsewhere", foreign: true,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { s.Keys = nil }},
		{what: "DNS is silent", point: "dns", text: "does not say", verdict: doctor.Unreachable,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				*s = doctor.SeenDomain{Domain: s.Domain, Keys: s.Keys,
					Record: doctor.SeenTXT{Name: "_amtp.shop.example", Err: refused}}
			}},
		{what: "no domain", point: "dns", text: "there is no domain shop.example", verdict: doctor.Unpublished,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				*s = doctor.SeenDomain{Domain: s.Domain, Keys: s.Keys, Record: doctor.SeenTXT{Status: discovery.NoName}}
			}},
		{what: "no record", point: "dns", text: "there is no record at _amtp.shop.example",
			verdict: doctor.Unpublished, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				*s = doctor.SeenDomain{Domain: s.Domain, Keys: s.Keys,
					Record: doctor.SeenTXT{Name: "_amtp.shop.example", Status: discovery.NoData}}
			}},
		{what: "a record that is none", point: "record", text: "cannot be used", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, "v=amtp1;gateway=http://amtp.shop.example")
				s.Host, s.Addrs, s.Call = "", nil, doctor.SeenCall{}
			}},
		{what: "two records that differ", point: "record", text: "do not say the same", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, record, "v=amtp1;gateway=https://old.shop.example")
				s.Host, s.Addrs, s.Call = "", nil, doctor.SeenCall{}
			}},
		{what: "a second record", point: "record", text: "2 records", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { publish(s, record, record) }},
		{what: "another order", point: "record", text: "does not begin with", verdict: doctor.Unsound,
			foreign: true, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, "gateway=https://amtp.shop.example;v=amtp1;auth=sig")
			}},
		{what: "other letters", point: "record", text: "does not begin with", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, "V=AMTP1;gateway=https://amtp.shop.example;auth=sig")
			}},
		{what: "another gateway", point: "record", text: "to be reached at https://here.example",
			verdict: doctor.Unsound, breaks: func(_ *doctor.SeenDomain,
				o *doctor.OwnDomain) {
				o.Gateway = "https://here.example"
			}},
		{what: "the port of https by its number", breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
			publish(s, "v=amtp1;gateway=https://amtp.shop.example:443;auth=sig")
		}},
		{what: "no auth=sig", point: "record", text: "auth=sig", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, "v=amtp1;gateway=https://amtp.shop.example")
			}},
		{what: "no address", point: "address", text: "has no address", verdict: doctor.Unreachable,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Addrs, s.AddrsErr, s.Call = nil, errors.New("no such host"), doctor.SeenCall{}
			}},
		{what: "a private address", point: "address", text: "a private network", verdict: doctor.Unreachable,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Addrs = []netip.Addr{netip.MustParseAddr("192.168.1.7")}
				fails(s, false, false, fmt.Errorf("%w: there", outbound.ErrForbidden))
			}},
		{what: "a private address that is allowed", breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
			s.Addrs = []netip.Addr{netip.MustParseAddr("192.168.1.7")}
		}},
		{what: "a port that is not allowed", point: "connection", text: "not allowed", verdict: doctor.Unreachable,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, false, false, fmt.Errorf("%w: port 8443", outbound.ErrForbidden))
			}},
		{what: "nobody listens", point: "connection", text: "nothing answers at https://amtp.shop.example",
			verdict: doctor.Unreachable, breaks: func(s *doctor.SeenDomain,
				_ *doctor.OwnDomain) {
				fails(s, false, false, refused)
			}},
		{what: "the wrong host", point: "certificate", text: "is for old.example and not for amtp.shop.example",
			verdict: doctor.Unsound, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, x509.HostnameError{Certificate: leaf(now.Add(-year), now.Add(year),
					"old.example"), Host: s.Host})
			}},
		{what: "an expired certificate", point: "certificate", text: "has expired on 2026-10-22",
			verdict: doctor.Unsound, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, x509.CertificateInvalidError{Cert: leaf(now.Add(-year), now.AddDate(0, -1, 0)),
					Reason: x509.Expired})
			}},
		{what: "a certificate of tomorrow", point: "certificate", text: "from 2026-11-23T09:00:00Z on only",
			verdict: doctor.Unsound, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, x509.CertificateInvalidError{Cert: leaf(now.AddDate(0, 0, 1), now.Add(year)),
					Reason: x509.Expired})
			}},
		{what: "an unknown authority", point: "certificate", text: "not known here", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, x509.UnknownAuthorityError{})
			}},
		{what: "no TLS", point: "certificate", text: "no TLS connection", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, errors.New("EOF"))
			}},
		{what: "a certificate that ends", point: "certificate", text: "which is in 48h", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.TLS.PeerCertificates[0].NotAfter = now.Add(48*time.Hour + time.Second)
			}},
		{what: "a certificate for a day", breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
			s.Call.TLS.PeerCertificates[0] = leaf(now.Add(-time.Hour), now.Add(23*time.Hour), s.Host)
		}},
		{what: "TLS 1.2, which is not spoken here", point: "tls", text: "beyond 1.2", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				fails(s, true, false, errors.New("protocol version"))
				s.Call.Older = true
			}},
		{what: "TLS 1.2", point: "tls", text: "TLS 1.2", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.TLS.Version = tls.VersionTLS12
			}},
		{what: "HTTP/1.1", point: "http/2", text: "HTTP/1.1", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { s.Call.Proto = 1 }},
		{what: "a web server", point: "gateway", text: "answers 404", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.Status, s.Call.Serves = 404, ""
			}},
		{what: "a redirect", point: "gateway", text: "elsewhere", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.Status, s.Call.Serves = 301, ""
			}},
		{what: "the gateway of another", point: "gateway", text: `serves "other.example"`, verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { s.Call.Serves = "other.example" }},
		{what: "no HSTS", point: "hsts", text: "missing", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.Header.Del("Strict-Transport-Security")
			}},
		{what: "a clock ahead", point: "clock", text: "59m59s ahead", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.Header.Set("Date", now.Add(time.Hour).Format(http.TimeFormat))
			}},
		{what: "a clock behind", point: "clock", text: "24h0m0s behind", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Call.Header.Set("Date", now.AddDate(0, 0, -1).Format(http.TimeFormat))
			}},
		{what: "half a minute", breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
			s.Call.Header.Set("Date", now.Add(30*time.Second).Format(http.TimeFormat))
		}},
		{what: "no clock", point: "clock", text: "does not say what time", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { s.Call.Header.Del("Date") }},
		{what: "a larger max-size", point: "max-size", text: "and this gateway takes 10485760",
			verdict: doctor.Unsound, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				publish(s, record+";max-size=20000000")
			}},
		{what: "a smaller max-size", point: "max-size", text: "no more than 5000", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) { publish(s, record+";max-size=5000") }},
		{what: "no key record", point: "key k1", text: "there is no record", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Keys[0].Records, s.Keys[0].Status = nil, discovery.NoName
			}},
		{what: "another key", point: "key k1", text: "another key than this gateway has as k1",
			verdict: doctor.Unsound, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
				s.Keys[0].Records = []string{otherKey}
			}},
		{what: "another key, elsewhere", foreign: true, breaks: func(s *doctor.SeenDomain, _ *doctor.OwnDomain) {
			s.Keys[0].Records = []string{otherKey}
		}},
		{what: "keys that cannot be read", point: "key", text: "not known here", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, o *doctor.OwnDomain) { s.Keys, o.KeysErr = nil, refused }},
		{what: "no key yet", point: "key", text: "no key to sign with", verdict: doctor.Unsound,
			breaks: func(s *doctor.SeenDomain, o *doctor.OwnDomain) { s.Keys, o.Keys = nil, nil }},
	} {
		seen, known := sound(), own()
		c.breaks(seen, known)
		if c.foreign {
			known = nil
		}
		list := doctor.JudgeDomain(seen, known)
		var wrong []string
		for _, f := range list {
			if f.OK && f.Mend != "" || f.Skipped && (f.OK || f.Mend != "") || f.Text == "" || f.Note != "" {
				t.Errorf("%s: the point %+v contradicts itself", c.what, f)
			}
			if f.OK || f.Skipped {
				continue
			}
			wrong = append(wrong, f.Name)
			if f.Name == c.point && (!strings.Contains(f.Text, c.text) || f.Mend == "") {
				t.Errorf("%s: %s says %q, to be mended by %q; want %q and a way", c.what, f.Name, f.Text,
					f.Mend, c.text)
			}
		}
		if strings.Join(wrong, " ") != c.point {
			t.Errorf("%s: wrong are %q, want %q", c.what, wrong, c.point)
		}
		if got := doctor.Sum(seen, list); got != c.verdict {
			t.Errorf("%s: the verdict is %d, want %d", c.what, got, c.verdict)
		}
	}
}

// TestWanted: a retired key is checked while messages that it signed may be on their
// way.
func TestWanted(t *testing.T) {
	o := &doctor.OwnDomain{Keys: []admin.SigningKey{
		{Selector: "long-ago", State: admin.KeyRetired, Until: amtp.Time{Time: now.Add(-time.Hour)}},
		{Selector: "former", State: admin.KeyRetired, Until: amtp.Time{Time: now.Add(time.Hour)}},
		{Selector: "present", State: admin.KeyActive}, {Selector: "next", State: admin.KeyWaiting},
	}}
	if got := strings.Join(o.Wanted(now), " "); got != "former present next" {
		t.Errorf("wanted are %q", got)
	}
}

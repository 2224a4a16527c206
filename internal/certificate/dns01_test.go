package certificate

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/nowhere"
)

const challenged = "_acme-challenge.amtp.shop.example"

var tsig = fakedns.Key{Name: "amtp-key", Secret: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))}

// question is a question by DNS-01.
func question(token string) acme.Challenge {
	return acme.Challenge{Type: acme.ChallengeTypeDNS01, Token: token, KeyAuthorization: token + ".thumb",
		Identifier: acme.Identifier{Type: "dns", Value: "amtp.shop.example"}}
}

// zoned is a name server with the zone of the host.
func zoned(t *testing.T) *fakedns.Server {
	t.Helper()
	names := fakedns.New(t, tsig)
	names.SOA("shop.example", time.Hour, time.Hour)
	return names
}

// newAnswers returns what answers DNS-01 at a name server, with short times.
func newAnswers(t *testing.T, s Store, server string, texts func(name string) []string) *records {
	t.Helper()
	c := &challenges{storage: newStorage(t, s, 1), hosts: []string{"amtp.shop.example"}, tells: acme.ChallengeTypeDNS01}
	r := newRecords(c, DNS01{
		Server: server, KeyName: tsig.Name, Algorithm: "hmac-sha256", Secret: tsig.Secret,
		Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errClosed },
		TXT:    func(_ context.Context, name string) ([]string, error) { return texts(name), nil },
	})
	r.first, r.lookTime = time.Millisecond, 100*time.Millisecond
	return r
}

func texts(t *testing.T, names *fakedns.Server, name string, want ...string) {
	t.Helper()
	if got := names.Texts(name); !slices.Equal(got, want) {
		t.Errorf("texts at %s: got %q, want %q", name, got, want)
	}
}

// TestChallengeInDNS: the answer is published while the question is open, beside what
// others published, and is removed then, also after the attempt was cancelled.
func TestChallengeInDNS(t *testing.T) {
	const other = "what another client published"
	for name, c := range map[string]struct {
		at     string // the name of the record
		change func(*DNS01)
	}{
		"the zone is asked for": {challenged, func(*DNS01) {}},
		"the zone is given":     {challenged, func(o *DNS01) { o.Zone = "shop.example" }},
		"an alias":              {"gw.acme.shop.example", func(o *DNS01) { o.Alias = "gw.acme.shop.example" }},
		"another algorithm":     {challenged, func(o *DNS01) { o.Algorithm = "hmac-sha512" }},
		"the server has a name": {challenged, func(o *DNS01) {
			_, port, _ := net.SplitHostPort(o.Server)
			o.Server = net.JoinHostPort("ns.shop.example", port)
			o.Lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != "ns.shop.example" {
					return nil, errClosed
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
		}},
		"the key in capitals": {challenged, func(o *DNS01) { o.KeyName = "AMTP-Key" }},
	} {
		t.Run(name, func(t *testing.T) {
			names := zoned(t)
			names.TXT(c.at, time.Minute, other)
			r := newAnswers(t, newStore(t), names.Addr().String(), func(string) []string { return names.Texts(c.at) })
			c.change(&r.o)
			q := question("one")
			must(t, "present", r.Present(t.Context(), q))
			texts(t, names, c.at, other, q.DNS01KeyAuthorization())
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			must(t, "clean up", r.CleanUp(ctx, q))
			texts(t, names, c.at, other)
			if kept(t, r.storage, r.key("amtp.shop.example")) {
				t.Error("the question is still stored")
			}
		})
	}
}

// TestChallengeInDNSFails: each fault has an error that names it, and leaves no record.
func TestChallengeInDNSFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fakedns.Server, *records)
		want   string
	}{
		"the server is down": {func(_ *fakedns.Server, r *records) { r.o.Server = nowhere.Address(t).String() },
			"refused"},
		"it refuses updates": {func(s *fakedns.Server, _ *records) { s.Behave("shop.example", fakedns.Refusing) },
			"it answers REFUSED"},
		"it fails": {func(s *fakedns.Server, _ *records) { s.Behave("shop.example", fakedns.Failing) },
			"it answers SERVFAIL"},
		"it refuses questions": {func(s *fakedns.Server, _ *records) { s.Behave(challenged, fakedns.Refusing) },
			"it answers REFUSED"},
		"it has another zone": {func(s *fakedns.Server, r *records) { r.o.Zone = "example" }, "it answers NOTAUTH"},
		"it has no zone": {func(s *fakedns.Server, _ *records) { s.Remove("shop.example") },
			"give it in acme.dns_zone"},
		"the name is an alias": {func(s *fakedns.Server, _ *records) {
			s.CNAME(challenged, time.Minute, "gw.acme.example")
		}, "give that name in acme.dns_alias"},
		"another secret": {func(_ *fakedns.Server, r *records) {
			r.o.Secret = base64.StdEncoding.EncodeToString(make([]byte, 32))
		}, "it answers BADSIG"},
		"another key": {func(_ *fakedns.Server, r *records) { r.o.KeyName = "other" }, "it answers BADKEY"},
		"a wrong clock": {func(_ *fakedns.Server, r *records) {
			r.storage.now = func() time.Time { return time.Now().Add(-time.Hour) }
		}, "it answers BADTIME"},
		"the host has no address": {func(_ *fakedns.Server, r *records) {
			r.o.Server = "ns.shop.example:53"
			r.o.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}, "has no address"},
		"its name is not found": {func(_ *fakedns.Server, r *records) { r.o.Server = "ns.shop.example:53" },
			errClosed.Error()},
		"others do not see it": {func(_ *fakedns.Server, r *records) {
			r.o.TXT = func(context.Context, string) ([]string, error) { return []string{"another text"}, nil }
		}, "they show no such text"},
		"others cannot look": {func(_ *fakedns.Server, r *records) {
			r.o.TXT = func(context.Context, string) ([]string, error) { return nil, errClosed }
		}, errClosed.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			names := zoned(t)
			r := newAnswers(t, newStore(t), names.Addr().String(), names.Texts)
			log := &bytes.Buffer{}
			r.storage.log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c.change(names, r)
			q := question("one")
			err := r.Present(t.Context(), q)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("present: got %v, want an error with %q", err, c.want)
			}
			_ = r.CleanUp(t.Context(), q) // as the library does; the store of names says what is left
			texts(t, names, challenged)
			for _, said := range []string{log.String(), err.Error()} {
				if strings.Contains(said, r.o.Secret) {
					t.Errorf("the secret is shown: %s", said)
				}
			}
		})
	}
}

// TestUnsignedUpdate: the name server of the tests refuses what nobody signed. Otherwise
// the tests would not show that the gateway signs.
func TestUnsignedUpdate(t *testing.T) {
	names := zoned(t)
	m := new(dns.Msg).SetUpdate("shop.example.")
	m.Insert([]dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: challenged + ".", Rrtype: dns.TypeTXT}, Txt: []string{"x"}}})
	answer, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(t.Context(), m, names.Addr().String())
	if err != nil || answer.Rcode != dns.RcodeRefused {
		t.Errorf("got %v, %v, want REFUSED", answer, err)
	}
	texts(t, names, challenged)
}

// TestChallengeInDNSIsOurs: a name that the authority invents changes nothing in DNS.
func TestChallengeInDNSIsOurs(t *testing.T) {
	names := zoned(t)
	r := newAnswers(t, newStore(t), names.Addr().String(), names.Texts)
	q := question("one")
	q.Identifier.Value = "www.shop.example"
	if r.Present(t.Context(), q) == nil || r.CleanUp(t.Context(), q) == nil {
		t.Error("a question about another host: got no error")
	}
	texts(t, names, "_acme-challenge.www.shop.example")
}

// TestRecordOfAKilledGateway: a record that was not removed is removed by the next
// attempt, perhaps of another gateway on the store. If that fails, it is not forgotten.
func TestRecordOfAKilledGateway(t *testing.T) {
	s, names := newStore(t), zoned(t)
	killed := newAnswers(t, s, names.Addr().String(), names.Texts)
	must(t, "present", killed.Present(t.Context(), question("one")))
	next := newAnswers(t, s, names.Addr().String(), names.Texts)
	q := question("two")
	names.Behave("shop.example", fakedns.Refusing)
	if next.Present(t.Context(), q) == nil || next.CleanUp(t.Context(), q) == nil {
		t.Error("a server that refuses: got no error")
	}
	names.Behave("shop.example", fakedns.Answering)
	must(t, "present", next.Present(t.Context(), q))
	texts(t, names, challenged, q.DNS01KeyAuthorization())
	must(t, "clean up", next.CleanUp(t.Context(), q))
	texts(t, names, challenged)
}

// impostor is a name server that answers every message, and knows no key.
func impostor(t *testing.T, change func(*dns.Msg)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	s := &dns.Server{Listener: l, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			change(m)
			_ = w.WriteMsg(m) // the client may be gone
		})}
	go s.ActivateAndServe() // ends with the listener
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestImpostor: an answer without a signature is not believed, and none that is not an
// answer to the update.
func TestImpostor(t *testing.T) {
	for want, change := range map[string]func(*dns.Msg){
		"is not signed":                func(*dns.Msg) {},
		"is to another question":       func(m *dns.Msg) { m.Opcode = dns.OpcodeQuery },
		"it answers BADKEY":            func(m *dns.Msg) { badKey(m) },
		dns.ErrId.Error():              func(m *dns.Msg) { m.Id++ },
		"it answers NOTAUTH":           func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth },
		"did not change " + challenged: func(m *dns.Msg) { m.SetTsig(tsig.Name+".", dns.HmacSHA256, 300, 1) },
	} {
		r := newAnswers(t, newStore(t), impostor(t, change), func(string) []string { return nil })
		r.o.Zone = "shop.example"
		if err := r.Present(t.Context(), question("one")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func badKey(m *dns.Msg) {
	m.Rcode = dns.RcodeNotAuth
	m.SetTsig(tsig.Name+".", dns.HmacSHA256, 300, time.Now().Unix())
	m.IsTsig().Error = dns.RcodeBadKey
}

// TestSilentNameServer: an attempt that is cancelled does not wait for a name server.
func TestSilentNameServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, "listen", err)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // reads the update, and then cancels
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1))
		cancel()
		_, _ = io.Copy(io.Discard, conn) // until the client has gone
	}()
	r := newAnswers(t, newStore(t), l.Addr().String(), func(string) []string { return nil })
	if err := r.Present(ctx, question("one")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

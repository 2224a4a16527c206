package discovery_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/nowhere"
)

// asking returns a resolver that asks the servers.
func asking(timeout time.Duration, servers ...netip.AddrPort) *discovery.DNS {
	return &discovery.DNS{Timeout: timeout, Servers: func() ([]netip.AddrPort, error) { return servers, nil }}
}

func TestTXT(t *testing.T) {
	long := "v=amtp1;gateway=https://gw.example;x=" + strings.Repeat("x", 1000)
	odd := "\"quoted\" back\\slash \\065 tab\t end\\ \x00\xff ü"
	for _, tc := range []struct {
		name  string
		setup func(*fakedns.Server)
		want  discovery.Answer
	}{
		{"a record", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, record) },
			discovery.Answer{Status: discovery.Exists, Records: []string{record}, TTL: time.Hour}},
		{"in another case", func(d *fakedns.Server) { d.TXT("B.Example", time.Hour, record) },
			discovery.Answer{Status: discovery.Exists, Records: []string{record}, TTL: time.Hour}},
		{"two records", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, record, another) },
			discovery.Answer{Status: discovery.Exists, Records: []string{record, another}, TTL: time.Hour}},
		{"several strings", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, long) },
			discovery.Answer{Status: discovery.Exists, Records: []string{long}, TTL: time.Hour}},
		{"odd bytes", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, odd) },
			discovery.Answer{Status: discovery.Exists, Records: []string{odd}, TTL: time.Hour}},
		{"an empty text", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, "") },
			discovery.Answer{Status: discovery.Exists, Records: []string{""}, TTL: time.Hour}},
		{"an alias", func(d *fakedns.Server) {
			d.CNAME("b.example", time.Minute, "c.example")
			d.TXT("c.example", time.Hour, record)
		}, discovery.Answer{Status: discovery.Exists, Records: []string{record}, TTL: time.Minute}},
		{"an alias of nothing", func(d *fakedns.Server) { d.CNAME("b.example", time.Hour, "c.example") },
			discovery.Answer{Status: discovery.NoName, TTL: time.Minute}},
		{"no name", func(d *fakedns.Server) { d.SOA("example", time.Hour, 10*time.Minute) },
			discovery.Answer{Status: discovery.NoName, TTL: 10 * time.Minute}},
		{"no name, for the SOA's own time", func(d *fakedns.Server) { d.SOA("example", 5*time.Minute, 10*time.Minute) },
			discovery.Answer{Status: discovery.NoName, TTL: 5 * time.Minute}},
		{"no record", func(d *fakedns.Server) { d.SOA("b.example", time.Hour, 10*time.Minute) },
			discovery.Answer{Status: discovery.NoData, TTL: 10 * time.Minute}},
		{"a name above another", func(d *fakedns.Server) { d.TXT("a.b.example", time.Hour, record) },
			discovery.Answer{Status: discovery.NoData, TTL: time.Minute}},
		{"a server that denies everything", func(d *fakedns.Server) { d.Behave("", fakedns.Denying) },
			discovery.Answer{Status: discovery.NoName, TTL: time.Minute}},
		{"a server without EDNS", func(d *fakedns.Server) {
			d.TXT("b.example", time.Hour, record)
			d.Behave("", fakedns.WithoutEDNS)
		}, discovery.Answer{Status: discovery.Exists, Records: []string{record}, TTL: time.Hour}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := fakedns.New(t)
			tc.setup(server)
			got, err := asking(0, server.Addr()).TXT(t.Context(), "b.example")
			if err != nil || got.Status != tc.want.Status || got.TTL != tc.want.TTL ||
				!slices.Equal(got.Records, tc.want.Records) {
				t.Errorf("TXT(b.example) = %+v, %v; want %+v", got, err, tc.want)
			}
		})
	}
}

// An answer that does not fit into UDP is fetched over TCP, completely.
func TestTCPAfterTruncation(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, strings.Repeat(string(rune('a'+i%26)), 200))
	}
	for _, tc := range []struct {
		name  string
		setup func(*fakedns.Server)
		want  []string
	}{
		{"too large", func(d *fakedns.Server) { d.TXT("b.example", time.Hour, many...) }, many},
		{"said to be", func(d *fakedns.Server) {
			d.TXT("b.example", time.Hour, record)
			d.Behave("b.example", fakedns.Truncating)
		}, []string{record}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := fakedns.New(t)
			tc.setup(server)
			got, err := asking(0, server.Addr()).TXT(t.Context(), "b.example")
			if err != nil || !slices.Equal(got.Records, tc.want) {
				t.Fatalf("TXT = %d records, %v; want %d", len(got.Records), err, len(tc.want))
			}
			if all, tcp := server.Asked("b.example"), server.AskedTCP("b.example"); all != 2 || tcp != 1 {
				t.Errorf("%d questions, %d of them over TCP; want one over each", all, tcp)
			}
		})
	}
}

// None of these answers says that there is no record.
func TestServersThatDoNotSay(t *testing.T) {
	const short = 200 * time.Millisecond
	for _, tc := range []struct {
		name string
		mode fakedns.Mode
		want int // questions to one server
	}{
		{"failing", fakedns.Failing, 1},
		{"refusing", fakedns.Refusing, 1},
		{"silent", fakedns.Silent, 2},
		{"another question", fakedns.OtherQuestion, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad, good := fakedns.New(t), fakedns.New(t)
			bad.TXT("b.example", time.Hour, another)
			bad.Behave("", tc.mode)
			good.TXT("b.example", time.Hour, record)
			if got, err := asking(short, bad.Addr()).TXT(t.Context(), "b.example"); err == nil {
				t.Errorf("TXT of this server alone = %+v, want an error", got)
			}
			if n := bad.Asked("b.example"); n != tc.want {
				t.Errorf("it was asked %d times, want %d", n, tc.want)
			}
			got, err := asking(0, nowhere.Address(t), bad.Addr(), good.Addr()).TXT(t.Context(), "b.example")
			if err != nil || !slices.Equal(got.Records, []string{record}) {
				t.Errorf("TXT with a good server after it = %+v, %v; want the answer of that", got, err)
			}
		})
	}
}

func TestNoServers(t *testing.T) {
	broken := errors.New("no file")
	for _, d := range []*discovery.DNS{
		asking(0),
		asking(0, nowhere.Address(t)),
		{Servers: func() ([]netip.AddrPort, error) { return nil, broken }},
	} {
		if got, err := d.TXT(t.Context(), "b.example"); err == nil {
			t.Errorf("TXT = %+v, want an error", got)
		}
		if got, err := d.Addresses(t.Context(), "b.example"); err == nil {
			t.Errorf("Addresses = %v, want an error", got)
		}
	}
}

func TestAliasesThatDoNotEnd(t *testing.T) {
	server := fakedns.New(t)
	server.CNAME("b.example", time.Hour, "c.example")
	server.CNAME("c.example", time.Hour, "b.example")
	if got, err := asking(0, server.Addr()).TXT(t.Context(), "b.example"); err == nil {
		t.Errorf("TXT = %+v, want an error", got)
	}
}

// A caller that gives up does not wait for a silent server.
func TestTheContextEndsAQuestion(t *testing.T) {
	server := fakedns.New(t)
	server.Behave("", fakedns.Silent)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, err := asking(time.Hour, server.Addr()).TXT(ctx, "b.example"); err == nil {
		t.Errorf("TXT = %+v, want an error", got)
	}
}

func TestAddresses(t *testing.T) {
	server := fakedns.New(t)
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	server.Addrs("gw.example", []netip.Addr{four, six})
	got, err := asking(0, nowhere.Address(t), server.Addr()).Addresses(t.Context(), "gw.example")
	if err != nil || len(got) != 2 || !slices.Contains(got, four) || !slices.Contains(got, six) {
		t.Errorf("Addresses(gw.example) = %v, %v; want %s and %s", got, err, four, six)
	}
	if got, err := asking(0, server.Addr()).Addresses(t.Context(), "localhost"); err != nil || !got[0].IsLoopback() {
		t.Errorf("Addresses(localhost) = %v, %v; want this machine, without DNS", got, err)
	}
	if n := server.Asked("localhost"); n != 0 {
		t.Errorf("DNS was asked %d times for localhost, want never", n)
	}
}

// The whole way from the question to the capabilities over real sockets, while the
// domain changes its records.
func TestADomainThatChanges(t *testing.T) {
	server := fakedns.New(t)
	server.TXT("_amtp.b.example", time.Hour, record)
	f := newFinder(t, discovery.Options{Resolver: asking(0, server.Addr()), MaxTTL: time.Nanosecond})
	if got, err := f.Gateway(t.Context(), "b.example"); err != nil || got.Gateway != "https://gw.b.example" {
		t.Fatalf("Gateway = %+v, %v; want https://gw.b.example", got, err)
	}
	server.Behave("", fakedns.Failing)
	if got, err := f.Gateway(t.Context(), "b.example"); err != nil || !got.Stale {
		t.Errorf("Gateway while the server fails = %+v, %v; want the stale answer", got, err)
	}
	server.Behave("", fakedns.Answering)
	server.Remove("_amtp.b.example")
	fresh := newFinder(t, discovery.Options{Resolver: asking(0, server.Addr())})
	if _, err := fresh.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrNoDomain {
		t.Errorf("Gateway of a domain that is gone = %v, want ErrNoDomain", err)
	}
	server.Addrs("mail.b.example", []netip.Addr{netip.MustParseAddr("192.0.2.1")})
	fresh = newFinder(t, discovery.Options{Resolver: asking(0, server.Addr())})
	if _, err := fresh.Gateway(t.Context(), "b.example"); class(t, err) != discovery.ErrNone {
		t.Errorf("Gateway of a domain without a record = %v, want ErrNone", err)
	}
}

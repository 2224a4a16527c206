package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// message makes an answer to the question for TXT at b.example. from lines of a zone
// file: first the answers, then, after an empty line, the authority.
func message(t testing.TB, rcode int, zone string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion("b.example.", dns.TypeTXT)
	m.Response, m.Rcode = true, rcode
	section := &m.Answer
	for line := range strings.Lines(zone) {
		if line = strings.TrimSpace(line); line == "" {
			section = &m.Ns
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		*section = append(*section, rr)
	}
	return m
}

const soa = "example. 300 IN SOA ns. me. 1 1 1 1 60"

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rcode int
		zone  string
		want  string // records, "" if none
		alias string
		state Status
		ttl   time.Duration
	}{
		{"the shortest time counts", 0, "b.example. 60 IN TXT a\nb.example. 30 IN TXT b", "a|b", "", Exists,
			30 * time.Second},
		{"a time with the highest bit", 0, "b.example. 2147483648 IN TXT a", "a", "", Exists, 0},
		{"records of another name", 0, "c.example. 60 IN TXT a\n\n" + soa, "", "", NoData, time.Minute},
		{"records of another class", 0, "b.example. 60 CH TXT a\n\n" + soa, "", "", NoData, time.Minute},
		{"records of another type", 0, "b.example. 60 IN A 192.0.2.1\n\n" + soa, "", "", NoData, time.Minute},
		{"nothing at all", 0, "", "", "", NoData, 0},
		{"an alias whose end is missing", 0, "b.example. 60 IN CNAME c.example.", "", "c.example.", 0, time.Minute},
		{"an alias whose end has no record", 0, "b.example. 60 IN CNAME c.example.\n\n" + soa, "", "", NoData,
			time.Minute},
		{"an alias whose end does not exist", 3, "b.example. 60 IN CNAME c.example.\n\n" + soa, "", "", NoName,
			time.Minute},
		{"an alias, out of order", 0, "c.example. 60 IN TXT a\nb.example. 20 IN CNAME C.example.", "a", "", Exists,
			20 * time.Second},
		{"an alias that holds shorter than absence", 0, "b.example. 20 IN CNAME c.example.\n\n" + soa, "", "", NoData,
			20 * time.Second},
		{"no name, without a TTL", 3, "", "", "", NoName, 0},
	} {
		got, err := read("b.example.", message(t, tc.rcode, tc.zone))
		records := strings.Join(got.Records, "|")
		if err != nil || records != tc.want || got.alias != tc.alias || got.Status != tc.state || got.TTL != tc.ttl {
			t.Errorf("%s: read = %+v, %v; want %q, alias %q, status %d for %v", tc.name, got, err, tc.want, tc.alias,
				tc.state, tc.ttl)
		}
	}
}

// These answers do not count: a server that only refers to others must not be taken for
// one that says that there is no record.
func TestReadRefuses(t *testing.T) {
	chain := ""
	for _, pair := range []string{"b c", "c d", "d e", "e f", "f g", "g h", "h i", "i j", "j k"} {
		from, to, _ := strings.Cut(pair, " ")
		chain += from + ".example. 60 IN CNAME " + to + ".example.\n"
	}
	for _, tc := range []struct {
		name  string
		rcode int
		zone  string
	}{
		{"SERVFAIL", dns.RcodeServerFailure, ""},
		{"REFUSED", dns.RcodeRefused, ""},
		{"an unknown code", 3841, ""},
		{"a referral", 0, "\nexample. 60 IN NS ns.example."},
		{"a circle", 0, "b.example. 60 IN CNAME b.example."},
		{"a long chain", 0, chain},
	} {
		if got, err := read("b.example.", message(t, tc.rcode, tc.zone)); err == nil {
			t.Errorf("%s: read = %+v, want an error", tc.name, got)
		}
	}
}

func TestEchoes(t *testing.T) {
	q := new(dns.Msg).SetQuestion("b.example.", dns.TypeTXT)
	for name, change := range map[string]func(*dns.Msg){
		"another id":        func(m *dns.Msg) { m.Id++ },
		"a question":        func(m *dns.Msg) { m.Response = false },
		"another name":      func(m *dns.Msg) { m.Question[0].Name = "c.example." },
		"another type":      func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA },
		"another class":     func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"no question":       func(m *dns.Msg) { m.Question = nil },
		"two questions":     func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
		"another operation": func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
	} {
		m := new(dns.Msg).SetReply(q)
		if !echoes(q, m) {
			t.Fatal("echoes(its own reply) = false, want true")
		}
		if change(m); echoes(q, m) {
			t.Errorf("echoes(a reply with %s) = true, want false", name)
		}
	}
	m := new(dns.Msg).SetReply(q)
	if m.Question[0].Name = "B.EXAMPLE."; !echoes(q, m) {
		t.Error("echoes(a reply in another case) = false, want true")
	}
}

func TestReadResolvConf(t *testing.T) {
	for _, tc := range []struct{ content, want string }{
		{"nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch lan\n", "192.0.2.1:53 [2001:db8::1]:53"},
		{"nameserver fe80::1%eth0\nnameserver nonsense\n", "[fe80::1%eth0]:53"},
		{"# nothing\n", "127.0.0.1:53"},
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		servers, err := readResolvConf(file)
		var got []string
		for _, s := range servers {
			got = append(got, s.String())
		}
		if err != nil || strings.Join(got, " ") != tc.want {
			t.Errorf("the servers of %q are %q, %v; want %q", tc.content, got, err, tc.want)
		}
	}
	if servers, err := readResolvConf(filepath.Join(t.TempDir(), "none")); err == nil ||
		!strings.Contains(err.Error(), "dns.resolvers") {
		t.Errorf("the servers without a file are %v, %v; want an error that names the setting", servers, err)
	}
}

// Whatever bytes a server sends, the values read from them keep their promises.
func FuzzRead(f *testing.F) {
	for _, zone := range []string{
		"b.example. 60 IN TXT a \"b c\" \"\\\\ \\\" \\001\"",
		"b.example. 60 IN CNAME c.example.\nc.example. 60 IN TXT a", "\n" + soa,
		"b.example. 60 IN CNAME b.example.", "\nexample. 60 IN NS ns.",
	} {
		for _, rcode := range []int{0, 2, 3} {
			raw, err := message(f, rcode, zone).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		s, err := read("b.example.", m)
		if err != nil {
			return
		}
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			t.Errorf("the code %d became %+v, want an error", m.Rcode, s)
		}
		if s.TTL < 0 || s.TTL > 1<<31*time.Second {
			t.Errorf("TTL %v, want one between 0 and 68 years", s.TTL)
		}
		if s.alias == "" && (s.Status == Exists) != (len(s.Records) > 0) {
			t.Errorf("status %d with the records %q", s.Status, s.Records)
		}
		for _, record := range s.Records {
			if len(record) > len(raw) {
				t.Errorf("a record of %d bytes from %d", len(record), len(raw))
			}
		}
	})
}

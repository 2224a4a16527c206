package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/privateca"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// internet is a name server and a certificate authority, for machines on which the
// program runs as on any other.
type internet struct {
	*testing.T
	bin string
	dir string
	dns *fakedns.Server
	ca  *privateca.Authority
}

func newInternet(t *testing.T) *internet {
	t.Helper()
	n := &internet{T: t, bin: filepath.Join(build(t), "amtp"), dir: t.TempDir(), dns: fakedns.New(t)}
	var err error
	if n.ca, err = privateca.New(filepath.Join(n.dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	return n
}

// machine is a computer with a home directory, on which a gateway may run.
type machine struct {
	*internet
	domain string
	home   string
	port   string // the port for calls from elsewhere
	local  string // the port for programs on the machine
	cert   string
	key    string
	signer string // the selector of the domain's key, once it is published
	server server
}

// machine sets up a computer, for the gateway of the domain.
func (n *internet) machine(domain string) *machine {
	n.Helper()
	m := &machine{internet: n, domain: domain, home: filepath.Join(n.dir, domain),
		server: server{mirror: mirror{t: n.T}}}
	ports := freePorts(n.T, 2)
	m.port, m.local = ports[0], ports[1]
	m.certify(n.ca, "amtp."+domain)
	n.dns.Addrs("amtp."+domain, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	data := filepath.Join(m.home, ".local", "share", "amtp")
	if err := os.MkdirAll(data, 0o700); err != nil {
		n.Fatal(err)
	}
	// The port that the default, 8080, would be on a separate machine.
	if err := os.WriteFile(filepath.Join(data, "amtp.yaml"), []byte("server:\n  address: 127.0.0.1:"+m.local+"\n"),
		0o600); err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = m.server.kill() })
	return m
}

// certify puts a certificate for the host into the files that the gateway reads.
func (m *machine) certify(ca *privateca.Authority, host string) {
	m.Helper()
	cert, key, err := ca.Certificate(m.dir, host)
	if err != nil {
		m.Fatal(err)
	}
	m.cert, m.key = filepath.Join(m.dir, m.domain+".crt"), filepath.Join(m.dir, m.domain+".key")
	for from, to := range map[string]string{cert: m.cert, key: m.key} {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			m.Fatal(err)
		}
	}
}

// freePorts returns ports of this machine that no program uses.
func freePorts(t *testing.T, count int) []string {
	t.Helper()
	var list []string
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		list = append(list, port)
	}
	return list
}

// environ is the environment of programs on the machine. It names the name server, the
// authority and the addresses of this small internet in place of the real ones.
func (m *machine) environ() []string {
	return []string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "TZ=UTC",
		"AMTP_DNS_RESOLVERS=" + m.dns.Addr().String(),
		"AMTP_OUTBOUND_ALLOW=127.0.0.0/8", "AMTP_OUTBOUND_CA_FILE=" + m.ca.File}
}

// amtp runs a command and returns its output and its exit code.
func (m *machine) amtp(args ...string) (output string, code int) {
	m.Helper()
	ctx, cancel := context.WithTimeout(m.Context(), patience)
	defer cancel()
	return run(ctx, m.T, m.bin, m.environ(), args)
}

// does runs a command that must end with the exit code.
func (m *machine) does(want int, args ...string) string {
	m.Helper()
	output, code := m.amtp(args...)
	if code != want {
		m.Fatalf("%s$ amtp %s: exit code %d, want %d\n%s", m.domain, strings.Join(args, " "), code, want, output)
	}
	return output
}

// serve starts the gateway as its configuration says.
func (m *machine) serve() {
	m.Helper()
	if err := m.server.run(m.bin, []string{"serve"}, m.environ()); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) halt() {
	m.Helper()
	if err := m.server.terminate(); err != nil {
		m.Fatal(err)
	}
}

// setUp gives the machine's gateway its domain, and its certificate.
func (m *machine) setUp(args ...string) string {
	m.Helper()
	return m.does(0, append([]string{"domain", "setup", m.domain, "--address", "127.0.0.1:" + m.port, "--tls-cert",
		m.cert, "--tls-key", m.key}, args...)...)
}

// publish publishes the records that the setup prints.
func (m *machine) publish() {
	m.Helper()
	var done struct {
		Records []struct{ Name, Value string }
	}
	if err := json.Unmarshal([]byte(m.setUp("--json")), &done); err != nil || len(done.Records) < 2 {
		m.Fatalf("setup --json: %v, %d records", err, len(done.Records))
	}
	for _, r := range done.Records {
		m.dns.TXT(r.Name, time.Minute, r.Value)
	}
	m.signer, _, _ = strings.Cut(done.Records[1].Name, "._amtpkey.")
}

// checks runs "amtp domain check" and expects exactly these points to be wrong, and the
// exit code.
func (m *machine) checks(what string, code int, wrong string, args ...string) string {
	m.Helper()
	output := m.does(code, append([]string{"domain", "check"}, args...)...)
	var found []string
	for line := range strings.Lines(output) {
		if rest, ok := strings.CutPrefix(line, "✗ "); ok {
			name, _, _ := strings.Cut(rest, ":")
			name, _, _ = strings.Cut(name, " ")
			found = append(found, name)
		}
	}
	if got := strings.Join(found, " "); got != wrong {
		m.Errorf("%s: wrong are %q, want %q\n%s", what, got, wrong, output)
	}
	return output
}

// TestTwoDomains sets up two domains from nothing, checks them, and lets their agents
// write to each other. Then it breaks one thing after the other, and the check names
// each.
func TestTwoDomains(t *testing.T) {
	n := newInternet(t)
	shop, workshop := n.machine("shop.example"), n.machine("workshop.example")
	for _, m := range []*machine{shop, workshop} {
		m.setUp()
		m.publish()
		m.serve()
		m.checks("all is set up", 0, "")
	}
	shop.does(0, "setup", "--name", "alice", "--gateway", "http://127.0.0.1:"+shop.local)
	workshop.does(0, "setup", "--name", "bob", "--gateway", "http://127.0.0.1:"+workshop.local)
	shop.does(0, "send", "--to", "bob@workshop.example", "--text", "Hello")
	if got := workshop.does(0, "inbox", "--wait", "30s"); !strings.Contains(got, "alice@shop.example") ||
		!strings.Contains(got, "verified") {
		t.Errorf("bob's inbox:\n%s", got)
	}
	workshop.does(0, "send", "--to", "alice@shop.example", "--text", "Hello yourself")
	if got := shop.does(0, "inbox", "--wait", "30s"); !strings.Contains(got, "bob@workshop.example") ||
		!strings.Contains(got, "verified") {
		t.Errorf("alice's inbox:\n%s", got)
	}
	// Each checks the other, with and without the name of a key.
	shop.checks("the other domain", 0, "", "workshop.example")
	shop.checks("the other domain and its key", 0, "", "workshop.example", "--selector", workshop.signer)
	shop.checks("a key that there is not", 1, "key", "workshop.example", "--selector", "nosuch")
	var told struct {
		OK       bool
		Domain   string
		Findings []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(shop.does(0, "domain", "check", "--json")), &told); err != nil || !told.OK ||
		told.Domain != "shop.example" || len(told.Findings) != 12 {
		t.Errorf("check --json: %+v, %v", told, err)
	}
	breakDNS(shop, workshop)
	breakKey(shop)
	breakClock(shop, workshop)
	breakCertificate(shop)
	breakPort(shop, workshop)
	shop.checks("all is mended", 0, "")
	signWithRSA(shop, workshop)
	workshop.checks("the other domain is mended", 0, "", "shop.example")
}

func breakDNS(m, other *machine) {
	name := "_amtp." + m.domain
	m.dns.Behave(name, fakedns.Failing)
	m.checks("DNS fails", 6, "dns")
	other.checks("DNS fails, seen from elsewhere", 6, "dns", m.domain)
	m.dns.Behave(name, fakedns.Answering)
	m.dns.Remove(name)
	m.checks("there is no record", 4, "dns")
	m.does(4, "domain", "check", "nosuch.example")
	gateway := "gateway=https://amtp." + m.domain + ":" + m.port
	m.dns.TXT(name, time.Minute, gateway+";v=amtp1;auth=sig")
	m.checks("the record has another order", 1, "record")
	m.dns.TXT(name, time.Minute, "v=amtp1;"+gateway+";auth=sig", "v=amtp1;gateway=https://elsewhere.example")
	m.checks("there are two records", 1, "record")
	m.dns.TXT(name, time.Minute, "v=amtp1;"+gateway+";auth=sig;max-size=99999999")
	m.checks("the record promises too much", 1, "max-size")
	m.dns.TXT(name, time.Minute, "v=amtp1;gateway=https://amtp."+other.domain+":"+other.port+";auth=sig")
	m.checks("the record names the gateway of another", 1, "record gateway")
	other.checks("the record names the gateway of another, seen from there", 1, "gateway", m.domain)
	m.publish()
	m.dns.Addrs("amtp." + m.domain)
	m.checks("the gateway has no address", 6, "address")
	m.dns.Addrs("amtp."+m.domain, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
}

func breakKey(m *machine) {
	name := m.signer + "._amtpkey." + m.domain
	other := "v=amtpkey1;alg=ES256;p=MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYEGi6h1vzrHdL6SF02XaGH0TWbDcBdFvex3jdOYE1tpyNC1GrIL2Z0XzXD996Kv61YuWryy0nRh5SZ7FXBOK0w=="
	m.dns.TXT(name, time.Minute, other)
	got := m.checks("another key is published", 1, "key")
	_, real, found := strings.Cut(got, "    publish at "+name+" the TXT record: ")
	if real, _, _ = strings.Cut(real, "\n"); !found || !strings.HasPrefix(real, "v=amtpkey1;alg=ES256;p=") {
		m.Fatalf("the check does not say what to publish:\n%s", got)
	}
	for _, c := range []struct {
		what string
		txts []string
		says string
	}{
		{"two records", []string{real, real}, "2 valid records at " + name + ", of the same key"},
		{"two keys", []string{other, real}, "2 valid records at " + name + ", of different keys"},
		{"the wrong algorithm", []string{strings.Replace(real, "ES256", "RS256", 1)},
			"alg=RS256, and the key is one for ES256"},
		{"the older form", []string{strings.NewReplacer("v=amtpkey1", "v=amtp1", "alg=", "k=").Replace(real)},
			"before the protocol had one"},
		{"quotation marks", []string{`"` + real + `"`}, "quotation marks"},
		{"backslashes", []string{strings.ReplaceAll(real, ";", `\;`)}, "backslashes"},
		{"a space in the key", []string{real[:60] + " " + real[60:]}, "spaces in p"},
		{"two records of one", []string{real[60:], real[:60]}, "the strings of one record are published as 2 records"},
		{"a cut one", []string{real[:100]}, "p is cut off"},
	} {
		m.dns.TXT(name, time.Minute, c.txts...)
		if got := m.checks(c.what, 1, "key"); !strings.Contains(got, c.says) {
			m.Errorf("%s: the check does not say %q:\n%s", c.what, c.says, got)
		}
	}
	m.dns.TXT(name, time.Minute, "v=amtpkey1;alg=ES256;p=AAAA", real)
	if got := m.checks("a broken record beside it", 0, ""); !strings.Contains(got,
		"    Note: another record there is not valid") {
		m.Errorf("the check does not note it:\n%s", got)
	}
	m.dns.Remove(name)
	m.checks("the key is not published", 1, "key")
	m.dns.TXT(name+"."+m.domain, time.Minute, real)
	if got := m.checks("the form added the domain", 1, "key"); !strings.Contains(got,
		"but there is one at "+name+"."+m.domain) {
		m.Errorf("the check does not find it:\n%s", got)
	}
	if got := m.does(1, "doctor"); !strings.Contains(got, "✗ domain key "+m.signer) ||
		!strings.Contains(got, "the form adds ."+m.domain) {
		m.Errorf("the doctor does not find it:\n%s", got)
	}
	m.dns.Remove(name + "." + m.domain)
	m.publish()
}

// acknowledges removes all messages from the agent's inbox.
func (m *machine) acknowledges() {
	var inbox struct {
		Messages []struct {
			ID string `json:"message_id"`
		}
	}
	if err := json.Unmarshal([]byte(m.does(0, "inbox", "--json")), &inbox); err != nil || len(inbox.Messages) == 0 {
		m.Fatalf("inbox --json: %v, %d messages", err, len(inbox.Messages))
	}
	for _, msg := range inbox.Messages {
		m.does(0, "ack", msg.ID)
	}
}

// signWithRSA makes the domain sign with an RSA key, whose record has several strings.
func signWithRSA(m, other *machine) {
	m.does(0, "keys", "generate", "--alg", "rs256", "--selector", "rsa")
	m.checks("the RSA key is not published", 1, "key")
	m.publish()
	m.checks("the RSA key is published", 0, "")
	m.does(0, "keys", "use", "rsa", "--now")
	other.acknowledges() // so that the test waits only for the next message
	m.does(0, "send", "--to", "bob@"+other.domain, "--subject", "RSA", "--text", "Hello once more")
	if got := other.does(0, "inbox", "--wait", "30s"); !strings.Contains(got, "Subject: RSA") ||
		strings.Contains(got, "unverified") {
		m.Errorf("bob's inbox:\n%s", got)
	}
	other.checks("the RSA key, seen from elsewhere", 0, "", m.domain, "--selector", "rsa")
}

// breakClock puts a proxy before the gateway with a clock that is an hour ahead.
func breakClock(m, other *machine) {
	roots := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.ca.Pool, ServerName: "amtp." + m.domain}}
	defer roots.CloseIdleConnections()
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: "127.0.0.1:" + m.port})
	behind.Transport = roots
	behind.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		return nil
	}
	pair, err := tls.LoadX509KeyPair(m.cert, m.key)
	if err != nil {
		m.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(behind)
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	proxy.EnableHTTP2 = true
	proxy.StartTLS()
	defer proxy.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(proxy.URL, "https://"), ":")
	m.dns.TXT("_amtp."+m.domain, time.Minute, fmt.Sprintf("v=amtp1;gateway=https://amtp.%s:%s;auth=sig",
		m.domain, port))
	got := other.checks("the clock there is wrong", 1, "clock", m.domain)
	if !strings.Contains(got, "✗ clock: the clock there is 1h0m0s ahead") &&
		!strings.Contains(got, "✗ clock: the clock there is 59m59s ahead") {
		m.Errorf("the check does not say by how much:\n%s", got)
	}
	m.publish()
}

func breakCertificate(m *machine) {
	restart := func() { m.halt(); m.serve() }
	m.certify(m.ca, "old."+m.domain)
	restart()
	m.checks("the certificate is for another host", 1, "certificate")
	stranger, err := privateca.New(filepath.Join(m.dir, "stranger.pem"))
	if err != nil {
		m.Fatal(err)
	}
	m.certify(stranger, "amtp."+m.domain)
	restart()
	m.checks("the certificate is from a stranger", 1, "certificate")
	m.certify(m.ca, "amtp."+m.domain)
	restart()
}

func breakPort(m, other *machine) {
	m.halt()
	m.checks("nobody listens", 6, "connection")
	other.checks("nobody listens, seen from elsewhere", 6, "connection", m.domain)
	m.serve()
}

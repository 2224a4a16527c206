package app_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/pebble"
	"github.com/amtp-go/amtp/internal/test/slow"
)

const certified = "amtp.shop.example"

// acmeWorld is a gateway with a certificate from pebble.
type acmeWorld struct {
	t         *testing.T
	authority *pebble.Authority
	dns       *fakedns.Server
	dir       string
	ports     []int // of the gateway and of its listener for HTTP-01
	settings  []string
	log       *syncBuffer
	gateway   *app.App
	stop      func()
}

// newACMEWorld makes the world and starts pebble, but not the gateway.
func newACMEWorld(t *testing.T, validity time.Duration, settings ...string) *acmeWorld {
	t.Helper()
	w := &acmeWorld{t: t, dir: t.TempDir(), ports: pebble.Ports(t, 2), settings: settings, dns: fakedns.New(t, dnsKey),
		log: &syncBuffer{}}
	w.dns.Addrs(certified, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	w.authority = pebble.New(t, pebble.Options{DNS: w.dns.Addr(), HTTPPort: w.ports[1], TLSPort: w.ports[0],
		Validity: validity})
	return w
}

// overHTTP returns the settings for HTTP-01.
func (w *acmeWorld) overHTTP() string {
	return fmt.Sprintf("AMTP_ACME_HTTP_ADDRESS=127.0.0.1:%d", w.ports[1])
}

// dnsKey is the key with which the name server takes updates.
var dnsKey = fakedns.Key{Name: "amtp-key", Secret: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))}

// inDNS returns the settings for DNS-01. The name server gets the zone of the host.
func (w *acmeWorld) inDNS() []string {
	w.t.Helper()
	w.dns.SOA("shop.example", time.Hour, time.Hour)
	file := filepath.Join(w.t.TempDir(), "tsig")
	if err := os.WriteFile(file, []byte(dnsKey.Secret+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return []string{"AMTP_ACME_DNS_SERVER=" + w.dns.Addr().String(), "AMTP_ACME_DNS_KEY_NAME=" + dnsKey.Name,
		"AMTP_ACME_DNS_KEY_FILE=" + file, "AMTP_DNS_RESOLVERS=" + w.dns.Addr().String()}
}

// start starts the gateway with what it has stored.
func (w *acmeWorld) start() {
	w.t.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: append([]string{
		fmt.Sprintf("AMTP_SERVER_ADDRESS=127.0.0.1:%d", w.ports[0]), "AMTP_DOMAIN=shop.example",
		"AMTP_DATA_DIR=" + w.dir,
		"AMTP_ACME_ENABLED=true", "AMTP_ACME_ACCEPT_TERMS=true", "AMTP_ACME_EMAIL=operator@shop.example",
		"AMTP_ACME_HOSTS=" + certified,
		"AMTP_ACME_DIRECTORY=" + w.authority.Directory, "AMTP_ACME_CA_FILE=" + w.authority.CAFile,
		"AMTP_LOG_LEVEL=debug",
	}, w.settings...)})
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway, w.stop = a, runTheWhile(w.t, a)
}

// shown returns the certificate that a caller gets who names the host.
func (w *acmeWorld) shown() (*x509.Certificate, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", "127.0.0.1:"+strconv.Itoa(w.ports[0]),
		// the test checks the certificate itself
		&tls.Config{ServerName: certified, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// await waits until ok is true of the certificate that is shown, which is nil while
// there is none.
func (w *acmeWorld) await(what string, ok func(*x509.Certificate) bool) *x509.Certificate {
	w.t.Helper()
	var cert *x509.Certificate
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if cert, err = w.shown(); ok(cert) {
			return cert
		}
	}
	w.t.Fatalf("%s: not within %v; shown was %v (%v)\n%s", what, patience, cert, err, w.log)
	return nil
}

func some(c *x509.Certificate) bool { return c != nil }

// operator returns a client that calls the gateway as the commands on this machine do.
func (w *acmeWorld) operator() *admin.Client {
	w.t.Helper()
	return localOperator(w.t, w.dir, w.gateway)
}

// list asks the gateway for its only certificate.
func (w *acmeWorld) list() (admin.CertificateList, admin.Certificate) {
	w.t.Helper()
	list, err := w.operator().Certificates(context.Background())
	if err != nil || len(list.Certificates) != 1 {
		w.t.Fatalf("certificates: got %+v, %v, want one", list, err)
	}
	return list, list.Certificates[0]
}

// trusted calls the gateway as a client does that trusts the authority.
func (w *acmeWorld) trusted() error {
	w.t.Helper()
	t := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: w.authority.Roots(),
		ServerName: certified, MinVersion: tls.VersionTLS13}}
	defer t.CloseIdleConnections()
	r, err := (&http.Client{Transport: t}).Get(w.gateway.URL() + "/health")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || r.ProtoMajor != 2 || r.Header.Get("Strict-Transport-Security") == "" {
		return fmt.Errorf("got %s over %s with HSTS %q, want 200 over HTTP/2 with HSTS", r.Status, r.Proto,
			r.Header.Get("Strict-Transport-Security"))
	}
	return nil
}

// TestACME: a gateway obtains its certificate by either challenge. After a restart it
// still has it and does not ask again. No private key is in the clear in its files or
// log.
func TestACME(t *testing.T) {
	slow.Test(t, "it runs an authority for certificates")
	for _, challenge := range []string{"http-01", "tls-alpn-01", "dns-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			w := newACMEWorld(t, 0)
			switch challenge {
			case "http-01":
				w.settings = append(w.settings, w.overHTTP())
			case "dns-01":
				w.settings = w.inDNS()
				w.dns.Addrs(certified) // the authority finds no address of the host
			}
			w.start()
			first := w.await("the first certificate", some)
			if err := w.trusted(); err != nil {
				t.Errorf("a caller who trusts the authority: %v", err)
			}
			list, c := w.list()
			if list.Source != admin.CertificateACME || list.From != w.authority.Directory ||
				list.Challenge != challenge {
				t.Errorf("source: got %q from %q by %q, want acme from %q by %q", list.Source, list.From,
					list.Challenge, w.authority.Directory, challenge)
			}
			if c.State != admin.CertificateValid || len(c.Hosts) != 1 || c.Hosts[0] != certified ||
				c.Serial != first.SerialNumber.Text(16) ||
				c.Error != "" || !c.Next.After(time.Now()) || c.Next.After(c.NotAfter.Time) {
				t.Errorf("certificate: got %+v, want the valid one of %s", c, certified)
			}
			w.stop()
			orders, accounts := w.authority.Asked("POST /order-plz"), w.authority.Asked("POST /sign-me-up")
			w.start()
			if again := w.await("after a restart", some); !again.Equal(first) {
				t.Errorf("after a restart: got serial %x, want %x", again.SerialNumber, first.SerialNumber)
			}
			if n, m := w.authority.Asked("POST /order-plz"),
				w.authority.Asked("POST /sign-me-up"); n != orders || m != accounts {
				t.Errorf("a restart asked the authority: got %d orders and %d accounts, want %d and %d", n, m,
					orders, accounts)
			}
			w.stop()
			w.noKeyInTheOpen()
			if left := w.dns.Texts("_acme-challenge." + certified); len(left) != 0 {
				t.Errorf("DNS still has %q", left)
			}
		})
	}
}

// noKeyInTheOpen looks for a private key in the files and the log.
func (w *acmeWorld) noKeyInTheOpen() {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			w.t.Fatal(err)
		}
		if bytes.Contains(b, []byte("PRIVATE KEY")) || bytes.Contains(b, []byte(dnsKey.Secret)) {
			w.t.Errorf("%s holds a private key in the clear", name)
		}
	}
	if log := w.log.String(); strings.Contains(log, "PRIVATE KEY") || strings.Contains(log, dnsKey.Secret) {
		w.t.Error("the log holds a private key")
	}
}

// TestACMEWithoutTheAuthority: while the authority is away, a gateway starts, answers
// this machine and says what is missing. It tries again by itself and on request. When
// the authority is away later, the gateway goes on with the certificate that it has.
func TestACMEWithoutTheAuthority(t *testing.T) {
	slow.Test(t, "it waits for an authority that does not answer")
	t.Parallel()
	ctx := context.Background()
	w := newACMEWorld(t, 0)
	w.authority.Stop()
	w.start()
	if c, err := w.shown(); err == nil {
		t.Errorf("a caller who names the host: got %v, want no certificate", c.Subject)
	}
	until(t, "the first failure", func() bool { _, c := w.list(); return c.Error != "" })
	_, c := w.list()
	if c.State != admin.CertificateMissing || len(c.Hosts) != 1 || c.Hosts[0] != certified ||
		!strings.Contains(c.Error, "refused") || c.Next.IsZero() {
		t.Errorf("without the authority: got %+v, want a missing certificate with its error and the next try", c)
	}
	if w.gateway.Certified() {
		t.Error("the gateway says that it has a certificate; it has none")
	}
	if !strings.Contains(w.log.String(), "there is no certificate") {
		t.Errorf("the log does not say that there is no certificate:\n%s", w.log)
	}
	w.authority.Start()
	first := w.await("by itself, after the authority came back", some)
	if _, c := w.list(); c.Error != "" || c.State != admin.CertificateValid {
		t.Errorf("after that: got %+v, want a valid one without an error", c)
	}
	done, err := w.operator().RenewCertificates(ctx, false)
	if err != nil || done.Renewed {
		t.Errorf("renew a certificate that is not due: got %t, %v, want nothing", done.Renewed, err)
	}
	done, err = w.operator().RenewCertificates(ctx, true)
	if err != nil || !done.Renewed {
		t.Fatalf("renew with force: got %t, %v, want another certificate\n%s", done.Renewed, err, w.log)
	}
	second := w.await("with force", some)
	if second.Equal(first) || done.Certificates[0].Serial != second.SerialNumber.Text(16) {
		t.Errorf("with force: got serial %x, answered %s, want one other than %x", second.SerialNumber,
			done.Certificates[0].Serial, first.SerialNumber)
	}
	w.authority.Stop()
	_, err = w.operator().RenewCertificates(ctx, true)
	if refused, ok := err.(*amtp.Error); !ok || refused.Code != amtp.CodeCertificateFailed ||
		refused.Status != http.StatusBadGateway {
		t.Errorf("renew without the authority: got %v, want 502 %s", err, amtp.CodeCertificateFailed)
	}
	if c, err := w.shown(); err != nil || !c.Equal(second) {
		t.Errorf("after a renewal that failed: got %v, want the former certificate", err)
	}
	if _, c := w.list(); c.State != admin.CertificateValid || c.Error == "" {
		t.Errorf("after a renewal that failed: got %+v, want a valid one with the error", c)
	}
}

// TestACMERenews: a certificate is renewed when a third of its time is left, and an
// open connection stays open.
func TestACMERenews(t *testing.T) {
	slow.Test(t, "it runs an authority for certificates")
	t.Parallel()
	w := newACMEWorld(t, 9*time.Second)
	w.start()
	first := w.await("the first certificate", some)
	ask := w.kept()
	if _, err := ask(); err != nil {
		t.Fatal(err)
	}
	second := w.await("a renewal", func(c *x509.Certificate) bool { return c != nil && !c.Equal(first) })
	if !time.Now().Before(first.NotAfter) {
		t.Errorf("renewed after the first certificate had ended, at %v", first.NotAfter)
	}
	if early := first.NotAfter.Sub(second.NotBefore); early > 5*time.Second {
		t.Errorf("renewed %v before the end of 9 s, want a third", early)
	}
	if same, err := ask(); err != nil || !same {
		t.Errorf("the connection opened before: got the same %t, %v, want it to go on", same, err)
	}
}

// kept returns a function that sends a request on one connection. It reports whether
// that connection was already open.
func (w *acmeWorld) kept() (ask func() (same bool, err error)) {
	t := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{ServerName: certified,
		InsecureSkipVerify: true}}
	w.t.Cleanup(t.CloseIdleConnections)
	return func() (same bool, err error) {
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { same = c.Reused }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet,
			w.gateway.URL()+"/health", nil)
		if err != nil {
			return false, err
		}
		answer, err := (&http.Client{Transport: t}).Do(r)
		if err != nil {
			return false, err
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return same, err
	}
}

// TestACMERefused: when the authority cannot see that the host is ours, the list shows
// its words, and it is not asked again at once.
func TestACMERefused(t *testing.T) {
	slow.Test(t, "it waits for an authority that refuses")
	t.Parallel()
	w := newACMEWorld(t, 0)
	w.settings = append(w.settings, w.overHTTP())
	w.dns.Addrs(certified)
	w.dns.Behave(certified, fakedns.Denying)
	w.start()
	until(t, "the refusal", func() bool { _, c := w.list(); return c.Error != "" })
	_, c := w.list()
	if !strings.Contains(c.Error, "urn:ietf:params:acme:error:") {
		t.Errorf("error: got %q, want what the authority said", c.Error)
	}
	if wait := time.Until(c.Next.Time); wait < time.Minute {
		t.Errorf("the next try is in %v, want a minute or more: authorities count refusals", wait)
	}
	orders := w.authority.Asked("POST /order-plz")
	w.stop()
	w.start()
	until(t, "the list after a restart", func() bool { _, c := w.list(); return c.Error != "" })
	if _, c := w.list(); time.Until(c.Next.Time) < 30*time.Second || w.authority.Asked("POST /order-plz") != orders {
		t.Errorf("after a restart: next try at %v, %d orders, want the pause to go on and %d orders", c.Next,
			w.authority.Asked("POST /order-plz"), orders)
	}
}

// TestACMEInDNSRefused: when the name server refuses the gateway's updates, its answer is
// in the list. Once it accepts them, the gateway gets its certificate.
func TestACMEInDNSRefused(t *testing.T) {
	slow.Test(t, "it runs an authority for certificates")
	t.Parallel()
	w := newACMEWorld(t, 0)
	w.settings = w.inDNS()
	w.dns.Addrs(certified)
	w.dns.Behave("shop.example", fakedns.Refusing)
	w.start()
	until(t, "the refusal", func() bool { _, c := w.list(); return c.Error != "" })
	if list, c := w.list(); !strings.Contains(c.Error, "REFUSED") || list.Challenge != "dns-01" ||
		c.State != admin.CertificateMissing {
		t.Errorf("got %+v by %q, want none by dns-01, and the answer of the name server", c, list.Challenge)
	}
	w.dns.Behave("shop.example", fakedns.Answering)
	if _, err := w.operator().RenewCertificates(context.Background(), false); err != nil {
		t.Errorf("renew: got %v, want a certificate", err)
	}
	if err := w.trusted(); err != nil {
		t.Errorf("a caller who trusts the authority: %v", err)
	}
	if left := w.dns.Texts("_acme-challenge." + certified); len(left) != 0 {
		t.Errorf("DNS still has %q", left)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// patience is how long the test waits for one event, also on a busy machine. Only a
// test that fails waits that long.
const patience = 5 * time.Minute

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

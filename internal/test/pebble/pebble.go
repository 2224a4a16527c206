// Package pebble runs the program pebble, a certificate authority with ACME, for tests.
// It is a real authority, but its certificates are worth nothing elsewhere, and it
// forgets them when it ends.
package pebble

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/privateca"
)

// Options say where pebble finds the hosts that it certifies.
type Options struct {
	DNS      netip.AddrPort // name server for the hosts
	HTTPPort int            // the port that it calls for HTTP-01
	TLSPort  int            // the port that it calls for TLS-ALPN-01
	Validity time.Duration  // of a certificate, whole seconds; 0 means years
}

// Authority is one pebble. It can be stopped and started again at the same address;
// then it is a new authority without any accounts.
type Authority struct {
	Directory string // URL
	CAFile    string // the certificate of the authority for the server at Directory

	t       testing.TB
	program string
	config  string
	o       Options
	roots   string // URL of the root certificate of the authority
	http    *http.Client

	cmd *exec.Cmd
	log *log
}

// New finds the program, installs it if it may, and starts it.
func New(t testing.TB, o Options) *Authority {
	t.Helper()
	a := &Authority{t: t, program: find(t), o: o}
	dir := t.TempDir()
	ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Certificate(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	ports := Ports(t, 2)
	a.CAFile = ca.File
	a.Directory = fmt.Sprintf("https://127.0.0.1:%d/dir", ports[0])
	a.roots = fmt.Sprintf("https://127.0.0.1:%d/roots/0", ports[1])
	a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool},
		DisableKeepAlives: true}}
	a.config = filepath.Join(dir, "pebble.json")
	settings, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress":           fmt.Sprintf("127.0.0.1:%d", ports[0]),
		"managementListenAddress": fmt.Sprintf("127.0.0.1:%d", ports[1]),
		"certificate":             cert, "privateKey": key, "httpPort": o.HTTPPort, "tlsPort": o.TLSPort,
		"certificateValidityPeriod": int(o.Validity / time.Second),
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.config, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	a.Start()
	t.Cleanup(a.Stop)
	return a
}

// startTime is how long it may take to answer, also on a busy machine.
const startTime = 5 * time.Minute

// Start starts it and waits until it answers.
func (a *Authority) Start() {
	a.t.Helper()
	a.log = &log{}
	a.cmd = exec.Command(a.program, "-config", a.config, "-dnsserver", a.o.DNS.String())
	a.cmd.Env = []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0"}
	a.cmd.Stdout, a.cmd.Stderr = a.log, a.log
	if err := a.cmd.Start(); err != nil {
		a.t.Fatalf("start %s: %v", a.program, err)
	}
	deadline := time.Now().Add(startTime)
	for {
		_, err := a.get(a.Directory)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("pebble does not answer %v after its start: %v\n%s", startTime, err, a.log)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Stop kills it. It may be called when it is stopped already.
func (a *Authority) Stop() {
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Kill() // it may have ended; Wait reports that
	_ = a.cmd.Wait()         // killed, as intended
	a.cmd = nil
}

// Roots returns the pool that trusts its certificates.
func (a *Authority) Roots() *x509.CertPool {
	a.t.Helper()
	pem, err := a.get(a.roots)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		a.t.Fatalf("pebble has no root: %q", pem)
	}
	return pool
}

// Asked counts the requests for a path of its API since it was started.
func (a *Authority) Asked(path string) int { return a.log.count(path + " -> calling handler()") }

// Issued counts the certificates that it issued since its start. It refuses some
// requests so that clients repeat them, and so the number of orders is higher.
func (a *Authority) Issued() int { return a.log.count("Issued certificate serial ") }

func (a *Authority) get(url string) ([]byte, error) {
	r, err := a.http.Get(url)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, 1<<20))
}

// Ports returns ports of this machine that were free a moment ago, for programs
// that cannot choose one themselves.
func Ports(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, number)
	}
	return ports
}

const advice = "install it, for example with: apt-get install pebble"

// find returns the path of the program, and installs the program if it may.
func find(t testing.TB) string {
	t.Helper()
	if program, err := exec.LookPath("pebble"); err == nil {
		return program
	}
	if os.Geteuid() != 0 {
		t.Fatalf("pebble is needed for this test; %s", advice)
	}
	fmt.Fprintln(os.Stderr, "The tests need pebble. You are root, so it is installed now: apt-get install pebble")
	install := exec.Command("sh", "-c", "apt-get update -qq && apt-get install -y -qq --no-install-recommends pebble")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("pebble is needed for this test and could not be installed (%v); %s\n%s", err, advice, out)
	}
	program, err := exec.LookPath("pebble")
	if err != nil {
		t.Fatalf("pebble is needed for this test: %v; %s", err, advice)
	}
	return program
}

// log is the output of the program.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(text))
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

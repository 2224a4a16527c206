// Package testnet is a small internet for tests: several gateways as the program
// runs them, a name server and an authority for certificates, in one process.
package testnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/privateca"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// Net is an internet with its name server and its authority for certificates.
type Net struct {
	DNS *fakedns.Server
	t   testing.TB
	ca  *privateca.Authority
	dir string

	mu       sync.Mutex
	gateways map[amtp.Domain]*Gateway
	people   map[string]*Person
}

// New makes an internet that lasts as long as the test.
func New(t testing.TB) *Net {
	t.Helper()
	n := &Net{DNS: fakedns.New(t), t: t, dir: t.TempDir(), gateways: make(map[amtp.Domain]*Gateway),
		people: make(map[string]*Person)}
	var err error
	if n.ca, err = privateca.New(filepath.Join(n.dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	return n
}

// Gateway is the gateway of one domain, as the program runs it. It has a certificate for
// amtp.{domain}, and its domain's records are in DNS.
type Gateway struct {
	Domain amtp.Domain
	Dir    string // its data

	net      *Net
	cert     string // files, the same after a restart
	key      string
	apart    bool // it is not in DNS, and trusts no authority of this internet
	silent   bool // it asks for no receipts
	settings []string
	address  string // host:port, the same after a restart
	app      *app.App
	stop     context.CancelFunc
	ended    chan error
	log      buffer
}

// Start runs a gateway for the domain, with more settings NAME=value, and
// publishes it.
func (n *Net) Start(domain string, settings ...string) *Gateway {
	n.t.Helper()
	d, err := amtp.ParseDomain(domain)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.start(&Gateway{Domain: d, Dir: filepath.Join(n.dir, domain), settings: settings})
}

// StartApart runs a gateway that is not published, trusts only the authorities of the
// system and calls only public addresses.
func (n *Net) StartApart(domain string, settings ...string) *Gateway {
	n.t.Helper()
	d, err := amtp.ParseDomain(domain)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.start(&Gateway{Domain: d, Dir: filepath.Join(n.dir, domain), settings: settings, apart: true})
}

func (n *Net) start(g *Gateway) *Gateway {
	n.t.Helper()
	g.net, g.address = n, "127.0.0.1:0"
	n.mu.Lock()
	n.gateways[g.Domain] = g
	n.mu.Unlock()
	g.Run()
	if !g.apart {
		g.Publish()
	}
	n.t.Cleanup(func() {
		g.Stop()
		if n.t.Failed() {
			n.t.Logf("log of %s:\n%s", g.Domain, g.log.String())
		}
	})
	return g
}

// Run starts a stopped gateway again, at the same address and with the same data.
func (g *Gateway) Run(settings ...string) {
	t := g.net.t
	t.Helper()
	if g.cert == "" {
		dir, host := g.net.dir, g.host()
		if g.apart { // each has a file of that name
			dir = g.Dir + "-certificate"
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if g.cert, g.key, err = g.net.ca.Certificate(dir, host); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{
		"AMTP_SERVER_ADDRESS=" + g.address, "AMTP_DATA_DIR=" + g.Dir, "AMTP_DOMAIN=" + string(g.Domain),
		"AMTP_TLS_CERT_FILE=" + g.cert, "AMTP_TLS_KEY_FILE=" + g.key,
		"AMTP_DNS_RESOLVERS=" + g.net.DNS.Addr().String(),
	}
	if !g.apart {
		environ = append(environ, "AMTP_OUTBOUND_ALLOW=127.0.0.0/8", "AMTP_OUTBOUND_CA_FILE="+g.net.ca.File)
	}
	environ = append(append(environ, g.settings...), settings...)
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	if g.app, err = app.New(cfg, slog.New(slog.NewTextHandler(&g.log, nil))); err != nil {
		t.Fatal(err)
	}
	_, g.address, _ = strings.Cut(g.app.URL(), "://")
	ctx, stop := context.WithCancel(context.Background())
	g.stop, g.ended = stop, make(chan error, 1)
	go func(a *app.App, ended chan<- error) { ended <- a.Run(ctx) }(g.app, g.ended)
}

// host is the name in the gateway's certificate.
func (g *Gateway) host() string {
	if g.apart {
		return "127.0.0.1"
	}
	return "amtp." + string(g.Domain)
}

// Stop ends the gateway as SIGTERM does. Its domain stays published.
func (g *Gateway) Stop() {
	if g.app == nil {
		return
	}
	g.stop()
	if err := <-g.ended; err != nil {
		g.net.t.Errorf("run %s: %v", g.Domain, err)
	}
	if err := g.app.Close(); err != nil {
		g.net.t.Errorf("close %s: %v", g.Domain, err)
	}
	g.app = nil
}

// ttl is that of published records, the shortest that a gateway accepts.
const ttl = time.Minute

// Publish puts the gateway's records into DNS: its URL, that it signs, and every key that it
// has.
func (g *Gateway) Publish() {
	g.net.t.Helper()
	_, port, err := net.SplitHostPort(g.address)
	if err != nil {
		g.net.t.Fatal(err)
	}
	host := "amtp." + string(g.Domain)
	g.net.DNS.Addrs(host, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	g.net.DNS.TXT("_amtp."+string(g.Domain), ttl, fmt.Sprintf("v=amtp1;gateway=https://%s:%s;auth=sig%s", host, port,
		g.features()))
	keys, err := g.Operator().SigningKeys(context.Background())
	if err != nil {
		g.net.t.Fatal(err)
	}
	for _, k := range keys.Keys {
		g.net.DNS.TXT(k.Name, ttl, k.Record)
	}
}

// AskNothing publishes the gateway without any features, as one that knows no receipts. It
// must be called before the gateway is looked up for the first time.
func (g *Gateway) AskNothing() {
	g.silent = true
	g.Publish()
}

// features is the part of the record after auth.
func (g *Gateway) features() string {
	if g.silent {
		return ""
	}
	return ";features=" + amtp.FeatureReceipts
}

// URL returns where the gateway is reached on this machine.
func (g *Gateway) URL() string { return "https://" + g.address }

// Log returns what the gateway has logged.
func (g *Gateway) Log() string { return g.log.String() }

// Client returns a client that trusts this internet's authority and has no key.
func (g *Gateway) Client() *amtp.Client {
	return &amtp.Client{URL: g.URL(), HTTP: g.net.reach(g.host())}
}

// HTTP makes connections to a gateway, whatever host the URL names.
func (n *Net) HTTP(d amtp.Domain) *http.Client { return n.reach("amtp." + string(d)) }

// reach makes connections to the gateway whose certificate is for the host.
func (n *Net) reach(host string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: n.Roots(), ServerName: host},
		ForceAttemptHTTP2: true,
	}}
}

// Roots returns the authority of this internet.
func (n *Net) Roots() *x509.CertPool { return n.ca.Pool }

// Operator returns a client with the admin key.
func (g *Gateway) Operator() *admin.Client {
	g.net.t.Helper()
	key, err := os.ReadFile(filepath.Join(g.Dir, "admin.key"))
	if err != nil {
		g.net.t.Fatal(err)
	}
	c := g.Client()
	c.AdminKey = strings.TrimSpace(string(key))
	return &admin.Client{Client: *c}
}

// buffer is a log that is written and read at the same time.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was written.
func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

package courier_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/courier"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/outbound"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// canary is in every text that a peer sends.
const canary = "canary-text"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	msgID  = "019b1d3e-7c00-7000-8000-000000000001"
	domain = "b.example"
)

// peer is the gateway of b.example, which answers as a test wants.
type peer struct {
	*httptest.Server
	dns    *fakedns.Server
	t      *testing.T
	memory memory
	log    buffer

	mu    sync.Mutex
	posts []post
}

// post is a request that arrived.
type post struct {
	header http.Header
	body   string
	proto  string
}

func newPeer(t *testing.T, answer http.HandlerFunc) *peer {
	t.Helper()
	p := &peer{t: t, dns: fakedns.New(t)}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read a post: %v", err)
		}
		p.mu.Lock()
		p.posts = append(p.posts, post{r.Header, string(body), r.Proto})
		p.mu.Unlock()
		w.Header().Set("X-Note", canary)
		answer(w, r)
	}))
	p.EnableHTTP2 = true
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.StartTLS()
	t.Cleanup(p.Close)
	p.publish("")
	return p
}

// publish puts the record of the peer into DNS, with more tags.
func (p *peer) publish(tags string) {
	p.dns.TXT("_amtp."+domain, time.Minute, "v=amtp1;gateway="+p.at()+tags)
}

// at is the peer's URL, with a name that its certificate has.
func (p *peer) at() string {
	return fmt.Sprintf("https://example.com:%d", netip.MustParseAddrPort(p.Listener.Addr().String()).Port())
}

func (p *peer) arrived() []post {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]post(nil), p.posts...)
}

// options are options with which the peer can be reached.
func (p *peer) options() outbound.Options {
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	return outbound.Options{
		Allow: []outbound.Rule{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}, Roots: roots, Version: "test",
		MaxBody: 1 << 16,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	}
}

// courier returns a courier that asks the peer's name server.
func (p *peer) courier(o outbound.Options) *courier.Remote {
	p.t.Helper()
	servers := []netip.AddrPort{p.dns.Addr()}
	resolver := &discovery.DNS{Servers: func() ([]netip.AddrPort, error) { return servers, nil }, Timeout: time.Second}
	finder, err := discovery.New(discovery.Options{Resolver: resolver, Now: time.Now})
	if err != nil {
		p.t.Fatal(err)
	}
	client := outbound.New(o)
	p.t.Cleanup(client.CloseIdleConnections)
	return &courier.Remote{
		Finder: finder, Client: client, Memory: &p.memory, Log: slog.New(slog.NewTextHandler(&p.log, nil)),
		Signer: func() *amtp.Signer { return nil }, Now: func() time.Time { return noon },
	}
}

// memory is the memory of a store about other domains.
type memory struct {
	signed time.Time // when the last signed message came
	err    error
	asked  atomic.Int32
}

func (m *memory) SenderDomain(_ context.Context, d amtp.Domain) (gateway.SenderDomain, error) {
	m.asked.Add(1)
	return gateway.SenderDomain{Domain: d, LastSigned: m.signed}, m.err
}

// buffer is a log to which several goroutines write at the same time.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newSigner(t *testing.T) *amtp.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := amtp.NewSigner("s1", key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func address(t *testing.T, s string) amtp.Address {
	t.Helper()
	a, err := amtp.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// parcel is a message to local parts at b.example; its deliveries are numbered from 1.
func parcel(t *testing.T, to ...string) gateway.Parcel {
	t.Helper()
	return written(t,
		`{"sender":"alice@a.example","recipients":["bob@b.example"],"idempotency_key":"550e8400-e29b-41d4-a716-446655440000","payload":{"x":1}}`,
		to...)
}

func written(t *testing.T, body string, to ...string) gateway.Parcel {
	t.Helper()
	p := gateway.Parcel{
		Job: gateway.Job{ID: 7, Fence: 1, Attempts: 1, Destination: domain, Begun: noon, Class: gateway.ClassAgent,
			SenderAgent: 1},
		Envelope: gateway.Envelope{ID: msgID, Sender: address(t, "alice@a.example"), Timestamp: noon},
		Body:     []byte(body),
	}
	for i, name := range to {
		p.Recipients = append(p.Recipients, gateway.Delivery{ID: gateway.DeliveryID(i + 1),
			Recipient: address(t, name+"@"+domain), Further: i > 0})
	}
	return p
}

// says writes an outcome in words: event, code, patience, and the needs of the next
// attempt.
func says(o gateway.Outcome) string {
	words := []string{o.Event.String()}
	if o.Code != "" {
		words = append(words, string(o.Code))
	}
	if o.Patience.Tries > 0 {
		words = append(words, fmt.Sprintf("%d tries", o.Patience.Tries))
	}
	if o.Patience.For > 0 {
		words = append(words, "for "+o.Patience.For.String())
	}
	if o.RetryAfter > 0 {
		words = append(words, "after "+o.RetryAfter.String())
	}
	if o.Rekey {
		words = append(words, "rekey")
	}
	return strings.Join(words, " ")
}

// check compares the outcomes of the recipients, in the order of their numbers.
func check(t *testing.T, c gateway.Carriage, want ...string) {
	t.Helper()
	got := make(map[gateway.DeliveryID]gateway.Outcome)
	for _, o := range c.Outcomes {
		if _, twice := got[o.Delivery]; twice {
			t.Errorf("delivery %d has two outcomes", o.Delivery)
		}
		got[o.Delivery] = o
		if strings.Contains(strings.ToLower(o.Reason), canary) || strings.Contains(o.Reason, "127.0.0.1") {
			t.Errorf("the reason repeats what the other side said, or where it is: %q", o.Reason)
		}
		if o.Event != gateway.Success && (o.Reason == "" || o.Code == "") {
			t.Errorf("an outcome without a reason or a code: %+v", o)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d recipients have an outcome, want %d", len(got), len(want))
	}
	for i, w := range want {
		if s := says(got[gateway.DeliveryID(i+1)]); s != w {
			t.Errorf("recipient %d: %q, want %q", i+1, s, w)
		}
	}
}

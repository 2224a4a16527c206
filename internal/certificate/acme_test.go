package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// made makes a certificate for a host and a time, in the form of files.
func made(t *testing.T, host string, from, to time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, "key", err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, "serial", err)
	template := &x509.Certificate{SerialNumber: serial, DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(t, "certificate", err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, "key", err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func expired(t *testing.T) (cert, key []byte) {
	return made(t, "amtp.shop.example", time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
}

// closed is an authority that cannot be reached.
type closed struct{ calls atomic.Int64 }

var errClosed = errors.New("there is no network")

func (c *closed) RoundTrip(*http.Request) (*http.Response, error) {
	c.calls.Add(1)
	return nil, errClosed
}

func newACME(t *testing.T, s Store, authority http.RoundTripper, hosts ...string) *ACME {
	t.Helper()
	seal, err := gateway.NewSeal(bytes.Repeat([]byte{1}, gateway.SealKeySize))
	must(t, "seal", err)
	directory := "https://ca.example/dir"
	if ca, ok := authority.(*renewing); ok { // acmez keeps one directory for each URL in a process
		directory, authority = directory+"?renewals", ca.authority
	}
	a, err := NewACME(t.Context(), ACMEOptions{
		Hosts: hosts, Directory: directory, HTTP: true, Client: &http.Client{Transport: authority},
		Version: "test",
		Store:   s, Seal: seal, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	must(t, "NewACME", err)
	return a
}

// put stores a certificate.
func put(t *testing.T, a *ACME, host string, cert, key []byte) {
	t.Helper()
	at := siteOf(a.issuer.IssuerKey(), host)
	must(t, "store", a.storage.Replace(t.Context(), at.dir, map[string][]byte{at.chain: cert, at.key: key}))
}

func show(a *ACME, name string) (string, error) {
	c, err := a.Certificate(&tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"h2"}})
	if err != nil {
		return "", err
	}
	return c.Leaf.DNSNames[0], nil
}

// TestShown: each host has its certificate. A caller that names another host, or none,
// is shown that of the first.
func TestShown(t *testing.T) {
	s := newStore(t)
	a := newACME(t, s, &closed{}, "amtp.shop.example", "www.shop.example")
	if _, err := show(a, "amtp.shop.example"); !errors.Is(err, ErrNone) {
		t.Errorf("without any: got %v, want ErrNone", err)
	}
	for _, host := range a.o.Hosts {
		cert, key := made(t, host, time.Now(), time.Now().Add(time.Hour))
		put(t, a, host, cert, key)
	}
	a = newACME(t, s, &closed{}, a.o.Hosts...) // another start
	for name, want := range map[string]string{
		"amtp.shop.example": "amtp.shop.example", "WWW.shop.example.": "www.shop.example",
		"other.example": "amtp.shop.example", "": "amtp.shop.example",
	} {
		if got, err := show(a, name); err != nil || got != want {
			t.Errorf("who names %q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestAnotherGatewayRenewed: a certificate that another gateway on the store obtained
// is used, and the authority is not asked.
func TestAnotherGatewayRenewed(t *testing.T) {
	s, authority := newStore(t), &closed{}
	a := newACME(t, s, authority, "amtp.shop.example")
	b := newACME(t, s, authority, "amtp.shop.example")
	cert, key := made(t, "amtp.shop.example", time.Now(), time.Now().Add(time.Hour))
	put(t, b, "amtp.shop.example", cert, key)
	if changed, err := a.Renew(t.Context(), false); !changed || err != nil {
		t.Errorf("renew: got %t, %v, want the other gateway's certificate", changed, err)
	}
	if n := authority.calls.Load(); n != 0 {
		t.Errorf("the authority was asked %d times, want never", n)
	}
}

// TestHalfStored: a certificate with another key counts as missing, and the gateway
// that holds the lock obtains it again.
func TestHalfStored(t *testing.T) {
	s, authority := newStore(t), &closed{}
	a := newACME(t, s, authority, "amtp.shop.example")
	cert, _ := made(t, "amtp.shop.example", time.Now(), time.Now().Add(time.Hour))
	_, key := made(t, "amtp.shop.example", time.Now(), time.Now().Add(time.Hour))
	put(t, a, "amtp.shop.example", cert, key)
	if _, err := a.Renew(t.Context(), false); !errors.Is(err, errClosed) {
		t.Errorf("renew: got %v, want the authority to be asked", err)
	}
	if c := a.List().Certificates[0]; c.State != admin.CertificateMissing || c.Error == "" || c.Next.IsZero() {
		t.Errorf("list: got %+v, want a missing one with the error and the next try", c)
	}
	if kept(t, a.storage, siteOf(a.issuer.IssuerKey(), "amtp.shop.example").chain) {
		t.Error("the half that does not fit is still stored")
	}
}

// TestPatience: after a failure the authority is not asked until the next try is due,
// also by a gateway that starts meanwhile, except on request.
func TestPatience(t *testing.T) {
	s, authority := newStore(t), &closed{}
	a := newACME(t, s, authority, "amtp.shop.example")
	if _, err := a.keep(t.Context(), "amtp.shop.example", patiently); !errors.Is(err, errClosed) {
		t.Fatalf("the first attempt: got %v, want the network's error", err)
	}
	first := authority.calls.Load()
	b := newACME(t, s, authority, "amtp.shop.example")
	if _, err := b.keep(t.Context(), "amtp.shop.example", patiently); err != nil || authority.calls.Load() != first {
		t.Errorf("at another gateway, at once: got %v and %d calls, want none more than %d", err,
			authority.calls.Load(), first)
	}
	if c := b.List().Certificates[0]; c.Error == "" {
		t.Error("the other gateway does not tell of the failure")
	}
	if _, err := b.keep(t.Context(), "amtp.shop.example", promptly); !errors.Is(err, errClosed) ||
		authority.calls.Load() == first {
		t.Errorf("on request: got %v and %d calls, want another attempt", err, authority.calls.Load())
	}
	if n := b.notes["amtp.shop.example"]; n.Tries != 2 {
		t.Errorf("tries in a row: got %d, want 2", n.Tries)
	}
}

// TestOneFails: of several gateways that need a certificate at the same time, one
// finds that the authority is away, and the others wait with it.
func TestOneFails(t *testing.T) {
	slow.Test(t, "it waits for a failure")
	s, alone, authority := newStore(t), &closed{}, &closed{}
	// fails, to be counted
	_, _ = newACME(t, newStore(t), alone, "amtp.shop.example").keep(t.Context(), "amtp.shop.example", patiently)
	var wg sync.WaitGroup
	for range 3 {
		a := newACME(t, s, authority, "amtp.shop.example")
		wg.Go(func() {
			if _, err := a.keep(t.Context(), "amtp.shop.example", patiently); err != nil && !errors.Is(err, errClosed) {
				t.Errorf("keep: got %v, want the network's error or none", err)
			}
			if c := a.List().Certificates[0]; c.Error == "" {
				t.Error("a gateway does not tell of the failure")
			}
		})
	}
	wg.Wait()
	if got, want := authority.calls.Load(), alone.calls.Load(); got != want || want == 0 {
		t.Errorf("three gateways made %d calls, want the %d of one attempt", got, want)
	}
}

func TestPause(t *testing.T) {
	refused := acme.Problem{Type: acme.ProblemTypeUnauthorized}
	limited := acme.Problem{Type: acme.ProblemTypeRateLimited}
	for _, c := range []struct {
		tries int
		err   error
		want  time.Duration
	}{
		{1, errClosed, 10 * time.Second}, {2, errClosed, 20 * time.Second}, {7, errClosed, 10 * time.Minute},
		{1000, errClosed, 10 * time.Minute},
		{1, refused, 2 * time.Minute}, {5, refused, 32 * time.Minute}, {6, refused, time.Hour}, {1, limited, time.Hour},
		{1, short{untimely{errClosed}}, time.Hour}, {3, untimely{errClosed}, 4 * time.Hour},
		{9, untimely{errClosed}, 24 * time.Hour},
	} {
		for range 20 {
			if got := pause(c.tries, c.err); got < c.want*3/4 || got > c.want*5/4 {
				t.Errorf("after %d failures with %v: got %v, want %v and a quarter less or more", c.tries,
					c.err, got, c.want)
			}
		}
	}
}

// TestChallengeOverHTTP: any gateway on the store gives the answer to an open question,
// and no other answer.
func TestChallengeOverHTTP(t *testing.T) {
	s := newStore(t)
	asked, other := newACME(t, s, &closed{}, "amtp.shop.example"), newACME(t, s, &closed{}, "amtp.shop.example")
	question := acme.Challenge{Type: acme.ChallengeTypeHTTP01, Token: "token-1", KeyAuthorization: "token-1.thumb",
		Identifier: acme.Identifier{Type: "dns", Value: "amtp.shop.example"}}
	ask := func(method, target string) (int, string) {
		w := httptest.NewRecorder()
		other.Challenges().ServeHTTP(w, httptest.NewRequest(method, target, nil))
		b, err := io.ReadAll(w.Body)
		must(t, "read", err)
		return w.Code, string(b)
	}
	if code, _ := ask("GET", challengePath+"token-1"); code != http.StatusNotFound {
		t.Errorf("before the question: got %d, want 404", code)
	}
	must(t, "present", asked.challenges.Present(t.Context(), question))
	if code, body := ask("GET", challengePath+"token-1"); code != http.StatusOK || body != "token-1.thumb" {
		t.Errorf("the open question: got %d %q, want 200 token-1.thumb", code, body)
	}
	for _, target := range []string{challengePath, challengePath + "token-2", challengePath + "token-1/",
		"/v1/messages", "/token-1", "/"} {
		if code, _ := ask("GET", target); code != http.StatusNotFound {
			t.Errorf("GET %s: got %d, want 404", target, code)
		}
	}
	if code, _ := ask("POST", challengePath+"token-1"); code != http.StatusNotFound {
		t.Errorf("POST: got %d, want 404", code)
	}
	must(t, "clean up", asked.challenges.CleanUp(t.Context(), question))
	if code, _ := ask("GET", challengePath+"token-1"); code != http.StatusNotFound {
		t.Errorf("after the question: got %d, want 404", code)
	}
}

// handshake returns the certificate that a caller is shown, or the reason why none is
// shown.
func handshake(a *ACME, name string, protocols []string) (*x509.Certificate, error) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	var refused error
	served := make(chan struct{})
	go func() {
		defer close(served)
		server := tls.Server(far, &tls.Config{NextProtos: append([]string{"h2"}, a.Protocols()...),
			GetCertificate: func(hello *tls.ClientHelloInfo) (c *tls.Certificate, err error) {
				c, refused = a.Certificate(hello)
				return c, refused
			}})
		if server.Handshake() != nil {
			far.Close()
		}
	}()
	client := tls.Client(near, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true})
	err := client.Handshake()
	if err == nil {
		near.Close() // the server may still write
	}
	<-served
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	return client.ConnectionState().PeerCertificates[0], nil
}

// TestChallengeOverTLS: only an authority, for one of our hosts, while a question is
// open, is shown its answer.
func TestChallengeOverTLS(t *testing.T) {
	a := newACME(t, newStore(t), &closed{}, "amtp.shop.example")
	a.challenges.tells, a.o.HTTP = acme.ChallengeTypeTLSALPN01, false
	question := acme.Challenge{Type: acme.ChallengeTypeTLSALPN01, Token: "t", KeyAuthorization: "t.thumb",
		Identifier: acme.Identifier{Type: "dns", Value: "amtp.shop.example"}}
	ask := func(name string, protocols ...string) error {
		shown, err := handshake(a, name, protocols)
		if err == nil && shown.Subject.CommonName != "ACME challenge" {
			t.Errorf("who asks for %q was shown %v", name, shown.Subject)
		}
		return err
	}
	if ask("amtp.shop.example", acmez.ACMETLS1Protocol) == nil {
		t.Error("before the question: got an answer")
	}
	must(t, "present", a.challenges.Present(t.Context(), question))
	if err := ask("amtp.shop.example", acmez.ACMETLS1Protocol); err != nil {
		t.Errorf("the open question: got %v, want its answer", err)
	}
	if ask("other.example", acmez.ACMETLS1Protocol) == nil {
		t.Error("for another host: got an answer")
	}
	if err := ask("amtp.shop.example", "h2", acmez.ACMETLS1Protocol); !errors.Is(err, ErrNone) {
		t.Errorf("who offers other protocols, too: got %v, want what any caller gets", err)
	}
}

// TestNoteIsStored in the form in which it is read.
func TestNoteIsStored(t *testing.T) {
	a := newACME(t, newStore(t), &closed{}, "amtp.shop.example")
	long := errors.New(string(bytes.Repeat([]byte("é"), 1000)))
	must(t, "remember", a.remember(t.Context(), "amtp.shop.example", long))
	n, err := a.recall(t.Context(), "amtp.shop.example")
	must(t, "recall", err)
	if len(n.Error) > errorBytes+len("…") || n.Tries != 1 || !json.Valid([]byte(`"`+n.Error+`"`)) {
		t.Errorf("got %+v, want one try with a short error", n)
	}
	must(t, "success", a.remember(t.Context(), "amtp.shop.example", nil))
	if kept(t, a.storage, noteName(a.issuer.IssuerKey(), "amtp.shop.example")) {
		t.Error("after a success the note is still there")
	}
}

// TestPauseOfAClockThatWasAhead: a pause set by a clock that was ahead is ignored once
// the clock is right.
func TestPauseOfAClockThatWasAhead(t *testing.T) {
	const host = "amtp.shop.example"
	a := newACME(t, newStore(t), &closed{}, host)
	for _, c := range []struct {
		next   time.Duration
		wanted bool
	}{{-time.Minute, true}, {time.Hour, false}, {24 * time.Hour, false}, {400 * 24 * time.Hour, true}} {
		a.notes[host] = note{Tries: 3, Next: time.Now().Add(c.next)}
		if got := a.wanted(host, patiently); got != c.wanted {
			t.Errorf("with a pause of %v the authority is asked: %v, want %v", c.next, got, c.wanted)
		}
	}
}

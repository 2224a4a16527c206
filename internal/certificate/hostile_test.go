package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/amtp-go/amtp/admin"
)

// authority is an authority that certifies every host without a check, and in any way
// that the test wants. It verifies no signatures.
type authority struct {
	template func(host string) *x509.Certificate
	otherKey bool                        // certifies a key that no gateway has
	refusal  *acme.Problem               // of every order
	ordered  func(order int)             // is told of each order before it is answered
	window   func() (from, to time.Time) // in which it suggests a renewal; nil for none

	mu       sync.Mutex
	asked    int    // for a suggestion
	replaced string // by the last order
	orders   int
	host     string
	chain    []byte
}

// renewing is an authority that suggests when to renew.
type renewing struct{ *authority }

func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	const base = "https://ca.example"
	var signed struct{ Payload string }
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&signed) // what is no request has no payload
	}
	payload, err := base64.RawURLEncoding.DecodeString(signed.Payload)
	if err != nil {
		return nil, err
	}
	order := map[string]any{"status": "ready", "authorizations": []string{base + "/authz"},
		"finalize": base + "/finalize"}
	switch r.URL.Path {
	case "/dir":
		dir := map[string]string{"newNonce": base + "/nonce", "newAccount": base + "/account",
			"newOrder": base + "/order"}
		if a.window != nil {
			dir["renewalInfo"] = base + "/renewal"
		}
		return a.answer(r, 200, dir)
	case "/account":
		return a.answer(r, 201, map[string]string{"status": "valid"})
	case "/order":
		var asked acme.Order
		if err := json.Unmarshal(payload, &asked); err != nil {
			return nil, err
		}
		a.mu.Lock()
		a.orders++
		n := a.orders
		a.host, a.replaced = asked.Identifiers[0].Value, asked.Replaces
		a.mu.Unlock()
		if a.ordered != nil {
			a.ordered(n)
		}
		if a.refusal != nil {
			return a.answer(r, 403, a.refusal)
		}
		order["identifiers"] = asked.Identifiers
		return a.answer(r, 201, order)
	case "/authz":
		return a.answer(r, 200, map[string]any{"status": "valid",
			"identifier": acme.Identifier{Type: "dns", Value: a.host}})
	case "/finalize":
		order["status"], order["certificate"] = "valid", base+"/chain"
		order["identifiers"] = []acme.Identifier{{Type: "dns", Value: a.host}}
		if err := a.certify(payload); err != nil {
			return nil, err
		}
		return a.answer(r, 200, order)
	case "/chain":
		return a.answer(r, 200, a.chain)
	}
	if strings.HasPrefix(r.URL.Path, "/renewal/") {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked++
		from, to := a.window()
		return a.answer(r, 200, map[string]any{"suggestedWindow": map[string]time.Time{"start": from, "end": to}})
	}
	return a.answer(r, 200, nil)
}

func (a *authority) certify(payload []byte) error {
	var asked struct{ CSR string }
	if err := json.Unmarshal(payload, &asked); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(asked.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	var public crypto.PublicKey = csr.PublicKey
	if a.otherKey {
		public = &own.PublicKey
	}
	template := a.template(csr.DNSNames[0])
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	cert, err := x509.CreateCertificate(rand.Reader, template,
		&x509.Certificate{SerialNumber: big.NewInt(1), SubjectKeyId: []byte("authority")}, public, own)
	a.chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return err
}

func (a *authority) answer(r *http.Request, status int, v any) (*http.Response, error) {
	body, isPEM := v.([]byte)
	kind := "application/pem-certificate-chain"
	if !isPEM {
		kind = "application/json"
		if status >= 400 {
			kind = "application/problem+json"
		}
		var err error
		if body, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	h := http.Header{"Content-Type": {kind}, "Replay-Nonce": {rand.Text()}, "Location": {"https://ca.example/here"},
		"Retry-After": {"3600"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
}

func valid(from, to time.Duration) func(string) *x509.Certificate {
	return func(host string) *x509.Certificate {
		return &x509.Certificate{DNSNames: []string{host}, NotBefore: time.Now().Add(from),
			NotAfter: time.Now().Add(to)}
	}
}

// TestWhatServesNobodyIsRefused: a certificate from the authority replaces a working
// one only if it works. The authority is not asked again at once.
func TestWhatServesNobodyIsRefused(t *testing.T) {
	const host = "amtp.shop.example"
	elsewhere := func(string) *x509.Certificate { return valid(-time.Hour, time.Hour)("other.example") }
	for name, ca := range map[string]*authority{
		"expired":       {template: valid(-48*time.Hour, -time.Hour)},
		"not yet valid": {template: valid(48*time.Hour, 96*time.Hour)},
		"another host":  {template: elsewhere},
		"another key":   {template: valid(-time.Hour, time.Hour), otherKey: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			a := newACME(t, s, ca, host)
			cert, key := made(t, host, time.Now().Add(-80*time.Hour), time.Now().Add(10*time.Hour))
			put(t, a, host, cert, key)
			if _, err := a.keep(t.Context(), host, patiently); err == nil {
				t.Error("keep: got no error")
			}
			again := newACME(t, s, ca, host) // another start
			for _, a := range []*ACME{a, again} {
				if c := a.List().Certificates[0]; c.State != admin.CertificateValid || c.Hosts[0] != host ||
					c.Error == "" {
					t.Errorf("in use: got %+v, want the former one, and why it is", c)
				}
				if wait := a.until(host); wait < silentFirst/2 {
					t.Errorf("the authority is asked again in %v, want no sooner than %v", wait, silentFirst/2)
				}
			}
		})
	}
}

// TestDueAtOnce: an authority may issue certificates that are already due, as when a
// clock is wrong. It is not asked repeatedly.
func TestDueAtOnce(t *testing.T) {
	const host = "amtp.shop.example"
	a := newACME(t, newStore(t), &authority{template: valid(-80*time.Hour, 10*time.Hour)}, host)
	changed, err := a.keep(t.Context(), host, patiently)
	if !changed || err == nil {
		t.Errorf("keep: got %t, %v, want that the certificate is used, and an error", changed, err)
	}
	if wait := a.until(host); wait < silentFirst/2 {
		t.Errorf("the authority is asked again in %v, want no sooner than %v", wait, silentFirst/2)
	}
}

// TestReplicasFail: of several gateways on one store that wait for each other only one
// asks, also when the authority refuses, and its note stays.
func TestReplicasFail(t *testing.T) {
	const host = "amtp.shop.example"
	s := &watched{Store: newStore(t), waits: make(chan struct{}, 8)}
	ca := &authority{refusal: &acme.Problem{Type: acme.ProblemTypeUnauthorized, Detail: "no"}}
	a, b := newACME(t, s, ca, host), newACME(t, s, ca, host)
	var other sync.WaitGroup
	ca.ordered = func(n int) {
		if n > 1 {
			return
		}
		other.Go(func() {
			_, _ = b.keep(t.Context(), host, patiently) // whether it fails is not the question
		})
		<-s.waits
	}
	if _, err := a.keep(t.Context(), host, patiently); err == nil {
		t.Error("keep: got no error, want the refusal")
	}
	other.Wait()
	if ca.orders != 1 {
		t.Errorf("the authority was asked %d times, want once", ca.orders)
	}
	n, err := a.recall(t.Context(), host)
	must(t, "recall", err)
	if n.Tries != 1 {
		t.Errorf("the note says %d tries, want 1", n.Tries)
	}
	if wait := b.until(host); wait < refusedFirst/2 {
		t.Errorf("the other asks in %v, want no sooner than %v", wait, refusedFirst/2)
	}
}

// watched reports which gateways do not get a lease.
type watched struct {
	Store
	waits chan struct{}
}

func (w *watched) Hold(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	held, err := w.Store.Hold(ctx, name, owner, now, until)
	if !held && err == nil {
		w.waits <- struct{}{}
	}
	return held, err
}

// TestLongErrors: text of an authority is bounded wherever it appears.
func TestLongErrors(t *testing.T) {
	const host = "amtp.shop.example"
	a := newACME(t, newStore(t), &authority{refusal: &acme.Problem{Type: acme.ProblemTypeUnauthorized,
		Detail: strings.Repeat("no ", 100_000)}}, host)
	_, err := a.keep(t.Context(), host, patiently)
	if err == nil || len(err.Error()) > 2*errorBytes {
		t.Errorf("got an error of %d bytes, want one of %d at the most", len(err.Error()), 2*errorBytes)
	}
}

// TestChallengesOfOurHosts: an authority that names something other than one of our
// hosts writes and deletes nothing in the storage.
func TestChallengesOfOurHosts(t *testing.T) {
	const host = "amtp.shop.example"
	a := newACME(t, newStore(t), &closed{}, host)
	cert, key := made(t, host, time.Now(), time.Now().Add(time.Hour))
	put(t, a, host, cert, key)
	for _, value := range []string{"../../certificates", "../../accounts/" + a.issuer.IssuerKey() + "/nobody.key",
		"other.example", ""} {
		question := acme.Challenge{Token: "t", Identifier: acme.Identifier{Type: "dns", Value: value}}
		if a.challenges.Present(t.Context(), question) == nil {
			t.Errorf("present for %q: got no error", value)
		}
		if a.challenges.CleanUp(t.Context(), question) == nil {
			t.Errorf("clean up for %q: got no error", value)
		}
	}
	at := siteOf(a.issuer.IssuerKey(), host)
	if got, want := names(t, a.storage), []string{at.chain, at.key}; !slices.Equal(got, want) {
		t.Errorf("the storage holds %v, want %v as before", got, want)
	}
}

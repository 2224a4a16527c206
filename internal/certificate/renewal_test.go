package certificate

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// suggests is an authority that suggests a renewal around the time that a test sets.
func suggests(at *time.Time) *renewing {
	return &renewing{&authority{template: valid(-time.Hour, 89*time.Hour), window: func() (time.Time, time.Time) {
		return at.Add(-2 * time.Second), at.Add(2 * time.Second)
	}}}
}

// TestSuggestion: a certificate is renewed when the authority suggests it, and no
// later than without a suggestion. The authority is asked again when it said so, and
// is told which certificate the next one replaces.
func TestSuggestion(t *testing.T) {
	const host = "amtp.shop.example"
	at := time.Now().Add(20 * time.Hour)
	ca := suggests(&at)
	s := newStore(t)
	a := newACME(t, s, ca, host)
	if changed, err := a.keep(t.Context(), host, patiently); !changed || err != nil {
		t.Fatalf("obtain: got %t, %v, want a certificate", changed, err)
	}
	if next := a.List().Certificates[0].Next.Time; next.Sub(at).Abs() > 3*time.Second {
		t.Errorf("next renewal: got %v, want the suggested %v", next, at)
	}
	first, asked := a.leaf(host), ca.asked
	a = newACME(t, s, ca, host) // another start
	if _, err := a.keep(t.Context(), host, patiently); err != nil || ca.asked != asked || ca.orders != 1 {
		t.Errorf("before the time: got %v, %d suggestions and %d orders, want none more than %d and 1", err, ca.asked,
			ca.orders, asked)
	}

	at = time.Now().Add(-time.Minute) // a mass revocation
	ca.ordered = func(int) { at = time.Now().Add(20 * time.Hour) }
	stale(t, a, host)
	if changed, err := a.keep(t.Context(), host, patiently); !changed || err != nil || ca.asked < asked+2 {
		t.Errorf("renewed when suggested: got %t, %v, want another certificate", changed, err)
	}
	if id, err := acme.ARIUniqueIdentifier(first); err != nil || ca.replaced != id || ca.orders != 2 {
		t.Errorf("%d orders, of which the last replaces %q, want 2 and %q (%v)", ca.orders, ca.replaced, id, err)
	}

	ca.ordered = func(int) { at = time.Now().Add(-time.Minute) } // it wants a renewal always
	_, err := a.Renew(t.Context(), true)
	if !errors.As(err, new(untimely)) {
		t.Errorf("a certificate that is to be renewed at once: got %v, want an error that says so", err)
	}
	for range 3 {
		if _, err := a.keep(t.Context(), host, patiently); err != nil {
			t.Errorf("in the pause: got %v, want no error", err)
		}
	}
	if wait := a.until(host); ca.orders != 3 || wait < clockFirst/2 {
		t.Errorf("after that: %d orders and the next in %v, want 3 and %v at the least", ca.orders, wait, clockFirst/2)
	}
}

// TestSuggestionsAreSeldom: an authority that wants its suggestion read all the time is
// asked only at long intervals. When it does not answer, the former suggestion stays,
// and that is no failed attempt.
func TestSuggestionsAreSeldom(t *testing.T) {
	slow.Test(t, "the library waits seven seconds between its questions")
	t.Parallel()
	const host = "amtp.shop.example"
	at := time.Now().Add(20 * time.Hour)
	ca := suggests(&at)
	s := newStore(t)
	a := newACME(t, s, ca, host)
	_, err := a.keep(t.Context(), host, patiently)
	must(t, "obtain", err)
	asked := ca.asked
	for range 3 {
		stale(t, a, host)
		_, err := a.keep(t.Context(), host, patiently)
		must(t, "keep", err)
	}
	if ca.asked != asked+1 {
		t.Errorf("the authority was asked %d times more, want once", ca.asked-asked)
	}
	stale(t, a, host)
	before := a.due(host)
	a = newACME(t, s, ca, host)                                                   // another start
	ca.window = func() (time.Time, time.Time) { return time.Time{}, time.Time{} } // no answer
	if _, err := a.keep(t.Context(), host, patiently); err != nil || !a.due(host).Equal(before) {
		t.Errorf("without an answer: got %v, due at %v, want no error and %v", err, a.due(host), before)
	}
	if c := a.List().Certificates[0]; c.Error != "" || ca.orders != 1 {
		t.Errorf("without an answer: got error %q and %d orders, want none and 1", c.Error, ca.orders)
	}
}

// stale changes the stored suggestion so that it must be asked for again.
func stale(t *testing.T, a *ACME, host string) {
	t.Helper()
	name := a.site(host).facts
	b, err := a.storage.Load(t.Context(), name)
	must(t, "load the facts", err)
	var stored certmagic.CertificateResource
	must(t, "the facts", json.Unmarshal(b, &stored))
	var issued acme.Certificate
	must(t, "the facts", json.Unmarshal(stored.IssuerData, &issued))
	past := time.Now().Add(-time.Minute)
	issued.RenewalInfo.RetryAfter = &past
	stored.IssuerData, err = json.Marshal(issued)
	must(t, "encode", err)
	b, err = json.Marshal(stored)
	must(t, "encode", err)
	must(t, "store", a.storage.Store(t.Context(), name, b))
}

// TestSuggestionOfNothing: a time that lies before the certificate, after a third of
// its time is left, or that belongs to another certificate suggests nothing.
func TestSuggestionOfNothing(t *testing.T) {
	const host = "amtp.shop.example"
	at := time.Now().Add(20 * time.Hour)
	a := newACME(t, newStore(t), suggests(&at), host)
	_, err := a.keep(t.Context(), host, patiently)
	must(t, "obtain", err)
	leaf := a.leaf(host)
	for name, c := range map[string]time.Time{"before": leaf.NotBefore.Add(-time.Hour), "after": leaf.NotAfter,
		"never": {}} {
		a.hints[host] = acme.RenewalInfo{SelectedTime: c}
		if got := a.due(host); !got.Equal(renewal(leaf)) {
			t.Errorf("%s: due at %v, want %v", name, got, renewal(leaf))
		}
	}
	facts, err := a.storage.Load(t.Context(), a.site(host).facts)
	must(t, "load", err)
	if got := suggestion(facts, leaf); !got.HasWindow() {
		t.Error("its own: got no suggestion")
	}
	other := *leaf
	other.SerialNumber = leaf.SerialNumber.Add(leaf.SerialNumber, leaf.SerialNumber)
	for name, got := range map[string]acme.RenewalInfo{"another certificate's": suggestion(facts, &other),
		"no facts": suggestion(nil, leaf), "no issuer's": suggestion([]byte("{}"), leaf)} {
		if got.HasWindow() {
			t.Errorf("%s: got %+v, want no suggestion", name, got)
		}
	}
}

// TestStoredBeforeTheLibrary: a certificate that was stored without the library's facts
// is used until it is due, and then replaced.
func TestStoredBeforeTheLibrary(t *testing.T) {
	const host = "amtp.shop.example"
	s, ca := newStore(t), &authority{template: valid(-time.Hour, 89*time.Hour)}
	a := newACME(t, s, ca, host)
	cert, key := made(t, host, time.Now().Add(-80*time.Hour), time.Now().Add(10*time.Hour))
	put(t, a, host, cert, key)
	a = newACME(t, s, ca, host)
	if _, err := show(a, host); err != nil {
		t.Errorf("at the start: got %v, want the stored certificate", err)
	}
	before := a.leaf(host)
	if changed, err := a.keep(t.Context(), host, patiently); !changed || err != nil || a.leaf(host).Equal(before) {
		t.Errorf("when it is due: got %t, %v, want another", changed, err)
	}
}

// TestLibraryLog: the library logs its work at level debug, and no key.
func TestLibraryLog(t *testing.T) {
	const host = "amtp.shop.example"
	seal, err := gateway.NewSeal(bytes.Repeat([]byte{1}, gateway.SealKeySize))
	must(t, "seal", err)
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		var log bytes.Buffer
		s := newStore(t)
		a, err := NewACME(t.Context(), ACMEOptions{
			Hosts: []string{host}, Directory: "https://ca.example/dir", HTTP: true,
			Client: &http.Client{Transport: &authority{template: valid(-time.Hour, 89*time.Hour)}}, Version: "test",
			Store: s, Seal: seal, Now: time.Now,
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
		})
		must(t, "NewACME", err)
		_, err = a.keep(t.Context(), host, patiently)
		must(t, "obtain", err)
		if said := strings.Contains(log.String(), "certmagic: "); said != (level == slog.LevelDebug) {
			t.Errorf("at level %v the library's lines are in the log: %t", level, said)
		}
		if strings.Contains(log.String(), "PRIVATE KEY") || strings.Contains(log.String(), "level=ERROR") {
			t.Errorf("the log holds a key or an error:\n%s", &log)
		}
	}
	var log bytes.Buffer
	library := zap.New(core{log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	library.With(zap.Int("tries", 3)).Error("all", zap.Any("seal", struct{ Key string }{"hidden"}),
		zap.Binary("key", []byte("hidden")), zap.ByteString("pem", []byte("hidden")), zap.Error(errClosed),
		zap.Strings("names", []string{"a.example"}), zap.String("long", strings.Repeat("x", 10*errorBytes)))
	line := log.String()
	for _, want := range []string{"level=DEBUG", "tries=3", errClosed.Error(), "a.example"} {
		if !strings.Contains(line, want) {
			t.Errorf("the line lacks %q: %s", want, line)
		}
	}
	if strings.Contains(line, "hidden") || len(line) > 3*errorBytes {
		t.Errorf("the line holds a value that may be a key, or is too long: %s", line)
	}
}

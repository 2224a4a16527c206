package app_test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/operate"
	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// replica builds a gateway on a database, in dir, with more settings NAME=value.
func replica(t *testing.T, url, dir string, settings ...string) (*app.App, error) {
	t.Helper()
	environ := append([]string{"AMTP_DATABASE_URL=" + url, "AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DOMAIN=a.example",
		"AMTP_DNS_MOCK_MODE=true"}, settings...)
	if dir != "" {
		environ = append(environ, "AMTP_DATA_DIR="+dir)
	}
	cfg, _, err := config.Load(config.Sources{Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	return app.New(cfg, slog.New(slog.DiscardHandler))
}

// runs builds a replica and runs it for the length of the test.
func runs(t *testing.T, url, dir string, settings ...string) *app.App {
	t.Helper()
	a, err := replica(t, url, dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	runTheWhile(t, a)
	return a
}

// runTheWhile runs an application for the length of the test, or until stop is called.
func runTheWhile(t testing.TB, a *app.App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func sealKeyOf(t *testing.T, dir string) []byte {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func adminOf(t *testing.T, a *app.App, dir string) *admin.Client {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &admin.Client{Client: amtp.Client{URL: a.URL(), AdminKey: strings.TrimSpace(string(key))}}
}

// TestReplicas: two gateways on one database act as one. A change made through either
// holds for both, the administrator has one key, and both sign with the same key.
func TestReplicas(t *testing.T) {
	url, one, two, seal := pgtest.Database(t, "empty", nil), t.TempDir(), t.TempDir(),
		filepath.Join(t.TempDir(), "seal")
	first := runs(t, url, one)
	text := base64.StdEncoding.EncodeToString(sealKeyOf(t, one)) + "\n"
	if err := os.WriteFile(seal, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	second := runs(t, url, two, "AMTP_SEAL_KEY_FILE="+seal)
	ctx := t.Context()
	made, err := adminOf(t, first, one).Register(ctx, amtp.NewAgent{Address: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	alice := &amtp.Client{URL: second.URL(), Key: made.APIKey}
	sent, err := alice.Send(ctx, amtp.Message{Sender: made.Address, Recipients: []amtp.Address{made.Address},
		Subject: "to myself"})
	if err != nil {
		t.Fatalf("with a key of the other replica: %v", err)
	}
	alice.URL = first.URL()
	if page, err := alice.Inbox(ctx, made.Address, amtp.InboxQuery{}); err != nil || len(page.Messages) != 1 ||
		page.Messages[0].MessageID != sent.MessageID {
		t.Errorf("the inbox at the other replica is %+v, %v; want %s", page.Messages, err, sent.MessageID)
	}
	ours, err := adminOf(t, first, two).SigningKeys(ctx) // the key that the other replica wrote
	if err != nil {
		t.Fatalf("the administrator's key of the other replica: %v", err)
	}
	theirs, err := adminOf(t, second, one).SigningKeys(ctx)
	if err != nil || len(ours.Keys) != 1 || len(theirs.Keys) != 1 || ours.Keys[0].Record != theirs.Keys[0].Record {
		t.Errorf("they sign with %+v and %+v, %v; want one key", ours.Keys, theirs.Keys, err)
	}
}

// TestOtherSealKey: a gateway with another seal key is refused, with and without a
// domain of its own. The other replicas must be able to open what one of them seals.
func TestOtherSealKey(t *testing.T) {
	for _, domain := range []string{"a.example", "localhost"} {
		url, one := pgtest.Database(t, "empty", nil), t.TempDir()
		first, err := replica(t, url, one, "AMTP_DOMAIN="+domain)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		second, err := replica(t, url, t.TempDir(), "AMTP_DOMAIN="+domain)
		if err == nil {
			second.Close()
			t.Fatalf("%s: a replica with a seal key of its own starts, want a refusal", domain)
		}
		if !strings.Contains(err.Error(), "AMTP_SEAL_KEY_FILE") {
			t.Errorf("%s: %v, want the error to name AMTP_SEAL_KEY_FILE", domain, err)
		}
		if _, err = replica(t, url, t.TempDir(), "AMTP_SEAL_KEY_FILE=/nowhere/seal.key"); err == nil ||
			!strings.Contains(err.Error(), "/nowhere/seal.key") {
			t.Errorf("%s: a seal key that is not there: %v, want its name", domain, err)
		}
	}
}

// TestReplicaWithoutDirectory runs a gateway where nothing can be written.
func TestReplicaWithoutDirectory(t *testing.T) {
	url, one, seal := pgtest.Database(t, "empty", nil), t.TempDir(), filepath.Join(t.TempDir(), "seal.key")
	first := runs(t, url, one)
	if err := os.WriteFile(seal, sealKeyOf(t, one), 0o600); err != nil {
		t.Fatal(err)
	}
	second := runs(t, url, "", "AMTP_SEAL_KEY_FILE="+seal)
	if _, err := adminOf(t, second, one).SigningKeys(t.Context()); err != nil {
		t.Errorf("the administrator's key of the other replica: %v", err)
	}
	if first.URL() == second.URL() {
		t.Error("both have one address")
	}
}

// TestResetOfASharedSeal: when the seal key is lost, a reset lets the gateways start
// with another one.
func TestResetOfASharedSeal(t *testing.T) {
	url, one, two := pgtest.Database(t, "empty", nil), t.TempDir(), t.TempDir()
	first, err := replica(t, url, one)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_DATABASE_URL=" + url, "AMTP_DATA_DIR=" + two,
		"AMTP_DOMAIN=a.example"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operate.ResetKeys(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	second, err := replica(t, url, two)
	if err != nil {
		t.Fatalf("after the reset: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if first, err = replica(t, url, one); err == nil {
		first.Close()
		t.Error("a replica with the former seal key starts, want a refusal")
	}
}

package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// TestPeersAreNotNewAfterARestart: a host of many domains writes to a gateway that has
// just started and has no DNS answers in memory. What a domain proved before still
// counts.
func TestPeersAreNotNewAfterARestart(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := amtp.NewSigner("k1", private)
	if err != nil {
		t.Fatal(err)
	}
	const domains = 30 // three times as many as one address may have looked up in a minute
	dns, dir := fakedns.New(t), t.TempDir()
	for i := range domains {
		dns.TXT(fmt.Sprintf("k1._amtpkey.d%d.example", i), time.Hour, signer.KeyRecord().String())
	}
	cfg, _, err := config.Load(config.Sources{Environ: []string{
		"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + dir, "AMTP_DOMAIN=ours.example",
		"AMTP_DNS_RESOLVERS=" + dns.Addr().String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"198.51.%d.1", "203.0.113.7"} {
		a, err := app.New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for i := range domains {
			body, err := signer.Sign(fmt.Appendf(nil,
				`{"version":"1.0","message_id":"m%d","idempotency_key":"k","timestamp":"%s","sender":"ann@d%d.example","recipients":["nobody@ours.example"]}`,
				i, time.Now().UTC().Format(time.RFC3339), i))
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(string(body)))
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr = from + ":4711"
			if strings.Contains(from, "%d") { // before the restart, each domain was at another address
				r.RemoteAddr = fmt.Sprintf(from, i) + ":4711"
			}
			w := httptest.NewRecorder()
			a.Handler().ServeHTTP(w, r)
			if w.Code != http.StatusNotFound {
				t.Errorf("the answer to domain %d from %s is %d %s, want 404: no agent has that name", i, r.RemoteAddr,
					w.Code, w.Body)
			}
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

package app_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// TestAuthenticationBudget: a caller that makes the gateway look up ever new domains is
// told after ten of them to come later. Other callers and known domains are not
// affected.
func TestAuthenticationBudget(t *testing.T) {
	dns := fakedns.New(t)
	cfg, _, err := config.Load(config.Sources{Environ: []string{
		"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + t.TempDir(), "AMTP_DOMAIN=ours.example",
		"AMTP_DNS_RESOLVERS=" + dns.Addr().String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	// post sends an unsigned message of the domain to an unknown recipient, from the
	// address.
	post := func(domain, from string) (int, amtp.Error, http.Header) {
		body := fmt.Sprintf(`{"version":"1.0","sender":"ann@%s","recipients":["nobody@ours.example"]}`, domain)
		r := httptest.NewRequest("POST", "/v1/messages", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = from + ":4711"
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		var said struct{ Error amtp.Error }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
			t.Fatalf("the answer is no JSON: %v: %s", err, w.Body)
		}
		return w.Code, said.Error, w.Header()
	}
	const flooder = "203.0.113.7"
	// The answer says that the recipient is unknown only after the sender was checked.
	for i := range 10 {
		if status, e, _ := post(fmt.Sprintf("d%d.example", i), flooder); status != http.StatusNotFound {
			t.Fatalf("the answer to new domain %d is %d %s, want 404", i, status, e.Code)
		}
	}
	refused := ""
	for i := 10; refused == ""; i++ { // a slow machine earns more look-ups meanwhile
		domain := fmt.Sprintf("d%d.example", i)
		status, e, header := post(domain, flooder)
		switch {
		case status == http.StatusTooManyRequests && e.Code == amtp.CodeRateLimitExceeded &&
			header.Get("Retry-After") != "":
			refused = domain
		case status != http.StatusNotFound || i == 1000:
			t.Fatalf("the answer to new domain %d is %d %s with Retry-After %q, want 429 at some time", i, status,
				e.Code, header.Get("Retry-After"))
		}
	}
	if n := dns.Asked("_amtp." + refused); n != 0 {
		t.Errorf("DNS was asked %d times for the domain that was refused, want never", n)
	}
	if status, e, _ := post("d0.example", flooder); status != http.StatusNotFound {
		t.Errorf("the answer to a known domain is %d %s, want 404 as before", status, e.Code)
	}
	if status, e, _ := post(refused, "203.0.113.8"); status != http.StatusNotFound {
		t.Errorf("the answer to another address is %d %s, want 404", status, e.Code)
	}
}

package app_test

import (
	"log/slog"
	"testing"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/fakedns"
)

// TestEveryKindHasACourier: a gateway with a domain of its own carries jobs of every kind.
func TestEveryKindHasACourier(t *testing.T) {
	cfg, _, err := config.Load(config.Sources{Environ: []string{
		"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DATA_DIR=" + t.TempDir(), "AMTP_DOMAIN=ours.example",
		"AMTP_DNS_RESOLVERS=" + fakedns.New(t).Addr().String(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, k := range gateway.Kinds() {
		if a.Couriers()[k] == nil {
			t.Errorf("no courier carries a job of kind %s", k)
		}
	}
}

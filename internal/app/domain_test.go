package app_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/operate"
)

// TestADomainIsNotGivenUpByAccident: whatever is set, mistyped or forgotten, agents
// keep the domain that the gateway had. A gateway that had a domain is not open to
// every program of the machine. An explicit setting allows both.
func TestADomainIsNotGivenUpByAccident(t *testing.T) {
	dir := t.TempDir()
	agents := 0
	start := func(domain, former string, rename bool) (addresses []string, err error) {
		t.Helper()
		cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
			"AMTP_DATA_DIR=" + dir, "AMTP_DOMAIN=" + domain, "AMTP_FORMER_DOMAINS=" + former}})
		if err != nil {
			t.Fatal(err)
		}
		if rename {
			cfg = cfg.Rename()
		}
		r, err := app.New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		defer func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		defer func() {
			if stop(); <-ended != nil {
				t.Error("the gateway ended with an error")
			}
		}()
		key, ok := datadir.AdminKey(dir, r.URL())
		if !ok {
			t.Fatal("no admin key")
		}
		c := &admin.Client{Client: amtp.Client{URL: r.URL(), AdminKey: key, Retries: -1}}
		if agents == 0 {
			if _, err := c.Register(t.Context(), amtp.NewAgent{Address: "alice"}); err != nil {
				t.Fatal(err)
			}
			agents++
		}
		list, err := c.Agents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for address := range list.Agents {
			addresses = append(addresses, address)
		}
		return addresses, nil
	}
	for i, step := range []struct {
		domain, former string
		rename         bool
		want           string // the address of the agent, "" where the start is refused
	}{
		{"localhost", "", false, "alice@localhost"},
		{"a.example", "", false, "alice@a.example"}, // the first domain
		{"a.example", "", false, "alice@a.example"},
		{"", "", false, ""}, // forgotten
		{"localhost", "", false, ""},
		{"b.example", "", false, ""}, // mistyped
		{"b.example", "c.example", false, ""},
		{"a.example", "", false, "alice@a.example"}, // nothing was lost
		{"b.example", "a.example", false, "alice@b.example"},
		{"b.example", "", false, "alice@b.example"},
		{"a.example", "", false, ""},
		{"localhost", "", true, "alice@localhost"},
		{"localhost", "", false, "alice@localhost"},
		{"c.example", "", false, "alice@c.example"},
		{"d.example", "", true, "alice@d.example"},
		{"localhost", "", false, ""},
	} {
		got, err := start(step.domain, step.former, step.rename)
		var other *operate.OtherDomainError
		if step.want == "" && (!errors.As(err, &other) || other.Agents != 1 || string(other.Now) == string(other.Was)) {
			t.Fatalf("step %d, %+v: %v, %v; want it refused", i, step, got, err)
		}
		if step.want != "" && (err != nil || strings.Join(got, " ") != step.want) {
			t.Fatalf("step %d, %+v: %v, %v; want %s", i, step, got, err, step.want)
		}
	}
}

// TestADomainIsRememberedWithoutAgents: the first start with a domain is enough.
func TestADomainIsRememberedWithoutAgents(t *testing.T) {
	dir := t.TempDir()
	for _, domain := range []string{"a.example", "localhost", "b.example", "a.example"} {
		cfg := configIn(t, dir)
		cfg.Server.Domain = amtp.Domain(domain)
		a, err := app.New(cfg, slog.New(slog.DiscardHandler))
		var other *operate.OtherDomainError
		if want := domain != "a.example"; errors.As(err, &other) != want || !want && err != nil {
			t.Errorf("for %s: %v", domain, err)
		}
		if err == nil {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

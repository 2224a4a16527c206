package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/profile"
)

// TestWhatServeSaysToTypeNext: in another terminal, which has neither the flags
// nor the variables of this one, the command finds the gateway and its admin key.
func TestWhatServeSaysToTypeNext(t *testing.T) {
	home := t.TempDir()
	usual := filepath.Join(home, "data", "amtp")
	tests := []struct{ name, dir, domain, url, want string }{
		{"the usual gateway", usual, "localhost", profile.DefaultGateway, "amtp setup --name alice"},
		{"another port", usual, "localhost", "http://127.0.0.1:9001",
			"amtp setup --name alice --gateway http://127.0.0.1:9001"},
		{"a domain", usual, "a.example", profile.DefaultGateway, "amtp setup --name alice"},
		{"a domain, another directory", "/srv/a b", "a.example", "http://127.0.0.1:9001",
			`AMTP_DATA_DIR="/srv/a b" amtp setup --name alice --gateway http://127.0.0.1:9001`},
		{"no key is needed", "/srv/a", "localhost", profile.DefaultGateway, "amtp setup --name alice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProgram(strings.NewReader(""), nil, nil,
				[]string{"HOME=" + home, "XDG_DATA_HOME=" + filepath.Join(home, "data"), "AMTP_DATA_DIR=/elsewhere"})
			cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_DATA_DIR=" + tt.dir,
				"AMTP_DOMAIN=" + tt.domain}})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.firstSetup(tt.url, cfg); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

package config

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestFlagsAreDescribed(t *testing.T) {
	fs := pflag.NewFlagSet("amtp", pflag.ContinueOnError)
	Flags(fs)
	help := fs.FlagUsages()
	for _, want := range []string{
		"--address host:port", "--domain domain", "--data-dir path", "--config file", "--tls-enabled auto|true|false",
		"--tls-cert path", "--tls-key path", "--log-level debug|info|warn|error", "--log-format text|json",
		"--auth-required",
		"--message-max-size size", "--admin-key-file path", "(default 127.0.0.1:8080)",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("the help lacks %q:\n%s", want, help)
		}
	}
}

// TestNoFlagTakesAKey: a key on the command line would be visible in every list of
// processes.
func TestNoFlagTakesAKey(t *testing.T) {
	for _, s := range (&Config{}).settings() {
		if s.value.form == secretForm && s.flag != "" {
			t.Errorf("the secret %s has the flag --%s", s.path, s.flag)
		}
	}
}

func TestFlagWithoutValue(t *testing.T) {
	if cfg := (command{flags: []string{"--auth-required"}}).mustLoad(t); !cfg.Auth.Required {
		t.Error("--auth-required left auth.required false")
	}
}

func TestNoFlags(t *testing.T) {
	cfg, _, err := Load(Sources{Environ: []string{"HOME=/home/alice", "XDG_DATA_HOME=/home/alice/data"}})
	if err != nil || cfg.DataDir != "/home/alice/data/amtp" {
		t.Errorf("Load without flags = data directory %s, %v; want /home/alice/data/amtp", cfg.DataDir, err)
	}
}

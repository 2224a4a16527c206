package config

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestYAML(t *testing.T) {
	in := command{
		file:  "server:\n  read_timeout: 90s\n",
		env:   []string{"AMTP_DOMAIN=shop.example", "AMTP_ADMIN_KEY=canary-0123456789"},
		flags: []string{"--auth-required", "--log-level=WARN"},
	}
	cfg := in.mustLoad(t)
	got, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  # The domain behind the @ of this gateway's agents.\n  domain: shop.example # from AMTP_DOMAIN\n",
		"\n  address: 127.0.0.1:8080 # from default\n",
		"\n  read_timeout: 1m30s # from " + cfg.File() + ":2\n",
		"\n  required: true # from --auth-required\n",
		"\n  admin_key: (set) # from AMTP_ADMIN_KEY\n",
		"\n  level: warn # from --log-level\n",
		"\n  max_size: 10MiB # from default\n",
		"\n  connections: 8192 # from default\n",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("YAML() lacks %q:\n%s", want, got)
		}
	}
}

func TestYAMLCanBeLoaded(t *testing.T) {
	first := command{env: []string{"AMTP_DOMAIN=shop.example", "AMTP_READ_TIMEOUT=1h"},
		flags: []string{"--log-format=json"}}.mustLoad(t)
	shown, err := first.YAML()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "copy.yaml")
	writeFile(t, name, string(shown), 0o600)
	second, _, err := Load(Sources{Flags: parseFlags(t, "--config="+name)})
	if err != nil {
		t.Fatalf("Load of what YAML() wrote: %v\n%s", err, shown)
	}
	for path, want := range texts(first) {
		if got := texts(second)[path]; got != want {
			t.Errorf("%s = %q after YAML() and Load, want %q", path, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	cfg := command{env: []string{"AMTP_DOMAIN=shop.example"}}.mustLoad(t)
	b, err := cfg.JSON()
	if err != nil {
		t.Fatal(err)
	}
	type shown struct {
		Value any
		From  string
	}
	var got struct {
		File     string
		Settings map[string]shown
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("JSON() = %s: %v", b, err)
	}
	for path, want := range map[string]shown{
		"server.domain":       {"shop.example", "AMTP_DOMAIN"},
		"message.max_size":    {10485760.0, "default"},
		"limits.connections":  {8192.0, "default"},
		"auth.required":       {false, "default"},
		"auth.admin_key":      {"", "default"},
		"tls.min_version":     {"1.3", "default"},
		"server.idle_timeout": {"2m", "default"},
	} {
		if got.Settings[path] != want {
			t.Errorf("JSON() has %s = %v, want %v", path, got.Settings[path], want)
		}
	}
	if want := len(cfg.settings()); len(got.Settings) != want {
		t.Errorf("JSON() has %d settings, want %d", len(got.Settings), want)
	}
}

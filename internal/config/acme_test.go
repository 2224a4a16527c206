package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestACME: what the gateway needs before it asks an authority, and with which settings
// it refuses to start.
func TestACME(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"AMTP_DATA_DIR=" + dir, "AMTP_SERVER_ADDRESS=:443", "AMTP_DOMAIN=shop.example",
		"AMTP_ACME_ENABLED=true", "AMTP_ACME_ACCEPT_TERMS=true"}
	for _, c := range []struct {
		name string
		more []string
		want string // in the problem, "" for none
	}{
		{"enough", nil, ""},
		{"all", []string{"AMTP_ACME_EMAIL=op@shop.example", "AMTP_ACME_HOSTS=a.shop.example,b.shop.example",
			"AMTP_ACME_HTTP_ADDRESS=:80", "AMTP_ACME_DIRECTORY=https://10.0.0.1:14000/dir"}, ""},
		{"terms", []string{"AMTP_ACME_ACCEPT_TERMS=false"}, "acme.accept_terms: must be true"},
		{"without TLS", []string{"AMTP_TLS_ENABLED=false"}, "tls.enabled is false"},
		{"localhost", []string{"AMTP_ACME_HOSTS=localhost"}, "no authority certifies localhost"},
		{"no domain", []string{"AMTP_DOMAIN=localhost"}, "no authority certifies localhost"},
		{"an address as e-mail", []string{"AMTP_ACME_EMAIL=nobody"}, "is not an e-mail address"},
		{"two e-mail addresses", []string{"AMTP_ACME_EMAIL=a@b.example,c@d.example"}, "is not an e-mail address"},
		{"a directory in plain text", []string{"AMTP_ACME_DIRECTORY=http://ca.example/dir"},
			"is not the https URL of a directory"},
		{"one address twice", []string{"AMTP_ACME_HTTP_ADDRESS=:443"}, "that of the gateway itself"},
		{"authorities that are none", []string{"AMTP_ACME_CA_FILE=" + ca},
			"acme.ca_file: " + `"` + ca + `" holds no certificate`},
		{"a certificate, too", []string{"AMTP_TLS_CERT_FILE=x", "AMTP_TLS_KEY_FILE=y"}, "choose one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _, err := Load(Sources{Environ: slices.Concat(good, c.more)})
			if c.want == "" {
				if err != nil || !cfg.UseTLS() {
					t.Errorf("got %v with TLS %t, want TLS and no error", err, cfg.UseTLS())
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a problem with %q", err, c.want)
			}
		})
	}
}

func TestCertificateHosts(t *testing.T) {
	for want, settings := range map[string][]string{
		"amtp.shop.example":             nil,
		"gw.shop.example":               {"AMTP_PUBLIC_URL=https://gw.shop.example:8443/amtp"},
		"a.shop.example b.shop.example": {"AMTP_ACME_HOSTS=A.shop.example, b.shop.example"},
	} {
		cfg, _, err := Load(Sources{Environ: append([]string{"AMTP_DOMAIN=shop.example",
			"AMTP_DATA_DIR=" + t.TempDir()}, settings...)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(cfg.CertificateHosts(), " "); got != want {
			t.Errorf("with %v: got %q, want %q", settings, got, want)
		}
	}
}

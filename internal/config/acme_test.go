package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	keys := map[string]string{}
	for name, content := range map[string]string{"good": secret + "\n", "group": secret, "open": secret,
		"short": "c2hvcnQ=", "conf": "key \"amtp\" { secret \"" + secret + "\"; };", "empty": ""} {
		keys[name] = filepath.Join(dir, name)
		if err := os.WriteFile(keys[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"open": 0o644, "group": 0o640} {
		if err := os.Chmod(keys[name], mode); err != nil {
			t.Fatal(err)
		}
	}
	inDNS := func(more ...string) []string {
		return append([]string{"AMTP_ACME_DNS_SERVER=192.0.2.1", "AMTP_ACME_DNS_KEY_NAME=amtp.",
			"AMTP_ACME_DNS_KEY_FILE=" + keys["good"]}, more...)
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
		{"over DNS", inDNS(), ""},
		{"over DNS, all", inDNS("AMTP_ACME_DNS_SERVER=[2001:db8::1]:5353", "AMTP_ACME_DNS_ZONE=acme.example.",
			"AMTP_ACME_DNS_ALIAS=gw.acme.example", "AMTP_ACME_DNS_KEY_ALGORITHM=HMAC-SHA384"), ""},
		{"over DNS without a key", []string{"AMTP_ACME_DNS_SERVER=ns.example"}, "without acme.dns_key_name"},
		{"over DNS without a secret", []string{"AMTP_ACME_DNS_SERVER=ns.example"}, "without acme.dns_key_file"},
		{"over DNS and HTTP", inDNS("AMTP_ACME_HTTP_ADDRESS=:80"), "choose one challenge"},
		{"no name server", inDNS("AMTP_ACME_DNS_SERVER=ns example"), "is not a name server"},
		{"no port", inDNS("AMTP_ACME_DNS_SERVER=ns.example:0"), "has no port between"},
		{"a weak algorithm", inDNS("AMTP_ACME_DNS_KEY_ALGORITHM=hmac-md5"), "is not one of"},
		{"no such file", inDNS("AMTP_ACME_DNS_KEY_FILE=" + filepath.Join(dir, "none")), "no such file"},
		{"a secret that others may read", inDNS("AMTP_ACME_DNS_KEY_FILE=" + keys["open"]), "the mode 0600 or 0640"},
		{"a secret that its group may read", inDNS("AMTP_ACME_DNS_KEY_FILE=" + keys["group"]), ""},
		{"a secret that can be guessed", inDNS("AMTP_ACME_DNS_KEY_FILE=" + keys["short"]), "fewer than 16 bytes"},
		{"a file in another form", inDNS("AMTP_ACME_DNS_KEY_FILE=" + keys["conf"]), "not one secret in base64"},
		{"a file without a secret", inDNS("AMTP_ACME_DNS_KEY_FILE=" + keys["empty"]), "not one secret in base64"},
		{"a certificate, too", []string{"AMTP_TLS_CERT_FILE=x", "AMTP_TLS_KEY_FILE=y"}, "choose one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && c.name == "a secret that others may read" {
				t.Skip("Windows has no modes")
			}
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
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the problem shows the secret: %v", err)
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

// TestNameServer: a name server is a name or an address, and its port is 53 unless it has
// another one.
func TestNameServer(t *testing.T) {
	for given, want := range map[string]string{
		"": "", "ns.example": "ns.example:53", "bind": "bind:53", "ns.example:5353": "ns.example:5353",
		"192.0.2.1": "192.0.2.1:53", "192.0.2.1:54": "192.0.2.1:54", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54",
	} {
		if got, err := parseNameServer(given); err != nil || got != want {
			t.Errorf("parseNameServer(%q) = %q, %v, want %q", given, got, err, want)
		}
	}
	for _, wrong := range []string{":53", "ns.example:", "ns.example:x", "ns.example:70000", "https://ns.example", "a b"} {
		if got, err := parseNameServer(wrong); err == nil {
			t.Errorf("parseNameServer(%q) = %q, want an error", wrong, got)
		}
	}
}

// TestUnusedDNSSettings: settings of a challenge that is not used are named.
func TestUnusedDNSSettings(t *testing.T) {
	_, warnings, err := Load(Sources{Environ: []string{"AMTP_DATA_DIR=" + t.TempDir(), "AMTP_SERVER_ADDRESS=:443",
		"AMTP_DOMAIN=shop.example", "AMTP_ACME_ENABLED=true", "AMTP_ACME_ACCEPT_TERMS=true",
		"AMTP_ACME_DNS_KEY_NAME=amtp"}})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(warnings); !strings.Contains(text, "acme.dns_key_name: is not used") {
		t.Errorf("warnings: got %s, want one about acme.dns_key_name", text)
	}
}

package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestSignatureKey: the signing key is tried before anything starts, and the error does
// not show the file's content.
func TestSignatureKey(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	good, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "open.pem"), string(good), 0o644)
	writeFile(t, filepath.Join(dir, "hello"), "hello", 0o600)
	const file, domain = "AMTP_SIGNATURE_PRIVATE_KEY_FILE={dir}/", "AMTP_DOMAIN=shop.example"
	for _, c := range []struct {
		what    string
		env     []string
		problem string // "" for none
		warning string // "" for none
	}{
		{"nothing", nil, "", ""},
		{"a key", []string{domain, file + "key.pem"}, "", ""},
		{"a key and its name", []string{domain, file + "key.pem", "AMTP_SIGNATURE_KEY_ID=main-2026"}, "", ""},
		{"a name without a key", []string{domain, "AMTP_SIGNATURE_KEY_ID=main"}, "", "a key of its own"},
		{"no domain", []string{file + "key.pem"}, "", "signs nothing"},
		{"a file for everybody", []string{domain, file + "open.pem"}, "", "every user of this machine may read"},
		{"no file", []string{domain, file + "none.pem"}, "no such file", ""},
		{"a directory", []string{domain, file}, "is a directory", ""},
		{"a certificate", []string{domain, file + "cert.pem"}, "is a certificate", ""},
		{"a text", []string{domain, file + "hello"}, "not in PEM form", ""},
		{"a name with dots", []string{domain, file + "key.pem", "AMTP_SIGNATURE_KEY_ID=a.b"}, "is not a selector", ""},
		{"a name in capitals", []string{domain, "AMTP_SIGNATURE_KEY_ID=K1"}, "is not a selector", ""},
		{"a domain that leaves no room", []string{"AMTP_DOMAIN=" + strings.Repeat(strings.Repeat("a", 60)+".", 4) + "e",
			file + "key.pem", "AMTP_SIGNATURE_KEY_ID=main"}, "signature.key_id", ""},
	} {
		if runtime.GOOS == "windows" && c.what == "a file for everybody" {
			continue // Windows does not say which users may read a file
		}
		cfg, warnings, err := command{env: c.env}.loadIn(t, dir)
		switch {
		case c.problem == "" && err != nil:
			t.Errorf("%s: %v", c.what, err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) ||
			strings.Contains(err.Error(), "hello is")):
			t.Errorf("%s: %v; want %q", c.what, err, c.problem)
		case c.warning == "" && len(warnings) > 0, c.warning != "" &&
			(len(warnings) != 1 || !strings.Contains(warnings[0].Text, c.warning)):
			t.Errorf("%s: the warnings are %v; want %q", c.what, warnings, c.warning)
		case c.what == "a key and its name" && (cfg.Signature.KeyID != "main-2026" ||
			cfg.Signature.PrivateKeyFile == ""):
			t.Errorf("%s: %+v", c.what, cfg.Signature)
		}
	}
}

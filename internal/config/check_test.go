package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const open = "AMTP_SERVER_ADDRESS=0.0.0.0:8443"

func TestProfile(t *testing.T) {
	for _, tc := range []struct {
		name                       string
		env                        []string
		loopback, development, tls bool
	}{
		{"defaults", nil, true, true, false},
		{"IPv6 loopback", []string{"AMTP_SERVER_ADDRESS=[::1]:80"}, true, true, false},
		{"loopback other than 127.0.0.1", []string{"AMTP_SERVER_ADDRESS=127.9.9.9:80"}, true, true, false},
		{"mapped loopback", []string{"AMTP_SERVER_ADDRESS=[::ffff:127.0.0.1]:80"}, true, true, false},
		{"localhost by name", []string{"AMTP_SERVER_ADDRESS=LocalHost:80"}, true, true, false},
		{"every address", []string{"AMTP_SERVER_ADDRESS=:80", "AMTP_TLS_ENABLED=false"}, false, false, false},
		{"0.0.0.0", []string{open, "AMTP_TLS_ENABLED=false"}, false, false, false},
		{"IPv6 unspecified", []string{"AMTP_SERVER_ADDRESS=[::]:80", "AMTP_TLS_ENABLED=0"}, false, false, false},
		{"private address", []string{"AMTP_SERVER_ADDRESS=192.168.1.1:80", "AMTP_TLS_ENABLED=false"}, false,
			false, false},
		{"a name that only looks local", []string{"AMTP_SERVER_ADDRESS=localhost.example:80", "AMTP_TLS_ENABLED=false"},
			false, false, false},
		{"own domain on loopback", []string{"AMTP_DOMAIN=shop.example"}, true, false, false},
		{"localhost in capitals", []string{"AMTP_DOMAIN=LOCALHOST."}, true, true, false},
		{"closed by auth.required", []string{"AMTP_AUTH_REQUIRED=true"}, true, false, false},
		{"certificate on loopback", []string{"AMTP_TLS_CERT_FILE={dir}/cert.pem", "AMTP_TLS_KEY_FILE={dir}/key.pem"},
			true, true, true},
		{"certificate on an open listener", []string{open, "AMTP_TLS_CERT_FILE={dir}/cert.pem",
			"AMTP_TLS_KEY_FILE={dir}/key.pem"}, false, false, true},
		{"TLS turned on", []string{"AMTP_TLS_ENABLED=true", "AMTP_TLS_CERT_FILE={dir}/cert.pem",
			"AMTP_TLS_KEY_FILE={dir}/key.pem"}, true, true, true},
		{"certificate but TLS turned off", []string{"AMTP_TLS_ENABLED=false", "AMTP_TLS_CERT_FILE={dir}/cert.pem",
			"AMTP_TLS_KEY_FILE={dir}/key.pem"}, true, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			writeCertificate(t, dir)
			cfg, _, err := command{env: tc.env}.loadIn(t, dir)
			if err != nil {
				t.Fatalf("Load with %q = %v", tc.env, err)
			}
			if got := cfg.Loopback(); got != tc.loopback {
				t.Errorf("Loopback() with %q = %t, want %t", tc.env, got, tc.loopback)
			}
			if got := cfg.Development(); got != tc.development {
				t.Errorf("Development() with %q = %t, want %t", tc.env, got, tc.development)
			}
			if got := cfg.UseTLS(); got != tc.tls {
				t.Errorf("UseTLS() with %q = %t, want %t", tc.env, got, tc.tls)
			}
		})
	}
}

func TestRefusedListeners(t *testing.T) {
	for _, tc := range []problem{
		{"open and plain", command{env: []string{open}}, "AMTP_SERVER_ADDRESS",
			"give tls.cert_file and tls.key_file (AMTP_TLS_CERT_FILE, AMTP_TLS_KEY_FILE); have the gateway obtain one (AMTP_ACME_ENABLED=true); listen on 127.0.0.1 with a TLS proxy in front; or set AMTP_TLS_ENABLED=false"},
		{"TLS without files", command{flags: []string{"--tls-enabled=true"}}, "--tls-enabled",
			"neither tls.cert_file nor tls.key_file"},
		{"certificate without key", command{env: []string{"AMTP_TLS_CERT_FILE={dir}/cert.pem"}}, "AMTP_TLS_CERT_FILE",
			"without tls.key_file"},
		{"key without certificate", command{env: []string{"AMTP_TLS_KEY_FILE={dir}/key.pem"}}, "AMTP_TLS_KEY_FILE",
			"without tls.cert_file"},
		{"files that do not exist", command{flags: []string{"--tls-cert={dir}/cert.pem", "--tls-key={dir}/key.pem"}},
			"--tls-cert", "no such file"},
		{"short admin key on an open listener", command{env: []string{open, "AMTP_TLS_ENABLED=false",
			"AMTP_ADMIN_KEY=fifteen-letters"}}, "AMTP_ADMIN_KEY", "15 characters is too short"},
		{"short admin key with a domain, behind a proxy",
			command{env: []string{"AMTP_DOMAIN=shop.example", "AMTP_ADMIN_KEY=qz7"}}, "AMTP_ADMIN_KEY",
			"3 characters is too short for a gateway with a domain"},
		{"short admin key where keys are needed", command{env: []string{"AMTP_AUTH_REQUIRED=true",
			"AMTP_ADMIN_KEY=qz7"}}, "AMTP_ADMIN_KEY", "3 characters is too short for a gateway that demands keys"},
		{"an admin key in quotation marks", command{env: []string{`AMTP_ADMIN_KEY="good-key-0123456789"`}},
			"AMTP_ADMIN_KEY", "there are quotation marks, a space or a line end around the key"},
		{"an admin key with a line end", command{env: []string{"AMTP_ADMIN_KEY=good-key-0123456789\r\n"}},
			"AMTP_ADMIN_KEY", "there are quotation marks, a space or a line end around the key"},
		{"no file of admin keys", command{env: []string{"AMTP_ADMIN_KEY_FILE={dir}/none"}}, "AMTP_ADMIN_KEY_FILE",
			"no such file"},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestRefusedKeyFiles(t *testing.T) {
	for _, tc := range []struct {
		name, content, want string
	}{
		{"empty", "", "holds no key"},
		{"comments only", "# one\n\n#two\n", "holds no key"},
		{"blank inside a key", "good-key-0123456789\nbad key\n",
			"line 2: a key has only visible ASCII characters, no blanks; this one has a space"},
		{"a key in quotation marks", "\ufeff\"good-key-0123456789\"\r\n", "line 1: there are quotation marks"},
		{"short on an open listener", "good-key-0123456789\nshort\n", "5 characters is too short"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "keys"), tc.content, 0o600)
			in := command{env: []string{open, "AMTP_TLS_ENABLED=false"}, flags: []string{"--admin-key-file={dir}/keys"}}
			_, _, err := in.loadIn(t, dir)
			if err == nil || !strings.HasPrefix(err.Error(), "--admin-key-file: auth.admin_key_file: ") ||
				!strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load with a key file of %q = %v, want a problem of --admin-key-file with …%s…", tc.content,
					err, tc.want)
			}
		})
	}
}

// TestKeyFilesOfEditors: a byte order mark and Windows line ends are no part of a key.
func TestKeyFilesOfEditors(t *testing.T) {
	for _, content := range []string{"\ufeff# ours\r\ngood-key-0123456789\r\n", "\ufeffgood-key-0123456789",
		" good-key-0123456789 \n"} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "keys"), content, 0o600)
		cfg, _, err := command{flags: []string{"--admin-key-file={dir}/keys"}}.loadIn(t, dir)
		if err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		if keys, err := cfg.AdminKeys(); err != nil || !slices.Equal(keys, []string{"good-key-0123456789"}) {
			t.Errorf("%q: AdminKeys = %q, %v", content, keys, err)
		}
	}
}

func TestShortAdminKeyOnLoopback(t *testing.T) {
	if cfg := (command{env: []string{"AMTP_ADMIN_KEY=short"}}).mustLoad(t); cfg.Auth.AdminKey != "short" {
		t.Errorf("auth.admin_key = %q, want the short key", string(cfg.Auth.AdminKey))
	}
}

// warning is a start that succeeds, with the warnings that it gives.
type warning struct {
	name string
	in   command
	want []string // place: text, or its beginning
}

func (tc warning) test(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "open.keys"), "a-key-0123456789\n", 0o604)
	_, warnings, err := tc.in.loadIn(t, dir)
	if err != nil {
		t.Fatalf("Load(%+v) = %v, want warnings only", tc.in, err)
	}
	begins := func(w Warning, want string) bool {
		return strings.HasPrefix(w.String(), strings.ReplaceAll(want, "{dir}", dir))
	}
	if !slices.EqualFunc(warnings, tc.want, begins) {
		t.Errorf("Load(%+v) warned\n%q\nwant\n%q", tc.in, warnings, tc.want)
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []warning{
		{"plain text on an open listener", command{env: []string{open, "AMTP_TLS_ENABLED=false",
			"AMTP_DOMAIN=shop.example"}},
			[]string{"AMTP_TLS_ENABLED: tls.enabled: is false: keys and messages cross the network in plain text"}},
		{"localhost on an open listener", command{env: []string{open, "AMTP_TLS_ENABLED=false"}},
			[]string{"AMTP_TLS_ENABLED: ", "default: server.domain: is localhost"}},
		{"certificate that TLS off ignores", command{env: []string{"AMTP_TLS_ENABLED=false",
			"AMTP_TLS_CERT_FILE={dir}/c"}},
			[]string{"AMTP_TLS_ENABLED: tls.enabled: is false, so the certificate and its key are not used"}},
		{"key file that everybody may read", command{flags: []string{"--admin-key-file={dir}/open.keys"}},
			[]string{"--admin-key-file: auth.admin_key_file: every user of this machine may read"}},
		{"little room for other domains", command{env: []string{"AMTP_DOMAIN=shop.example",
			"AMTP_LIMITS_IN_FLIGHT_BYTES=64MiB"}},
			[]string{"AMTP_LIMITS_IN_FLIGHT_BYTES: limits.in_flight_bytes: an eighth of it is for other domains, and that is less than message.max_size"}},
		{"just enough of it", command{env: []string{"AMTP_DOMAIN=shop.example",
			"AMTP_LIMITS_IN_FLIGHT_BYTES=80MiB"}}, nil},
		{"little room and no other domains", command{env: []string{"AMTP_LIMITS_IN_FLIGHT_BYTES=64MiB"}}, nil},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestKeyInAFileThatEverybodyMayRead(t *testing.T) {
	for mode, want := range map[uint32]int{0o600: 0, 0o640: 0, 0o644: 1} {
		name := filepath.Join(t.TempDir(), "custom.yaml")
		writeFile(t, name, "auth:\n  admin_key: a-key-0123456789\n", 0o600)
		chmod(t, name, mode)
		_, warnings, err := command{flags: []string{"--config=" + name}}.load(t)
		if err != nil || len(warnings) != want {
			t.Errorf("Load with a key in a file of mode %o = %v, %v; want %d warnings", mode, warnings, err, want)
		}
	}
}

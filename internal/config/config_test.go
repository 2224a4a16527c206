package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/spf13/pflag"
)

// command is one way to start the program, in a directory of its own.
type command struct {
	file  string   // content of amtp.yaml in the data directory; "" for none
	env   []string // besides AMTP_DATA_DIR
	flags []string
}

// load starts c. The text {dir} in it stands for the data directory.
func (c command) load(t *testing.T) (Config, []Warning, error) {
	t.Helper()
	dir := t.TempDir()
	return c.loadIn(t, dir)
}

func (c command) loadIn(t *testing.T, dir string) (Config, []Warning, error) {
	t.Helper()
	put := func(s string) string { return strings.ReplaceAll(s, "{dir}", dir) }
	if c.file != "" {
		writeFile(t, filepath.Join(dir, FileName), put(c.file), 0o600)
	}
	env := []string{"AMTP_DATA_DIR=" + dir}
	for _, pair := range c.env {
		env = append(env, put(pair))
	}
	var args []string
	for _, arg := range c.flags {
		args = append(args, put(arg))
	}
	return Load(Sources{Flags: parseFlags(t, args...), Environ: env})
}

func parseFlags(t *testing.T, args ...string) *FlagValues {
	t.Helper()
	fs := pflag.NewFlagSet("amtp", pflag.ContinueOnError)
	flags := Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("parsing the flags %q: %v", args, err)
	}
	return flags
}

// mustLoad is load for a command that must succeed.
func (c command) mustLoad(t *testing.T) Config {
	t.Helper()
	cfg, _, err := c.load(t)
	if err != nil {
		t.Fatalf("Load(%+v) = %v, want no error", c, err)
	}
	return cfg
}

func writeFile(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// writeCertificate writes a certificate and its key into dir.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: cert})), 0o600)
	writeFile(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY",
		Bytes: private})), 0o600)
}

func TestDefaults(t *testing.T) {
	cfg, warnings, err := Load(Sources{Environ: []string{"AMTP_DATA_DIR=/data"}})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load without sources = %v, %v; want neither warning nor error", warnings, err)
	}
	cfg.origins = nil
	want := Config{
		DataDir: "/data",
		Server: Server{Address: "127.0.0.1:8080", Domain: "localhost",
			ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second},
		TLS: TLS{Enabled: Auto, MinVersion: tls.VersionTLS13},
		ACME: ACME{Directory: "https://acme-v02.api.letsencrypt.org/directory",
			DNSKeyAlgorithm: "hmac-sha256"},
		Message:    Message{MaxSize: 10485760},
		Federation: Federation{Unsigned: "flag", Receipts: "known"},
		Signature:  Signature{KeyID: "k1"},
		Logging:    Logging{Level: slog.LevelInfo, Format: "text"},
		Limits: Limits{ConnectionsPerAddress: 64, Connections: 8192, InFlightBytes: 256 << 20,
			MessagesPerMinute: 1200, BytesPerMinute: 1 * mib},
		Retention: Retention{Retention: gateway.Retention{Acknowledged: 30 * day, Unacknowledged: 180 * day,
			Sent: 30 * day, Failed: 30 * day, Status: 365 * day, Keys: 9 * day}, Batch: 500,
			Pause: 200 * time.Millisecond, Every: time.Hour},
		Queue: Queue{Lease: 2 * time.Minute},
		DNS:   DNS{Timeout: 5 * time.Second, CacheTTL: 24 * time.Hour},
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("Load without sources:\n got %+v\nwant %+v", cfg, want)
	}
}

func TestPrecedence(t *testing.T) {
	const file = "server:\n  domain: file.example\n"
	env := []string{"AMTP_DOMAIN=env.example"}
	flags := []string{"--domain=flag.example"}
	for _, tc := range []struct {
		name string
		in   command
		want string
		from string
	}{
		{"nothing", command{}, "localhost", "default"},
		{"file", command{file: file}, "file.example", "{dir}/amtp.yaml:2"},
		{"environment over file", command{file: file, env: env}, "env.example", "AMTP_DOMAIN"},
		{"flag over both", command{file: file, env: env, flags: flags}, "flag.example", "--domain"},
		{"flag over file", command{file: file, flags: flags}, "flag.example", "--domain"},
		{"empty variable counts as not set", command{file: file, env: []string{"AMTP_DOMAIN="}}, "file.example",
			"{dir}/amtp.yaml:2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := tc.in.mustLoad(t)
			from := strings.ReplaceAll(tc.from, "{dir}", cfg.DataDir)
			if got := string(cfg.Server.Domain); got != tc.want || cfg.origin("server.domain") != from {
				t.Errorf("server.domain of %+v = %s from %s, want %s from %s", tc.in, got, cfg.origin("server.domain"),
					tc.want, from)
			}
		})
	}
}

// TestEverySettingReachesItsField gives each setting a value of its own, which must
// change its field and no other.
func TestEverySettingReachesItsField(t *testing.T) {
	values := map[string]string{
		"data_dir": "/elsewhere", "server.former_domains": "a.example,b.example", "server.address": "127.0.0.1:9999",
		"server.domain":     "shop.example",
		"server.public_url": "https://gw.shop.example:8443", "server.local_address": "127.0.0.1:8081",
		"server.read_timeout": "7s", "server.write_timeout": "8s", "server.idle_timeout": "9s",
		"tls.enabled": "false", "tls.min_version": "1.2", "message.max_size": "2MiB",
		"acme.enabled": "true", "acme.accept_terms": "true", "acme.email": "op@shop.example",
		"acme.directory": "https://ca.example/dir",
		"acme.ca_file":   "{dir}/cert.pem", "acme.hosts": "gw.shop.example,www.shop.example",
		"acme.http_address": "127.0.0.1:8081",
		"acme.dns_server":   "ns.shop.example:5353", "acme.dns_zone": "shop.example", "acme.dns_alias": "gw.acme.example",
		"acme.dns_key_name": "amtp", "acme.dns_key_algorithm": "hmac-sha512", "acme.dns_key_file": "{dir}/tsig",
		"auth.required": "true", "auth.admin_key": "0123456789abcdef", "federation.unsigned": "reject",
		"federation.receipts": "all", "federation.receipts_domains": "shop.example=all,x.example=off",
		"echo.enabled": "true", "logging.level": "debug", "logging.format": "json",
		"retention.acknowledged": "5d", "retention.unacknowledged": "6d", "retention.sent": "7d",
		"retention.failed": "36h",
		"retention.status": "400d", "retention.idempotency": "10d", "retention.batch": "7", "retention.pause": "3s",
		"retention.every":                "4s",
		"limits.connections_per_address": "3", "limits.connections": "4", "limits.in_flight_bytes": "20MiB",
		"limits.messages_per_minute": "5", "limits.bytes_per_minute": "2MiB", "limits.free_space": "3GiB",
		"server.trusted_proxies": "10.0.0.0/8,192.0.2.1/32",
		"dns.resolvers":          "192.0.2.1:53,[2001:db8::1]:5353", "dns.timeout": "6s", "dns.cache_ttl": "5m",
		"dns.mock_mode": "true", "dns.mock_records": `{"b.example":"v=amtp1;gateway=https://gw.b.example"}`,
		"dns.allow_http": "true",
		"outbound.allow": "10.0.0.0/8,[fd00::/8]:8443,gw.lan", "outbound.ca_file": "{dir}/cert.pem",
		"peers":         `{"c.lan":"v=amtp1;gateway=https://10.0.0.5:8443"}`,
		"data_dir_open": "true", "seal_key_file": "{dir}/seal.key", "database.url": "postgres://amtp@db.lan/amtp",
		"database.unverified": "true", "queue.lease": "3s",
		"tls.cert_file": "{dir}/cert.pem", "tls.key_file": "{dir}/key.pem", "auth.admin_key_file": "{dir}/admin.keys",
		"signature.private_key_file": "{dir}/key.pem", "signature.key_id": "main",
	}
	together := map[string][]string{"tls.cert_file": {"tls.key_file"}, "tls.key_file": {"tls.cert_file"},
		"acme.enabled": {"acme.accept_terms", "acme.hosts"}}
	dir := t.TempDir()
	writeCertificate(t, dir)
	writeFile(t, filepath.Join(dir, "admin.keys"), "key\n", 0o600)
	before := texts(command{}.mustLoad(t))
	for _, s := range (&Config{}).settings() {
		t.Run(s.path, func(t *testing.T) {
			in := command{env: []string{s.env + "=" + values[s.path]}}
			for _, other := range (&Config{}).settings() {
				if slices.Contains(together[s.path], other.path) {
					in.env = append(in.env, other.env+"="+values[other.path])
				}
			}
			cfg, _, err := in.loadIn(t, dir)
			if err != nil {
				t.Fatalf("Load(%+v) = %v", in, err)
			}
			for path, text := range texts(cfg) {
				given := path == s.path || slices.Contains(together[s.path], path) || path == "data_dir"
				if changed := text != before[path]; changed != given {
					t.Errorf("with %s, %s = %q, before %q", in.env, path, text, before[path])
				}
			}
		})
	}
}

func texts(c Config) map[string]string {
	m := map[string]string{}
	for _, s := range c.settings() {
		m[s.path] = s.value.text()
	}
	return m
}

// problem is a start that must fail, and the error that it must give.
type problem struct {
	name  string
	in    command
	place string
	text  string // part of the text
}

func (tc problem) test(t *testing.T) {
	dir := t.TempDir()
	_, _, err := tc.in.loadIn(t, dir)
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("Load(%+v) = %v, want an *Error", tc.in, err)
	}
	if len(all.Problems) != 1 {
		t.Fatalf("Load(%+v) found %d problems, want 1:\n%v", tc.in, len(all.Problems), all)
	}
	got, place := all.Problems[0], strings.ReplaceAll(tc.place, "{dir}", dir)
	if got.Place != place || !strings.Contains(got.Text, tc.text) {
		t.Errorf("Load(%+v) found\n%s\nwant place %s and text …%s…", tc.in, got, place, tc.text)
	}
}

func TestBadValues(t *testing.T) {
	for _, tc := range []problem{
		{"environment", command{env: []string{"AMTP_LOG_LEVEL=loud"}}, "AMTP_LOG_LEVEL",
			`logging.level: "loud" is not one of: debug, info, warn, error`},
		{"flag", command{flags: []string{"--log-format=xml"}}, "--log-format",
			`logging.format: "xml" is not one of: text, json`},
		{"file", command{file: "logging:\n\n  level: loud\n"}, "{dir}/amtp.yaml:3",
			`logging.level: "loud" is not one of`},
		{"file behind a good variable", command{file: "logging: {level: loud}\n", env: []string{"AMTP_LOG_LEVEL=info"}},
			"{dir}/amtp.yaml:1", "loud"},
		{"environment behind a good flag", command{env: []string{"AMTP_DOMAIN=a b"},
			flags: []string{"--domain=shop.example"}}, "AMTP_DOMAIN", "a b"},
		{"a boolean flag with a word", command{flags: []string{"--auth-required=maybe"}}, "--auth-required",
			`"maybe" is neither true nor false`},
		{"a home that no shell expanded", command{flags: []string{"--tls-cert=~/cert.pem"}}, "--tls-cert",
			"write the path in full"},
		{"address without port", command{env: []string{"AMTP_SERVER_ADDRESS=8080"}}, "AMTP_SERVER_ADDRESS",
			"write host:port"},
		{"address with a named port", command{env: []string{"AMTP_SERVER_ADDRESS=localhost:http"}},
			"AMTP_SERVER_ADDRESS", "no port between 0 and 65535"},
		{"address that is no IP address", command{env: []string{"AMTP_SERVER_ADDRESS=127.0.0.256:80"}},
			"AMTP_SERVER_ADDRESS", "neither an IP address nor a name"},
		{"IP address as domain", command{env: []string{"AMTP_DOMAIN=10.0.0.1"}}, "AMTP_DOMAIN", "is not a domain"},
		{"duration without unit", command{env: []string{"AMTP_READ_TIMEOUT=30"}}, "AMTP_READ_TIMEOUT",
			"a number with its unit"},
		{"duration of nothing", command{env: []string{"AMTP_IDLE_TIMEOUT=0s"}}, "AMTP_IDLE_TIMEOUT",
			"not longer than 0s"},
		{"message below the least size", command{env: []string{"AMTP_MESSAGE_MAX_SIZE=1023"}}, "AMTP_MESSAGE_MAX_SIZE",
			`"1023" is not between 1KiB and 32MiB`},
		{"message above the greatest size", command{env: []string{"AMTP_MESSAGE_MAX_SIZE=33MiB"}},
			"AMTP_MESSAGE_MAX_SIZE", "between 1KiB and 32MiB: a message must fit into one answer of an inbox"},
		{"no connections", command{env: []string{"AMTP_LIMITS_CONNECTIONS=0"}}, "AMTP_LIMITS_CONNECTIONS",
			"not a number from 1"},
		{"key with a blank", command{env: []string{"AMTP_ADMIN_KEY=two words"}}, "AMTP_ADMIN_KEY",
			"auth.admin_key: a key has only visible ASCII"},
		{"key copied from config show", command{env: []string{"AMTP_ADMIN_KEY=(set)"}}, "AMTP_ADMIN_KEY",
			"write the key itself"},
		{"old TLS", command{env: []string{"AMTP_TLS_MIN_VERSION=1.1"}}, "AMTP_TLS_MIN_VERSION", "not one of: 1.3, 1.2"},
		{"empty data directory", command{flags: []string{"--data-dir="}}, "--data-dir", "data_dir: is empty"},
		{"less in flight than one message", command{env: []string{"AMTP_LIMITS_IN_FLIGHT_BYTES=5MiB"}},
			"AMTP_LIMITS_IN_FLIGHT_BYTES", "less than message.max_size"},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	in := command{file: "logging: {level: loud}\n", env: []string{"AMTP_DOMAIN=a b"}, flags: []string{"--address=x"}}
	_, _, err := in.load(t)
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) != 3 {
		t.Fatalf("Load(%+v) = %v, want three problems", in, err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 {
		t.Errorf("Error() has %d lines, want one per problem:\n%s", len(lines), err)
	}
}

func TestNoDataDirectory(t *testing.T) {
	_, _, err := Load(Sources{})
	if err == nil || !strings.Contains(err.Error(),
		"default: data_dir: is empty and there is no user's data directory") {
		t.Errorf("Load without a home = %v, want a problem with data_dir", err)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const key = "canary-0123456789"
	cfg := command{env: []string{"AMTP_ADMIN_KEY=" + key}}.mustLoad(t)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", cfg, "auth", cfg.Auth)
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", cfg, "auth", cfg.Auth)
	yml, err1 := cfg.YAML()
	js, err2 := cfg.JSON()
	std, err3 := json.Marshal(cfg)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for form, out := range map[string]string{
		"log": log.String(), "YAML": string(yml), "JSON": string(js), "encoding/json": string(std),
		"%v": fmt.Sprint(cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg),
		"%q": fmt.Sprintf("%q", cfg.Auth.AdminKey), "%x": fmt.Sprintf("%x", cfg.Auth.AdminKey),
	} {
		if strings.Contains(out, key) || strings.Contains(out, fmt.Sprintf("%x", key)) {
			t.Errorf("%s shows the admin key: %s", form, out)
		}
	}
}

func TestAdminKeys(t *testing.T) {
	const file = "# the team\n\nfirst-of-the-file\n  second-of-the-file  \r\n# old\n"
	for _, tc := range []struct {
		name string
		env  []string
		want []string
	}{
		{"none", nil, nil},
		{"variable", []string{"AMTP_ADMIN_KEY=alone"}, []string{"alone"}},
		{"file", []string{"AMTP_ADMIN_KEY_FILE={dir}/keys"}, []string{"first-of-the-file", "second-of-the-file"}},
		{"both", []string{"AMTP_ADMIN_KEY=alone", "AMTP_ADMIN_KEY_FILE={dir}/keys"},
			[]string{"alone", "first-of-the-file", "second-of-the-file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "keys"), file, 0o600)
			cfg, _, err := command{env: tc.env}.loadIn(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := cfg.AdminKeys(); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("AdminKeys with %q = %q, %v; want %q", tc.env, got, err, tc.want)
			}
		})
	}
}

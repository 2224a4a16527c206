package config

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestDatabaseURL: the address may come from several places, and is shown without its
// password.
func TestDatabaseURL(t *testing.T) {
	const reference = "AMTP_STORAGE_DATABASE_CONNECTION_STRING="
	for _, tc := range []struct {
		name        string
		in          command
		want, shown string
	}{
		{"none", command{}, "", ""},
		{"variable", env("AMTP_DATABASE_URL=postgres://u:canary@h:5432/d?sslmode=disable"),
			"postgres://u:canary@h:5432/d?sslmode=disable", "postgres://u:(set)@h:5432/d"},
		{"file", command{file: "database:\n  url: postgresql:///d?host=/run/pg&password=canary\n"},
			"postgresql:///d?host=/run/pg&password=canary", "postgresql:///run/pg/d"},
		{"flag", command{env: []string{"AMTP_DATABASE_URL=postgres://a/b"},
			flags: []string{"--database-url=postgres://c/d"}}, "postgres://c/d", "postgres://c/d"},
		{"keywords", env("AMTP_DATABASE_URL=host=h password=canary"), "host=h password=canary", "(set)"},
		{"the reference's", env("AMTP_STORAGE_TYPE=database", reference+"postgres://u:canary@h/d"),
			"postgres://u:canary@h/d", "postgres://u:(set)@h/d"},
		{"the reference's pool", env("AMTP_STORAGE_TYPE=database", reference+"postgres://h/d?a=b",
			"AMTP_STORAGE_DATABASE_MAX_CONNECTIONS=7", "AMTP_STORAGE_DATABASE_MAX_IDLE_TIME=5m"),
			"postgres://h/d?a=b&pool_max_conn_idle_time=5m0s&pool_max_conns=7", "postgres://h/d"},
		{"the reference's pool in keywords", env("AMTP_STORAGE_TYPE=database", reference+"host=h",
			"AMTP_STORAGE_DATABASE_MAX_CONNECTIONS=7"), "host=h pool_max_conns=7", "(set)"},
		{"the reference's pool of any size", env("AMTP_STORAGE_TYPE=database", reference+"host=h",
			"AMTP_STORAGE_DATABASE_MAX_CONNECTIONS=0"), "host=h", "(set)"},
		{"ours before the reference's", env("AMTP_STORAGE_TYPE=database", reference+"host=h",
			"AMTP_DATABASE_URL=postgres://a/b"), "postgres://a/b", "postgres://a/b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := tc.in.mustLoad(t)
			if got := string(cfg.Database.URL); got != tc.want {
				t.Errorf("database.url = %q, want %q", got, tc.want)
			}
			if got := cfg.Database.URL.String(); got != tc.shown {
				t.Errorf("database.url is shown as %q, want %q", got, tc.shown)
			}
			staysSecret(t, cfg)
		})
	}
}

// staysSecret looks for the password in every output of a configuration.
func staysSecret(t *testing.T, cfg Config) {
	t.Helper()
	yaml, err := cfg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := cfg.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "url", cfg.Database.URL)
	for _, out := range []string{string(yaml), string(doc), fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg.Database.URL),
		log.String()} {
		if strings.Contains(out, "canary") {
			t.Errorf("the password is shown: %s", out)
		}
	}
}

// TestDataDirIsOptional if a database holds the data and a file the seal key.
func TestDataDirIsOptional(t *testing.T) {
	database, key := "AMTP_DATABASE_URL=postgres://h/d", "AMTP_SEAL_KEY_FILE=/run/secrets/seal.key"
	for _, tc := range []struct {
		environ []string
		ok      bool
	}{{nil, false}, {[]string{database}, false}, {[]string{key}, false}, {[]string{database, key}, true}} {
		if _, _, err := Load(Sources{Environ: tc.environ}); (err == nil) != tc.ok {
			t.Errorf("Load with %q and no data directory = %v, want it to work: %v", tc.environ, err, tc.ok)
		}
	}
}

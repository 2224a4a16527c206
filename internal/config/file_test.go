package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func chmod(t *testing.T, name string, mode uint32) {
	t.Helper()
	if err := os.Chmod(name, os.FileMode(mode)); err != nil {
		t.Fatal(err)
	}
}

func TestRefusedFiles(t *testing.T) {
	for _, tc := range []problem{
		{"unknown section", command{file: "server:\n  domain: a.example\nlines:\n  length: 5\n"}, "{dir}/amtp.yaml:3",
			`unknown key "lines"; known here: data_dir, data_dir_open, seal_key_file, database, server, tls, acme, message, auth, federation, signature, echo, logging, limits, retention, queue, dns, outbound, peers`},
		{"unknown key", command{file: "server:\n  domain: a.example\n  adress: :80\n"}, "{dir}/amtp.yaml:3",
			`unknown key "server.adress"; known here: address, domain, former_domains, public_url, local_address, read_timeout, write_timeout, idle_timeout`},
		{"path as a key", command{file: "server.domain: a.example\n"}, "{dir}/amtp.yaml:1",
			`unknown key "server.domain"`},
		{"other case", command{file: "Server: {}\n"}, "{dir}/amtp.yaml:1", `unknown key "Server"`},
		{"merge key", command{file: "server:\n  <<: {domain: a.example}\n"}, "{dir}/amtp.yaml:2",
			`unknown key "server.<<"`},
		{"key that is a list", command{file: "? [server]\n: 1\n"}, "{dir}/amtp.yaml:1", `unknown key`},
		{"same key twice", command{file: "server:\n  domain: a.example\n  domain: b.example\n"}, "{dir}/amtp.yaml:3",
			"server.domain is in the file twice"},
		{"same section twice", command{file: "tls: {}\nserver: {}\ntls: {}\n"}, "{dir}/amtp.yaml:3",
			"tls is in the file twice"},
		{"value where a section belongs", command{file: "server: a.example\n"}, "{dir}/amtp.yaml:1",
			"expected lines of the form key: value, known here: address, domain"},
		{"list where the sections belong", command{file: "- server\n"}, "{dir}/amtp.yaml:1",
			"expected lines of the form key: value, known here: data_dir"},
		{"list where a value belongs", command{file: "server:\n  domain: [a.example]\n"}, "{dir}/amtp.yaml:2",
			"server.domain: expected one value (domain)"},
		{"alias", command{file: "data_dir: &d {dir}\nserver:\n  domain: *d\n"}, "{dir}/amtp.yaml:3",
			"expected one value"},
		{"alias that holds itself", command{file: "server: &s\n  domain: *s\n"}, "{dir}/amtp.yaml:2",
			"expected one value"},
		{"no value", command{file: "server:\n  domain:\n"}, "{dir}/amtp.yaml:2",
			"server.domain: has no value; delete the line"},
		{"two documents", command{file: "tls: {}\n---\ntls: {}\n"}, "{dir}/amtp.yaml:2", "second document"},
		{"unclosed bracket", command{file: "tls: {}\nserver: [\n"}, "{dir}/amtp.yaml:3", "the file is not YAML: "},
		{"tab", command{file: "server:\n\tdomain: a.example\n"}, "{dir}/amtp.yaml:2", "the file is not YAML: "},
		{"broken UTF-8", command{file: "server: \xff\n"}, "{dir}/amtp.yaml", "the file is not YAML: "},
		{"another data directory", command{file: "\ndata_dir: /elsewhere\n"}, "{dir}/amtp.yaml:2",
			"this file lies in another data directory"},
		{"an open data directory", command{file: "\ndata_dir_open: true\n"}, "{dir}/amtp.yaml:2",
			"a file in the data directory cannot say this"},
		{"named file that is not there", command{flags: []string{"--config={dir}/none.yaml"}}, "--config",
			"cannot be read: no such file"},
		{"file that is a directory", command{flags: []string{"--config={dir}"}}, "--config", "is a directory"},
	} {
		t.Run(tc.name, tc.test)
	}
}

func TestAcceptedFiles(t *testing.T) {
	for _, tc := range []struct{ name, file string }{
		{"empty", "\n"},
		{"comments", "# nothing yet\n"},
		{"section whose keys are comments", "server:\n#  domain: a.example\n"},
		{"its own data directory", "data_dir: {dir}/.\n"},
		{"byte order mark", "\ufefftls:\n  enabled: auto\n"},
		{"carriage returns", "tls:\r\n  enabled: auto\r\n"},
		{"flow style", `{"tls": {"enabled": "auto", "min_version": "1.3"}}`},
	} {
		t.Run(tc.name, func(t *testing.T) { command{file: tc.file}.mustLoad(t) })
	}
}

func TestNamedFileReplacesTheOneInTheDataDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "other.yaml")
	writeFile(t, name, "data_dir: /elsewhere\n", 0o600)
	in := command{file: "server: {domain: a.example}\n", flags: []string{"--config=" + name}}
	cfg := in.mustLoad(t)
	if cfg.File() != name || cfg.Server.Domain != "localhost" {
		t.Errorf("Load(%+v) read %s and got the domain %s, want %s and localhost", in, cfg.File(),
			cfg.Server.Domain, name)
	}
}

func TestNoFile(t *testing.T) {
	if cfg := (command{}).mustLoad(t); cfg.File() != "" {
		t.Errorf("File() = %q where there is none, want nothing", cfg.File())
	}
}

// FuzzFile: a file is either refused with a place, or it becomes a configuration whose
// own output has the same meaning.
func FuzzFile(f *testing.F) {
	f.Add("server:\n  domain: a.example\n  address: '[::1]:0'\n")
	f.Add("a: &a [*a]\n")
	f.Add("message: {max_size: 1 MB}\nlimits:\n  in_flight_bytes: 1GiB\n")
	f.Add("dns: {resolvers: [192.0.2.1, '::1'], mock_records: {a.example: v=amtp1;gateway=https://g}}\npeers:\n  b.example: \"v=amtp1;gateway=http://x\"\n")
	f.Add("outbound:\n  allow:\n  - 10.0.0.0/8\n  - '[fd00::/8]:1'\n  - :8443\n  - gw.lan:9\n")
	f.Add("logging: {level: WARN, format: json}\nauth: {admin_key: \"k#: x\"}\n")
	f.Fuzz(func(t *testing.T, content string) {
		l := newLoader(Sources{})
		l.fromDefaults()
		(&fileReader{loader: l, name: "f", seen: map[string]bool{}}).read([]byte(content))
		for _, p := range l.problems {
			if !strings.HasPrefix(p.Place, "f") {
				t.Fatalf("the file %q has the problem %v without a place", content, p)
			}
		}
		if len(l.problems) > 0 || l.cfg.Auth.AdminKey != "" {
			return
		}
		shown, err := l.cfg.YAML()
		if err != nil {
			t.Fatalf("YAML() of the file %q: %v", content, err)
		}
		again := newLoader(Sources{})
		(&fileReader{loader: again, name: "g", seen: map[string]bool{}}).read(shown)
		for path, text := range texts(*l.cfg) {
			if got := texts(*again.cfg)[path]; got != text || len(again.problems) > 0 {
				t.Fatalf("after the file %q: %s = %q, read again from\n%s\n%q, %v", content, path, text, shown, got,
					again.problems)
			}
		}
	})
}

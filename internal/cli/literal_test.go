package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/datadir"
)

// sends runs amtp send to bob with the words and returns the payload that left, "" for
// none.
func (u *user) sends(g *fakeGateway, words ...string) (outcome, string) {
	u.t.Helper()
	before := len(g.asked)
	got := u.run(append([]string{"send", "--to", "bob@localhost"}, words...)...)
	if len(g.asked) == before {
		return got, ""
	}
	_, payload, _ := strings.Cut(g.asked[before].body, `"payload":`)
	return got, strings.TrimSuffix(payload, "}")
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sending(t *testing.T) (*fakeGateway, *user) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/messages": {202, sentToBob}})
	return g, alice(t, g)
}

// TestTextIsLiteral: the text after --text is sent unchanged, whatever a shell, a
// stranger or another program would make of it.
func TestTextIsLiteral(t *testing.T) {
	g, u := sending(t)
	t.Chdir(u.home)
	secret := filepath.Join(u.home, ".env")
	if err := os.WriteFile(secret, []byte("DB_PASSWORD=hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.stdin = "from stdin"
	for _, text := range []string{"@.env", "@" + secret, "@@bob", "@bob, could you…", "@-", "--dash",
		"file://" + secret, "$HOME", "`id`", "<" + secret, "<<EOF", " - ", "a\r\nb"} {
		if got, payload := u.sends(g, "--text", text); got.exit != 0 ||
			payload != string(jsonOf(t, map[string]string{"text": text})) {
			t.Errorf("--text %q: %+v, sent %s", text, got, payload)
		}
	}
	for _, json := range []string{"@.env", "@" + secret, "@@1"} {
		if got, payload := u.sends(g, "--payload", json); got.exit != 2 || payload != "" ||
			strings.Contains(got.stderr, "hunter2") {
			t.Errorf("--payload %q: %+v, sent %s; want it refused as no JSON", json, got, payload)
		}
	}
	for _, words := range [][]string{{"--text", "-"}, {"--text-file", "-"}} {
		if got, payload := u.sends(g, words...); got.exit != 0 || payload != `{"text":"from stdin"}` {
			t.Errorf("%q: %+v, sent %s", words, got, payload)
		}
	}
}

// TestFilesAreNamedByTheirFlags: and editors' marks are none of their content.
func TestFilesAreNamedByTheirFlags(t *testing.T) {
	g, u := sending(t)
	file := func(text string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct{ flag, content, want string }{
		{"--text-file", "one\ntwo\n", `{"text":"one\ntwo\n"}`},
		{"--text-file", "\ufeffone\n", `{"text":"one\n"}`},
		{"--payload-file", "\ufeff{\"a\": 1.50}\r\n", `{"a":1.50}`},
		{"--payload-file", "[1,\n 2]\n", "[1,2]"},
	} {
		if got, payload := u.sends(g, tt.flag, file(tt.content)); got.exit != 0 || payload != tt.want {
			t.Errorf("%s of %q: %+v, sent %s, want %s", tt.flag, tt.content, got, payload, tt.want)
		}
	}
	for _, tt := range []struct{ flag, content, says string }{
		{"--payload-file", "{\n  \"a\": 1,\n}\n", "line 3, column 1"},
		{"--payload-file", `{"a":1}{"b":2}`, "line 1, column 8"},
		{"--text-file", "a\xffb", "UTF-8"},
	} {
		if got, payload := u.sends(g, tt.flag, file(tt.content)); got.exit != 2 || payload != "" ||
			!strings.Contains(got.stderr, tt.says) {
			t.Errorf("%s of %q: %+v, want %q", tt.flag, tt.content, got, tt.says)
		}
	}
	if got, payload := u.sends(g, "--payload", "@my file.json"); got.exit != 2 || payload != "" ||
		!strings.Contains(got.stderr, "--payload-file 'my file.json'") {
		t.Errorf("--payload of a file's name: %+v, want the flag for files", got)
	}
	for _, words := range [][]string{{"--text-file", filepath.Join(u.home, "nothing")}, {"--text-file", u.home},
		{"--text", "a", "--text-file", "b"}, {"--payload", "1", "--payload-file", "b"},
		{"--text-file", "a", "--payload-file", "b"}} {
		if got, payload := u.sends(g, words...); got.exit != 2 || payload != "" {
			t.Errorf("%q: %+v", words, got)
		}
	}
}

// TestNothingIsSentByAccident: a message without content is refused.
func TestNothingIsSentByAccident(t *testing.T) {
	g, u := sending(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"--subject S", "--text=", "--text=\u00a0\n", "--text -", "--text-file -",
		"--text-file " + empty, "--payload null", `--payload ""`, `--payload {"text":""}`} {
		got, payload := u.sends(g, strings.Split(words, " ")...)
		if got.exit != 2 || payload != "" || !strings.Contains(got.stderr, "The message has no content.") ||
			!strings.Contains(got.stderr, "--allow-empty") {
			t.Errorf("%q: %+v, sent %s", words, got, payload)
		}
	}
	if got, _ := u.sends(g); got.exit != 2 || len(g.asked) != 0 {
		t.Errorf("nothing at all: %+v, asked %q", got, g.lines())
	}
	for _, words := range []string{"--allow-empty", "--text= --allow-empty", "--payload {}", "--payload []",
		"--payload 0", "--payload false"} {
		if got, _ := u.sends(g, strings.Split(words, " ")...); got.exit != 0 {
			t.Errorf("%q: %+v", words, got)
		}
	}
}

// TestNoSecretIsContent: no config file, no file of a data directory and no key of the
// user leaves in a message, by whatever name or way it gets into one.
func TestNoSecretIsContent(t *testing.T) {
	g, u := sending(t)
	u.withDataDirectory(g.url)
	data := filepath.Join(u.home, "data")
	other := t.TempDir()
	config, err := os.ReadFile(u.configFile())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		filepath.Join(data, datadir.SealKeyFile):   "0123456789abcdef0123456789abcdef",
		filepath.Join(data, datadir.DatabaseFile):  "database",
		filepath.Join(other, datadir.DatabaseFile): "database",
		filepath.Join(other, datadir.AdminKeyFile): "of another gateway",
		filepath.Join(other, "copy"):               string(config),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link, hard := filepath.Join(other, "link"), filepath.Join(u.home, "hard")
	if err := os.Symlink(u.configFile(), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(data, datadir.SealKeyFile), hard); err != nil {
		t.Fatal(err)
	}
	files := []string{u.configFile(), link, hard, filepath.Join(data, datadir.AdminKeyFile),
		filepath.Join(data, datadir.SealKeyFile),
		filepath.Join(data, datadir.DatabaseFile), filepath.Join(data, datadir.GatewayFile),
		filepath.Join(other, datadir.AdminKeyFile), filepath.Join(other, "copy")}
	for _, name := range files {
		for _, flag := range []string{"--text-file", "--payload-file"} {
			if got, payload := u.sends(g, flag, name); payload != "" ||
				got.exit != 8 && (got.exit != 2 || flag == "--text-file") {
				t.Errorf("%s %s: %+v, sent %s", flag, name, got, payload)
			}
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		exit := Main(t.Context(), []string{"send", "--to", "bob@localhost", "--text-file", "-"}, f, &stdout, &stderr,
			func() []string { return u.env })
		if f.Close(); exit != 8 || len(g.asked) != 0 {
			t.Errorf("< %s: exit code %d, %s", name, exit, &stderr)
		}
	}
	u.env = append(u.env, "AMTP_ADMIN_KEY=key-in-the-environment")
	for _, words := range [][]string{
		{"--text", string(config)}, {"--text", "my key is amtp_secret-of-alice."},
		{"--payload", `{"k":["amtp_secret-of-alice"]}`},
		{"--text", "hi", "--subject", "amtp_secret-of-alice"}, {"--text", "hi", "--header", "k=amtp_secret-of-alice"},
		{"--text", "key-of-the-directory"}, {"--text", "key-in-the-environment"},
	} {
		if got, payload := u.sends(g, words...); got.exit != 8 || payload != "" ||
			strings.Contains(got.stderr, "secret-of-alice") {
			t.Errorf("%q: %+v, sent %s", words, got, payload)
		}
	}
	const odd = `a<b>c&d-0123456789`
	u.env = append(u.env, "AMTP_ADMIN_KEY="+odd)
	for _, words := range [][]string{
		{"--text", "it is " + odd + "."}, {"--payload", `{"a<b>c&d-0123456789":1}`},
		{"--payload", `["\u0061\u003cb\u003Ec\u0026d-0123456789"]`},
		{"--text", "hi", "--header", "k=" + odd},
	} {
		if got, payload := u.sends(g, words...); got.exit != 8 || payload != "" {
			t.Errorf("a key of characters that JSON escapes, %q: %+v, sent %s", words, got, payload)
		}
	}
	if got, payload := u.sends(g, "--text", "apiKey is a member of ~/.amtp-config.json"); got.exit != 0 ||
		payload == "" {
		t.Errorf("a text about keys: %+v", got)
	}
}

package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/datadir"
)

const (
	registered = `{"address":"alice@localhost","api_key":"amtp_new-key-of-alice","delivery_mode":"pull","agent":{"address":"alice@localhost"},"message":"ok"}`
	taken      = `{"error":{"code":"CONFLICT","message":"The agent alice@localhost exists already."}}`
	issued     = `{"address":"alice@localhost","api_key":"amtp_new-key-of-alice","id":"key_2","revoked":0,"message":"ok"}`
	iAmAlice   = `{"address":"alice@localhost","domain":"localhost","key_id":"key_1","unread":1,"pending":2,"agent":{"address":"alice@localhost"}}`
	afterwards = "  Address: alice@localhost\n  Config saved to: $HOME/.amtp-config.json\n\nYou can now send and receive messages.\n"
)

func TestSetupRegistersAndSaves(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	u.writeConfig(`{"keep": {"n": 1.50}, "adminKey": "fileadmin"}`)
	got := u.run("setup", "--name", "alice", "--gateway", g.url, "--role", "buyer", "--capability", "ocr",
		"--capability", "a,b", "--schema", "agntcy:commerce.*", "--description", "Buys", "--unlisted")
	u.expect(g, got, 0, "Agent registered successfully.\n"+afterwards, "Registering agent \"alice\" on $URL...\n")
	want := fakeRequest{"POST /v1/admin/agents", "", "fileadmin",
		`{"address":"alice","delivery_mode":"pull","description":"Buys","role":"buyer","capabilities":["ocr","a,b"],"supported_schemas":["agntcy:commerce.*"],"listed":false}`}
	if len(g.asked) != 1 || g.asked[0] != want {
		t.Errorf("asked %+v\nwant %+v", g.asked, want)
	}
	saved, err := os.ReadFile(u.configFile())
	if err != nil {
		t.Fatal(err)
	}
	wantFile := strings.ReplaceAll(`{
  "adminKey": "fileadmin",
  "agentAddress": "alice@localhost",
  "agentName": "alice",
  "apiKey": "amtp_new-key-of-alice",
  "gatewayUrl": "$URL",
  "keep": {
    "n": 1.50
  }
}
`, "$URL", g.url)
	if string(saved) != wantFile {
		t.Errorf("the file is\n%s\nwant\n%s", saved, wantFile)
	}
	if info, err := os.Stat(u.configFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestSetupOnThisMachineNeedsNoKey(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	u.run("setup", "--name=alice", "--gateway="+g.url)
	if want := (fakeRequest{"POST /v1/admin/agents", "", "",
		`{"address":"alice","delivery_mode":"pull"}`}); len(g.asked) != 1 || g.asked[0] != want {
		t.Errorf("asked %+v\nwant %+v", g.asked, want)
	}
}

// withDataDirectory gives the user a data directory with an admin key whose
// gateway is recorded at base.
func (u *user) withDataDirectory(base string) {
	u.t.Helper()
	dir := filepath.Join(u.home, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, datadir.AdminKeyFile), []byte("key-of-the-directory\n"),
		0o600); err != nil {
		u.t.Fatal(err)
	}
	claim, err := datadir.Acquire(dir)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { claim.Release() })
	if err := datadir.Record(dir, datadir.Running{URL: base, PID: 1}); err != nil {
		u.t.Fatal(err)
	}
}

func TestSetupUsesTheKeyOfTheDataDirectoryForItsGatewayOnly(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	other := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	u.withDataDirectory(g.url)
	u.run("setup", "--name", "alice", "--gateway", g.url)
	u.run("setup", "--name", "alice2", "--profile", "two", "--gateway",
		strings.Replace(g.url, "127.0.0.1", "localhost", 1))
	u.run("setup", "--name", "alice", "--profile", "three", "--gateway", other.url)
	if len(g.asked) != 2 || g.asked[0].admin != "key-of-the-directory" || g.asked[1].admin != "key-of-the-directory" {
		t.Errorf("the recorded gateway was asked %+v", g.asked)
	}
	if len(other.asked) != 1 || other.asked[0].admin != "" {
		t.Errorf("another gateway was asked %+v", other.asked)
	}
}

func TestSetupKeepsAKeyThatWorks(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/whoami": {200, iAmAlice}})
	u := alice(t, g)
	got := u.run("setup", "--name", "Alice")
	u.expect(g, got, 0, "Agent is registered already; its saved key works and was kept.\n"+afterwards,
		"Registering agent \"Alice\" on $URL...\n")
	if u.config()["apiKey"] != "amtp_secret-of-alice" {
		t.Errorf("the key was changed: %v", u.config())
	}
}

func TestSetupWithAKeptKeyUpdatesTheAgent(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/whoami": {200, iAmAlice}, "PATCH /v1/admin/agents/alice": {200, `{"address":"alice@localhost"}`}})
	alice(t, g).run("setup", "--name", "alice", "--role", "seller")
	want := fakeRequest{"PATCH /v1/admin/agents/alice", "amtp_secret-of-alice", "", `{"role":"seller"}`}
	if len(g.asked) != 2 || g.asked[1] != want {
		t.Errorf("asked %+v\nwant %+v", g.asked, want)
	}
}

func TestSetupReplacesAKeyThatNoLongerWorks(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/whoami":                   {401, wrongKey},
		"POST /v1/admin/agents":            {409, taken},
		"POST /v1/admin/agents/alice/keys": {201, issued},
		"GET /v1/admin/agents/alice":       {200, aliceSince("2026-11-01")},
	})
	u := alice(t, g)
	u.writeConfig(strings.Replace(readAll(t, u.configFile()), "{", `{"agentCreated":"2026-11-01T10:00:00.000Z",`, 1))
	u.withDataDirectory(g.url)
	got := u.run("setup", "--name", "alice")
	u.expect(g, got, 0, "Agent is registered already; a new key was issued for it.\n"+afterwards,
		"Registering agent \"alice\" on $URL...\n")
	if u.config()["apiKey"] != "amtp_new-key-of-alice" {
		t.Errorf("the file has %v", u.config())
	}
	want := []fakeRequest{
		{"GET /v1/whoami", "amtp_secret-of-alice", "", ""},
		{"POST /v1/admin/agents", "", "key-of-the-directory", `{"address":"alice","delivery_mode":"pull"}`},
		{"GET /v1/admin/agents/alice", "", "key-of-the-directory", ""},
		{"POST /v1/admin/agents/alice/keys", "", "key-of-the-directory", `{"revoke_others":false}`},
	}
	if !reflect.DeepEqual(g.asked, want) {
		t.Errorf("asked %+v\nwant %+v", g.asked, want)
	}
}

func TestSetupOfATakenNameWithoutAnAdminKey(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {409, taken}})
	u := newUser(t)
	got := u.run("setup", "--name", "alice", "--gateway", g.url)
	u.expect(g, got, 5, "",
		"Registering agent \"alice\" on $URL...\nError (CONFLICT): The agent alice@localhost exists already.\n  Hint: choose another name; or, if this agent is yours, set AMTP_ADMIN_KEY or AMTP_DATA_DIR to the gateway's and add --take-over\n")
	if _, err := os.Stat(u.configFile()); err == nil {
		t.Error("a failed setup saved something")
	}
}

func TestSetupRefusals(t *testing.T) {
	forbidden := `{"error":{"code":"ADMIN_ACCESS_DENIED","message":"Invalid admin API key","details":{"endpoint":"/v1/admin/agents"}}}`
	required := `{"error":{"code":"ADMIN_AUTHENTICATION_REQUIRED","message":"Admin API key required"}}`
	tests := []struct {
		args    []string
		answers map[string]fakeAnswer
		exit    int
		stdout  string
		stderr  string
	}{
		{[]string{"setup"}, nil, 2, "", "Error: --name is required. Usage: amtp setup --name <agent-name>\n"},
		{[]string{"setup", "--name", "has space"}, nil, 2, "",
			"Error: Invalid agent name. Use letters, numbers, hyphens, underscores, dots (1-64 chars). Cannot start/end with -, _, or .\n  Hint: run \"amtp setup --help\"\n"},
		{[]string{"setup", "--name", "x", "--gateway", "https://gateway.example"}, nil, 3, "",
			"Error: Missing config: the gateway's admin key (adminKey). Set AMTP_ADMIN_KEY env var.\n  Hint: ask whoever runs the gateway for its admin key\n"},
		{[]string{"setup", "--name", "x"}, map[string]fakeAnswer{"POST /v1/admin/agents": {403, forbidden}}, 3, "",
			"Registering agent \"x\" on $URL...\nError (ADMIN_ACCESS_DENIED): Invalid admin API key\n  Hint: set AMTP_ADMIN_KEY to the gateway's admin key: it is in admin.key in its data directory, if its operator set no other\n"},
		{[]string{"setup", "--name", "x"}, map[string]fakeAnswer{"POST /v1/admin/agents": {401, required}}, 3, "",
			"Registering agent \"x\" on $URL...\nError (ADMIN_AUTHENTICATION_REQUIRED): Admin API key required\n  Hint: set AMTP_ADMIN_KEY to the gateway's admin key\n"},
		{[]string{"setup", "--name", "x"}, map[string]fakeAnswer{"POST /v1/admin/agents": {201,
			`{"agent":{"address":"x@localhost"}}`}}, 1, "",
			"Registering agent \"x\" on $URL...\nError: Registration succeeded but no API key was returned. The agent may already exist.\n  Hint: choose another name, or ask whoever runs the gateway for a key\n"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			g := newFakeGateway(t, tt.answers)
			u := newUser(t)
			u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url)
			u.expect(g, u.run(tt.args...), tt.exit, tt.stdout, tt.stderr)
		})
	}
}

func TestTheEnvironmentGoesBeforeTheFile(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/whoami":                {200, strings.ReplaceAll(iAmAlice, "alice", "carol")},
		"GET /v1/inbox/carol@localhost": {200, emptyInbox}})
	u := newUser(t)
	u.writeConfig(`{"gatewayUrl":"http://127.0.0.1:1","agentName":"alice","agentAddress":"alice@localhost","apiKey":"amtp_secret-of-alice"}`)
	u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url, "AMTP_API_KEY=amtp_secret-of-carol", "AMTP_AGENT_NAME=",
		"AMTP_ADMIN_KEY=0123456789abcdef")
	u.expect(g, u.run("whoami"), 0,
		"AMTP Configuration:\n  Gateway URL:     $URL\n  Agent Name:      alice\n  Agent Address:   (not set)\n  API Key:         amtp_sec...\n  Admin Key:       01234567...\n  Config File:     $HOME/.amtp-config.json\n",
		"")
	u.expect(g, u.run("inbox"), 0, "Inbox is empty.\n", "")
	for _, r := range g.asked {
		if r.key != "amtp_secret-of-carol" || r.admin != "" {
			t.Errorf("%s with keys %q and %q", r.line, r.key, r.admin)
		}
	}
}

func TestSavedKeysGoToTheirGatewayOnly(t *testing.T) {
	other := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/discovery/agents": {200, `{"agents":[]}`},
		"GET /v1/messages/m1/status": {401, wrongKey}})
	const saved = "http://127.0.0.1:1"
	for _, args := range []string{"inbox", "send --to b@localhost --text x", "read m1", "ack m1", "sent", "status m1",
		"discover", "whoami --check",
		"unregister --yes", "agent list", "agent show", "agent show bob", "agent delete alice --yes",
		"agent rotate-key", "agent rotate-key bob --save f", "agent revoke-key key_1"} {
		for _, given := range []string{"flag", "environment"} {
			u := newUser(t)
			u.writeConfig(`{"gatewayUrl":"` + saved +
				`","agentName":"alice","agentAddress":"alice@localhost","apiKey":"amtp_secret-of-alice","adminKey":"fileadmin"}`)
			line := strings.Fields(args)
			if given == "flag" {
				line = append(line, "--gateway", other.url)
			} else {
				u.env = append(u.env, "AMTP_GATEWAY_URL="+other.url)
			}
			got := u.run(line...)
			if want := "the saved key is for " + saved; strings.HasPrefix(got.stderr, "Error: Missing config: the a") &&
				!strings.Contains(got.stderr, want) {
				t.Errorf("amtp %s: %swant the hint %q", args, got.stderr, want)
			}
			if u.config()["apiKey"] != "amtp_secret-of-alice" {
				t.Errorf("amtp %s changed the file to %v", args, u.config())
			}
		}
	}
	for _, r := range other.asked {
		if r.key != "" || r.admin != "" {
			t.Errorf("another gateway was asked %s with the saved keys %q and %q", r.line, r.key, r.admin)
		}
	}
}

func TestTheSavedGatewayMayBeWrittenInOtherWays(t *testing.T) {
	for _, tt := range []struct {
		saved, used string
		want        bool
	}{
		{"https://Mail.Example", "https://mail.example:443/", true},
		{"http://127.0.0.1:80/", "http://127.0.0.1", true},
		{"http://[::1]:80", "http://[::1]", true},
		{"https://mail.example/a", "https://mail.example/a/", true},
		{"https://mail.example/a", "https://mail.example/A", false},
		{"https://mail.example", "http://mail.example", false},
		{"https://mail.example", "https://mail.example:8443", false},
		{"https://mail.example", "https://mail.example@evil.example", false},
		{"https://mail.example", "https://mail.example.evil.example", false},
		{"https://mail.example:443", "http://mail.example:443", false},
		{"", "http://127.0.0.1:8080", true},
		{"", "https://mail.example", false},
	} {
		u := newUser(t)
		u.writeConfig(`{"gatewayUrl":"` + tt.saved + `","apiKey":"amtp_secret-of-alice"}`)
		got := u.run("whoami", "--gateway", tt.used)
		if strings.Contains(got.stdout, "amtp_sec...") != tt.want {
			t.Errorf("a key for %q, used %q: got\n%swant it used: %v", tt.saved, tt.used, got.stdout, tt.want)
		}
	}
}

func TestASavedAdminKeyDoesNotMoveToAnotherGateway(t *testing.T) {
	first := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/admin/agents": {200, `{"agents":{}}`}})
	second := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	u.writeConfig(`{"gatewayUrl":"` + first.url +
		`","agentName":"alice","apiKey":"amtp_secret-of-alice","adminKey":"fileadmin"}`)
	u.does(0, "", "profile", "remove", "default", "--yes")
	u.does(0, "", "setup", "--name", "alice", "--gateway", second.url)
	got := u.run("whoami")
	if strings.Contains(got.stdout, "fileadmin") {
		t.Errorf("the admin key of the first is shown as that of the second: %+v", got)
	}
	if got := u.run("agent", "list"); got.exit != 3 {
		t.Errorf("agent list at the second gateway: %+v, want exit 3", got)
	}
	if got := u.run("agent", "list", "--gateway", first.url); got.exit != 0 || first.asked[0].admin != "fileadmin" {
		t.Errorf("agent list at the first gateway: %+v, asked %+v", got, first.asked)
	}
	for _, r := range second.asked {
		if r.admin != "" {
			t.Errorf("the second gateway was asked %s with %q", r.line, r.admin)
		}
	}
}

func TestABrokenConfigFileIsNotTakenForNone(t *testing.T) {
	u := newUser(t)
	for _, text := range []string{"{", "[]", "null"} {
		u.writeConfig(text)
		got := u.run("setup", "--name", "alice")
		if got.exit != 3 || !strings.Contains(got.stderr, "is not a JSON object") {
			t.Errorf("a file %q: exit %d, %s", text, got.exit, got.stderr)
		}
		if left, _ := os.ReadFile(u.configFile()); string(left) != text {
			t.Errorf("the file %q was changed to %q", text, left)
		}
	}
}

func TestTheConfigFileMayBeALink(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	real := filepath.Join(t.TempDir(), "real.json")
	if err := os.WriteFile(real, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, u.configFile()); err != nil {
		t.Fatal(err)
	}
	u.run("setup", "--name", "alice", "--gateway", g.url)
	if info, err := os.Lstat(u.configFile()); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if b, _ := os.ReadFile(real); !strings.Contains(string(b), "amtp_new-key-of-alice") {
		t.Errorf("the linked file has %q", b)
	}
}

func TestUnregisterForgetsTheKey(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"DELETE /v1/admin/agents/alice": {200, `{}`}})
	u := alice(t, g)
	if got := u.run("unregister", "--yes"); got.exit != 0 {
		t.Fatalf("%+v", got)
	}
	if want := map[string]string{"gatewayUrl": g.url}; !reflect.DeepEqual(u.config(), want) {
		t.Errorf("the file has %v, want %v", u.config(), want)
	}
	if g.asked[0].key != "amtp_secret-of-alice" || g.asked[0].admin != "" {
		t.Errorf("asked %+v", g.asked)
	}
}

func TestUnregisterOfAnotherAgentKeepsTheKey(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"DELETE /v1/admin/agents/bob": {200, `{}`}})
	u := alice(t, g)
	u.env = append(u.env, "AMTP_AGENT_NAME=bob", "AMTP_ADMIN_KEY=admin-secret-admin-secret")
	got := u.run("agent", "delete", "bob@localhost")
	if got.exit != 2 || len(g.asked) != 0 {
		t.Errorf("delete without --yes: %+v", got)
	}
	u.expect(g, u.run("unregister", "--yes"), 0, "Agent \"bob\" removed from gateway.\n",
		"Unregistering agent \"bob\"...\n")
	if u.config()["apiKey"] != "amtp_secret-of-alice" {
		t.Errorf("the file has %v", u.config())
	}
}

// TestSetupThatSavesNothing: an identity that cannot be saved is not registered.
func TestSetupThatSavesNothing(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered}})
	u := newUser(t)
	got := u.run("setup", "--name", "alice", "--gateway", g.url, "--config",
		filepath.Join(u.home, "no", "such", "directory", "c.json"))
	if got.exit != 1 || !strings.Contains(got.stderr, "Cannot save the config file") || len(g.asked) != 0 {
		t.Errorf("exit code %d, %q, and the gateway was asked %d times; want 1, what cannot be saved, and not once",
			got.exit, got.stderr, len(g.asked))
	}
}

// TestSetupWhoseAnswerIsLost: run again it shows the idempotency key of the first
// attempt, until the gateway has answered.
func TestSetupWhoseAnswerIsLost(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {500,
		`{"error":{"code":"INTERNAL_SERVER_ERROR","message":"lost"}}`}})
	u := newUser(t)
	u.run("setup", "--name", "alice", "--gateway", g.url)
	u.run("setup", "--name", "ALICE", "--gateway", g.url, "--role", "buyer")
	u.run("setup", "--name", "bob", "--gateway", g.url)
	u.run("setup", "--name", "alice", "--gateway", g.url)
	keys := g.repeats
	if len(g.asked) < 2 || g.asked[0].body != g.asked[1].body {
		t.Errorf("the gateway was asked for %+v, want alice's second attempt to ask for what the first did", g.asked)
	}
	if len(keys) != 4 || len(keys[0]) < 22 || keys[1] != keys[0] || keys[2] == keys[0] || keys[3] == keys[2] {
		t.Fatalf("idempotency keys %q, want one for alice's two attempts, one for bob's, and another for what came after that",
			keys)
	}
	g.answers["POST /v1/admin/agents"] = fakeAnswer{200, registered}
	u.expect(g, u.run("setup", "--name", "alice", "--gateway", g.url), 0, "Agent registered successfully.\n"+afterwards,
		"Registering agent \"alice\" on $URL...\n")
	if keys = g.repeats; keys[4] != keys[3] {
		t.Errorf("the last attempt had the idempotency key %q, want %q", keys[4], keys[3])
	}
	if saved, err := os.ReadFile(u.configFile()); err != nil || strings.Contains(string(saved), "registering") {
		t.Errorf("the file is %s, %v; want nothing of the attempts in it", saved, err)
	}
}

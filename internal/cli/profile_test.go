package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// gateways are two gateways, a and b, and the keys that they were sent.
type gateways struct {
	url  map[string]string
	seen map[string][]string // gateway → keys
}

func newGateways(t *testing.T) *gateways {
	g := &gateways{map[string]string{}, map[string][]string{}}
	for _, name := range []string{"a", "b"} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, header := range []string{"Authorization", "X-Admin-Key"} {
				if key := strings.TrimPrefix(r.Header.Get(header), "Bearer "); key != "" {
					g.seen[name] = append(g.seen[name], key)
				}
			}
			w.Header().Set("Content-Type", "application/json")
			switch {
			case r.URL.Path == "/v1/admin/agents":
				io.WriteString(w, `{"agents":{},"count":0}`)
			default:
				io.WriteString(w, iAmAlice)
			}
		}))
		t.Cleanup(srv.Close)
		g.url[name] = srv.URL
	}
	return g
}

// profiled is a user with two profiles, a and b, each for its gateway.
func profiled(t *testing.T, g *gateways) *user {
	u := newUser(t)
	u.writeConfig(profilesOf(g, ""))
	return u
}

func profilesOf(g *gateways, use string) string {
	one := func(name string) string {
		return fmt.Sprintf(`{"gatewayUrl":%q,"agentName":"alice","agentAddress":"alice@localhost","apiKey":"key-of-%s","adminKey":"admin-of-%[2]s"}`,
			g.url[name], name)
	}
	used := ""
	if use != "" {
		used = fmt.Sprintf(`"profile":%q,`, use)
	}
	return fmt.Sprintf(`{%s"keep":{"n":1.50},"profiles":{"a":%s,"b":%s}}`, used, one("a"), one("b"))
}

// allowing is a config file in which the project may choose the profile.
func allowing(dir, profile, config string) string {
	return fmt.Sprintf(`{"projects":{%q:%q},`, dir, profile) + strings.TrimPrefix(config, "{")
}

// work makes a project directory, with a file that names the profile if there
// is one, and goes there.
func work(t *testing.T, profile string) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if profile != "" {
		writeProject(t, dir, fmt.Sprintf("profile = %q\n", profile))
	}
	return dir
}

func writeProject(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, profile.ProjectFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestAKeyGoesToItsOwnGateway tries every way to say which profile and which
// gateway, all at once: no gateway ever sees the other profile's keys.
func TestAKeyGoesToItsOwnGateway(t *testing.T) {
	slow.Test(t, "there are 729 ways to name a gateway and a profile")
	g := newGateways(t)
	u := profiled(t, g)
	base := u.env
	dir := work(t, "")
	choices, urls := []string{"", "a", "b"}, []string{"", g.url["a"], g.url["b"]}
	shown := 0
	for n := range 3 * 3 * 3 * 3 * 3 * 3 {
		pick := func(list []string) string {
			choice := list[n%3]
			n /= 3
			return choice
		}
		flag, env, project, use, gatewayFlag, gatewayEnv := pick(choices), pick(choices), pick(choices), pick(choices),
			pick(urls), pick(urls)
		u.writeConfig(allowing(dir, project, profilesOf(g, use)))
		writeProject(t, dir, "# none\n")
		if project != "" {
			writeProject(t, dir, "profile = '"+project+"'")
		}
		u.env = append(base[:len(base):len(base)], "AMTP_PROFILE="+env, "AMTP_GATEWAY_URL="+gatewayEnv)
		flags := []string{"--profile", flag, "--gateway", gatewayFlag}
		clear(g.seen)
		u.run(append([]string{"whoami", "--check"}, flags...)...)
		u.run(append([]string{"agent", "list"}, flags...)...)
		for name, keys := range g.seen {
			for _, key := range keys {
				shown++
				if !strings.HasSuffix(key, "-of-"+name) {
					t.Fatalf("--profile %q AMTP_PROFILE %q project %q use %q --gateway %q AMTP_GATEWAY_URL %q: gateway %s was shown %s",
						flag, env, project, use, gatewayFlag, gatewayEnv, name, key)
				}
			}
		}
	}
	if shown < 500 {
		t.Errorf("only %d keys were shown: this test tried nothing", shown)
	}
}

// TestAProjectDoesNotSendKeysElsewhere compares where a key of the environment
// goes with and without a project file.
func TestAProjectDoesNotSendKeysElsewhere(t *testing.T) {
	g := newGateways(t)
	u := newUser(t)
	u.writeConfig(allowing(work(t, "b"), "b", profilesOf(g, "a")))
	u.env = append(u.env, "AMTP_API_KEY=key-of-the-environment", "AMTP_ADMIN_KEY=admin-of-the-environment")
	check := u.run("whoami", "--check")
	list := u.run("agent", "list")
	if got := fmt.Sprint(g.seen); got != "map[a:[key-of-the-environment admin-of-the-environment]]" {
		t.Errorf("shown: %s\n%+v\n%+v", got, check, list)
	}
	if !strings.Contains(check.stderr, `AMTP_API_KEY takes precedence over the project file`) {
		t.Errorf("stderr %q says nothing of the project file", check.stderr)
	}
	u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url["b"])
	clear(g.seen)
	if u.run("whoami", "--check"); fmt.Sprint(g.seen) != "map[b:[key-of-the-environment]]" {
		t.Errorf("with AMTP_GATEWAY_URL shown: %v", g.seen)
	}
}

// TestAFlagLeavesTheEnvironmentsKeyAtItsGateway: --profile goes before the
// environment, whose key is for the gateway that the environment names.
func TestAFlagLeavesTheEnvironmentsKeyAtItsGateway(t *testing.T) {
	g := newGateways(t)
	u := newUser(t)
	u.writeConfig(fmt.Sprintf(`{"profiles":{"b":{"gatewayUrl":%q}}}`, g.url["b"]))
	u.env = append(u.env, "AMTP_API_KEY=key-of-a", "AMTP_GATEWAY_URL="+g.url["a"])
	if got := u.run("whoami", "--check", "--profile", "b"); got.exit != 3 || len(g.seen) != 0 {
		t.Errorf("exit %d, shown %v; want 3 and none", got.exit, g.seen)
	}
}

func TestWhichProfile(t *testing.T) {
	tests := []struct {
		flag, env, project, use string
		want, by                string
	}{
		{"", "", "", "", "default", ""},
		{"", "", "", "a", "a", `"amtp profile use"`},
		{"", "", "b", "a", "b", "$FILE"},
		{"", "", "default", "a", "default", "$FILE"},
		{"", "a", "b", "b", "a", "AMTP_PROFILE"},
		{"b", "a", "a", "a", "b", "--profile"},
		{"default", "a", "a", "a", "default", "--profile"},
	}
	g := newGateways(t)
	for _, tt := range tests {
		u := newUser(t)
		dir := work(t, tt.project)
		u.writeConfig(allowing(dir, tt.project, profilesOf(g, tt.use)))
		p := newProgram(strings.NewReader(""), io.Discard, io.Discard, append(u.env, "AMTP_PROFILE="+tt.env))
		p.profile = tt.flag
		id, err := p.identity()
		by := strings.ReplaceAll(tt.by, "$FILE", filepath.Join(dir, profile.ProjectFile))
		if err != nil || id.Profile != tt.want || id.ChosenBy != by {
			t.Errorf("%+v: %q by %q, %v", tt, id.Profile, id.ChosenBy, err)
		}
	}
}

func TestAProjectFileSaysNothingElse(t *testing.T) {
	u := newUser(t)
	dir := work(t, "")
	for _, text := range []string{
		"gatewayUrl = \"https://evil.example\"\n",
		"profile = \"a\"\ngateway = \"https://evil.example\"\n",
		"profile = \"a\"\nprofile = \"b\"\n",
		"[profile]\nname = \"a\"\n",
		"profile = \"a\" gateway = \"x\"\n",
		"profile = a\n",
		"profile = \"a\n",
		"profile = \"a/../b\"\n",
		"profile = \"\"\n",
		"{\"profile\":\"a\"}\n",
		"profile = \"a\"\r\rgateway = 1",
		strings.Repeat("# long\n", 1000),
	} {
		writeProject(t, dir, text)
		got := u.run("whoami")
		if got.exit != 2 || !strings.HasPrefix(got.stderr, "Error: The project file "+dir) ||
			strings.Contains(got.stderr, "evil") {
			t.Errorf("%q: exit %d, %s", text, got.exit, got.stderr)
		}
		if got := u.run("whoami", "--profile", "default"); got.exit != 0 {
			t.Errorf("%q with --profile: exit %d, %s", text, got.exit, got.stderr)
		}
	}
	for _, text := range []string{"", "\n# profile = \"x\"\n", "  profile=\"default\"  # ours\r\n\r\n",
		"\tprofile\t=\t'default'"} {
		writeProject(t, dir, text)
		if got := u.run("whoami"); got.exit != 0 {
			t.Errorf("%q: exit %d, %s", text, got.exit, got.stderr)
		}
	}
	if err := os.Remove(filepath.Join(dir, profile.ProjectFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(u.configFile(), filepath.Join(dir, profile.ProjectFile)); err != nil {
		t.Fatal(err)
	}
	u.writeConfig("secret")
	if got := u.run("profile", "list", "--config", filepath.Join(dir, "other")); got.exit != 0 {
		t.Errorf("with --config: exit %d, %s", got.exit, got.stderr)
	}
	u.writeConfig("{}")
	if got := u.run("whoami"); got.exit != 2 || !strings.Contains(got.stderr, "it is no plain file") {
		t.Errorf("a link: exit %d, %s", got.exit, got.stderr)
	}
}

func TestSetupWritesIntoAProfile(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"POST /v1/admin/agents":         {201, registered},
		"GET /v1/whoami":                {200, iAmAlice},
		"DELETE /v1/admin/agents/alice": {200, `{}`},
	})
	u := newUser(t)
	u.writeConfig(`{"gatewayUrl":"https://other.example","agentName":"bob","agentAddress":"bob@other.example","apiKey":"key-of-bob","keep":{"n":1.50}}`)
	got := u.run("setup", "--name", "alice", "--profile", "work", "--gateway", g.url)
	u.expect(g, got, 0, "Agent registered successfully.\n  Address: alice@localhost\n"+
		"  Config saved to: $HOME/.amtp-config.json, profile work\n\nYou can now send and receive messages.\n",
		"Registering agent \"alice\" on $URL...\n")
	saved, err := os.ReadFile(u.configFile())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`{
  "agentAddress": "bob@other.example",
  "agentName": "bob",
  "apiKey": "key-of-bob",
  "gatewayUrl": "https://other.example",
  "keep": {
    "n": 1.50
  },
  "profiles": {
    "work": {
      "agentAddress": "alice@localhost",
      "agentName": "alice",
      "apiKey": "amtp_new-key-of-alice",
      "gatewayUrl": "$URL"
    }
  }
}
`, "$URL", g.url)
	if string(saved) != want {
		t.Errorf("the file is\n%s\nwant\n%s", saved, want)
	}
	if info, err := os.Stat(u.configFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v; want 0600", info.Mode(), err)
	}

	for _, args := range []string{"inbox --profile nobody", "whoami --profile nobody"} {
		got := u.run(strings.Fields(args)...)
		u.expect(nil, got, 3, "",
			"Error: There is no profile \"nobody\" in $HOME/.amtp-config.json; it was chosen by --profile.\n"+
				"  Hint: run \"amtp setup --profile nobody --name <agent-name>\", or choose one of \"amtp profile list\"\n")
	}
	if got := u.run("whoami", "--profile", "../x"); got.exit != 2 ||
		!strings.HasPrefix(got.stderr, "Error: Invalid profile name") {
		t.Errorf("a bad name: %+v", got)
	}
	u.expect(nil, u.run("profile", "use", "nobody"), 4, "",
		"Error: There is no profile \"nobody\" in $HOME/.amtp-config.json.\n"+
			"  Hint: choose one of \"amtp profile list\", or make it with \"amtp setup --profile nobody --name <agent-name>\"\n")
	u.expect(nil, u.run("profile", "use", "work"), 0, "Using profile work.\n", "")
	u.expect(g, u.run("profile", "list"), 0,
		"  default  bob@other.example  https://other.example\n* work     alice@localhost    $URL\n",
		"Used is \"work\": \"amtp profile use\" says so.\n")
	u.env = append(u.env, "AMTP_PROFILE=default")
	u.expect(nil, u.run("profile", "use", "work"), 0, "Using profile work.\n",
		"Here and now AMTP_PROFILE says \"default\", which takes precedence.\n")
	u.env = append(u.env, "AMTP_PROFILE=")

	if got := u.run("whoami"); !strings.Contains(got.stdout, "Agent Name:      alice\n") ||
		!strings.HasSuffix(got.stdout, "  Profile:         work\n") {
		t.Errorf("whoami: %s", got.stdout)
	}
	if got := u.run("unregister", "--yes"); got.exit != 0 {
		t.Errorf("unregister: %+v", got)
	}
	u.expect(nil, u.run("profile", "list"), 0, "* default  bob@other.example  https://other.example\n", "")
}

// A user who unregistered keeps the gateway's URL, and no address.
func TestProfileListOfWhoUnregistered(t *testing.T) {
	u := newUser(t)
	u.writeConfig(`{"gatewayUrl":"http://a.example","profiles":{"work":{"agentAddress":"al@b.example","gatewayUrl":"http://b.example"}}}`)
	u.expect(nil, u.run("profile", "list"), 0,
		"* default  (not set up)  http://a.example\n  work     al@b.example  http://b.example\n", "")
}

func TestABrokenProfilesMember(t *testing.T) {
	u := newUser(t)
	for _, text := range []string{`{"profiles":[]}`, `{"profiles":{"a":1}}`, `{"profiles":null}`} {
		u.writeConfig(text)
		if got := u.run("whoami"); got.exit != 3 || !strings.Contains(got.stderr,
			`the member "profiles" is not an object of objects`) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// TestSetupsAtOnce become several agents at the same time: no key is lost.
func TestSetupsAtOnce(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a struct{ Address string }
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"address":"%s@localhost","api_key":"amtp_key-of-%[1]s","agent":{"address":"%[1]s@localhost"}}`,
			a.Address)
	}))
	defer srv.Close()
	u := newUser(t)
	const agents = 16
	var all sync.WaitGroup
	for n := range agents {
		all.Go(func() {
			name := fmt.Sprintf("agent%d", n)
			if got := u.run("setup", "--name", name, "--profile", name, "--gateway", srv.URL); got.exit != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	all.Wait()
	c, err := profile.Read(u.configFile())
	if err != nil || len(c.Profiles) != agents {
		t.Fatalf("%d profiles, %v; want %d", len(c.Profiles), err, agents)
	}
	for name, m := range c.Profiles {
		if m.Text(profile.MemberKey) != "amtp_key-of-"+name {
			t.Errorf("profile %s has key %q", name, m.Text(profile.MemberKey))
		}
	}
	if left, err := os.ReadDir(u.home); err != nil || len(left) != 1 {
		t.Errorf("left in the home: %v, %v", left, err)
	}
}

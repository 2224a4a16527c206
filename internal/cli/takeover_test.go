package cli

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/profile"
)

// TestSetupReplacesNoIdentity: for any arguments, the key of another agent stays in the
// file, and no gateway is asked.
func TestSetupReplacesNoIdentity(t *testing.T) {
	g := newFakeGateway(t, nil)
	const carol = `"agentName":"carol","agentAddress":"carol@bob.lan","apiKey":"amtp_only-key-of-carol"`
	for _, tt := range []struct{ config, words string }{
		{`{"gatewayUrl":"https://bob.lan:8444",` + carol + `}`, "--name newbie --gateway $URL"},
		{`{"gatewayUrl":"https://bob.lan:8444",` + carol + `}`, "--name carol --gateway $URL"},
		{`{"gatewayUrl":"$URL",` + carol + `}`, "--name carole"},
		{`{"gatewayUrl":"$URL",` + carol + `}`, "--name carole --take-over"},
		{`{"gatewayUrl":"$URL","apiKey":"amtp_only-key-of-carol"}`, "--name carol"},
		{`{"apiKey":"amtp_only-key-of-carol"}`, "--name carol --gateway $URL"},
		{`{"profiles":{"work":{"gatewayUrl":"$URL",` + carol + `}}}`, "--name alice --profile work"},
		{`{"profile":"work","profiles":{"work":{"gatewayUrl":"$URL",` + carol + `}}}`, "--name alice"},
	} {
		u := newUser(t)
		u.withDataDirectory(g.url)
		config := strings.ReplaceAll(tt.config, "$URL", g.url)
		u.writeConfig(config)
		got := u.run(append([]string{"setup"}, strings.Fields(strings.ReplaceAll(tt.words, "$URL", g.url))...)...)
		if got.exit != 5 || !strings.Contains(got.stderr, "already") || !strings.Contains(got.stderr, "--profile") {
			t.Errorf("setup %s with %s: %+v", tt.words, tt.config, got)
		}
		if left := readAll(t, u.configFile()); left != config {
			t.Errorf("setup %s: the file %s became %s", tt.words, config, left)
		}
	}
	if len(g.asked) > 0 {
		t.Errorf("asked %q", g.lines())
	}
}

// TestRotateKeyReplacesNoIdentity: the file that --save names may hold another
// identity.
func TestRotateKeyReplacesNoIdentity(t *testing.T) {
	g := newFakeGateway(t, nil)
	u := alice(t, g)
	u.withDataDirectory(g.url)
	file := filepath.Join(u.home, "carol.json")
	const carol = `{"gatewayUrl":"https://bob.lan","agentName":"carol","apiKey":"amtp_only-key-of-carol"}`
	if err := os.WriteFile(file, []byte(carol), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := u.run("agent", "rotate-key", "bob", "--save", file); got.exit != 5 || readAll(t, file) != carol {
		t.Errorf("%+v; the file is %s", got, readAll(t, file))
	}
}

// aliceSince is what an administrator sees of alice, registered on a day.
func aliceSince(day string) string {
	return `{"address":"alice@localhost","created_at":"` + day + `T10:00:00.000Z"}`
}

// asksFor reports whether the gateway was asked for a path with that end.
func (g *fakeGateway) asksFor(end string) bool {
	return slices.ContainsFunc(g.lines(), func(line string) bool { return strings.HasSuffix(line, end) })
}

// TestSetupTakesNoNameOver: an agent that exists gets another key when that is said, or
// when this profile is that agent, and not another one of its name.
func TestSetupTakesNoNameOver(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{
		"POST /v1/admin/agents": {409, taken}, "POST /v1/admin/agents/alice/keys": {201, issued},
		"GET /v1/whoami":             {401, wrongKey},
		"GET /v1/admin/agents/alice": {200, aliceSince("2026-11-01")},
	})
	u := newUser(t)
	u.withDataDirectory(g.url)
	got := u.run("setup", "--name", "alice", "--profile", "second", "--gateway", g.url)
	if got.exit != 5 || !strings.Contains(got.stderr, "--take-over") || g.asksFor("/keys") {
		t.Errorf("%+v, asked %q", got, g.lines())
	}
	if left, err := os.ReadFile(u.configFile()); err == nil && strings.Contains(string(left), "apiKey") {
		t.Errorf("the file is %s", left)
	}
	u.does(0, "a new key was issued", "setup", "--name", "alice", "--profile", "second", "--gateway", g.url,
		"--take-over")
	u.does(0, "a new key was issued", "setup", "--name", "alice", "--profile", "second") // whose key ended since

	// Another user has registered the name since.
	g.answers["GET /v1/admin/agents/alice"] = fakeAnswer{200, aliceSince("2026-11-02")}
	g.asked = nil
	before := readAll(t, u.configFile())
	got = u.run("setup", "--name", "alice", "--profile", "second")
	if got.exit != 5 || !strings.Contains(got.stderr, "--take-over") || g.asksFor("/keys") ||
		readAll(t, u.configFile()) != before {
		t.Errorf("the name of a later agent: %+v, asked %q", got, g.lines())
	}
	g.answers["GET /v1/admin/agents/alice"] = fakeAnswer{200, `{"address":"alice@localhost"}`}
	if got := u.run("setup", "--name", "alice", "--profile", "second"); got.exit != 5 || g.asksFor("/keys") {
		t.Errorf("a gateway that does not say since when: %+v, asked %q", got, g.lines())
	}
	u.does(0, "a new key was issued", "setup", "--name", "alice", "--profile", "second", "--take-over")

	without := newUser(t)
	if got := without.run("setup", "--name", "alice", "--gateway", g.url, "--take-over"); got.exit != 5 ||
		!strings.Contains(got.stderr, "AMTP_ADMIN_KEY") {
		t.Errorf("without the admin key: %+v", got)
	}
}

// TestAKeyOfTheEnvironmentIsNamed where it is the one that does not work, or that hides
// the saved one.
func TestAKeyOfTheEnvironmentIsNamed(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/whoami": {200, iAmAlice}})
	u := alice(t, g)
	u.env = append(u.env, "AMTP_API_KEY=amtp_wrong")
	got := u.run("setup", "--name", "alice")
	if got.exit != 0 || !strings.Contains(got.stderr, "AMTP_API_KEY is set to another key") {
		t.Errorf("setup: %+v", got)
	}
	g.answers["GET /v1/whoami"] = fakeAnswer{401, wrongKey}
	if got := u.run("whoami", "--check"); got.exit != 3 || !strings.Contains(got.stderr, "AMTP_API_KEY") ||
		strings.Contains(got.stderr, "amtp setup") {
		t.Errorf("whoami --check: %+v", got)
	}
}

// TestProfileRemove forgets one identity, if the user confirms it.
func TestProfileRemove(t *testing.T) {
	u := newUser(t)
	config := `{"gatewayUrl":"https://a.example","agentName":"a","agentAddress":"a@a.example","apiKey":"k","adminKey":"admin","keep":1,"profiles":{"b":{"gatewayUrl":"https://b.example","apiKey":"kb"}}}`
	u.writeConfig(config)
	if got := u.run("profile", "remove", "b"); got.exit != 2 || readAll(t, u.configFile()) != config {
		t.Errorf("without --yes: %+v", got)
	}
	u.does(4, "There is no profile", "profile", "remove", "c", "--yes")
	u.does(0, "Forgot the profile b", "profile", "remove", "b", "--yes")
	u.does(0, "Forgot the profile default (a@a.example)", "profile", "remove", "default", "--yes")
	if left := strings.Join(strings.Fields(readAll(t, u.configFile())),
		""); left != `{"adminKey":"admin","adminKeyGateway":"https://a.example","keep":1}` {
		t.Errorf("left is %s", left)
	}
}

// TestAProfileThatIsGoneSaysNothing: a later setup trusts nothing that the removed
// profile said of the agent or of the user who ran its gateway.
func TestAProfileThatIsGoneSaysNothing(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"DELETE /v1/admin/agents/alice": {200, `{}`}})
	all := map[string]string{profile.MemberGateway: g.url, profile.MemberName: "alice", profile.MemberRegistering: "{}"}
	for _, m := range slices.Concat(profile.OfAgent, profile.OfGateway) {
		if all[m] == "" && m != profile.MemberPin {
			all[m] = "x-of-" + m
		}
	}
	whole, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for args, left := range map[string]map[string]string{
		"profile remove default --yes": {}, "profile remove b --yes": {},
		"unregister --yes": {profile.MemberGateway: g.url}, "unregister --profile b --yes": {},
	} {
		u := newUser(t)
		u.writeConfig(string(whole))
		if strings.Contains(args, " b ") {
			u.writeConfig(`{"profiles":{"b":` + string(whole) + `}}`)
		}
		if got := u.run(strings.Fields(args)...); got.exit != 0 || !maps.Equal(u.config(), left) {
			t.Errorf("%s: %+v, left %v, want %v", args, got, u.config(), left)
		}
	}
}

// TestAGatewayIsAURL: a text that is no URL is reported, with the right form.
func TestAGatewayIsAURL(t *testing.T) {
	for given, hint := range map[string]string{"127.0.0.1:8080": "http://127.0.0.1:8080",
		"localhost:8080": "http://localhost:8080", "amtp.example.com": "https://amtp.example.com",
		"ftp://x": "https://"} {
		for _, args := range []string{"setup --name x", "discover", "inbox", "queue list", "invite bob"} {
			u := newUser(t)
			u.env = append(u.env, "AMTP_ADMIN_KEY=0123456789abcdef", "AMTP_API_KEY=amtp_0123456789abcdef")
			if got := u.run(append(strings.Fields(args), "--gateway", given)...); got.exit != 2 ||
				!strings.Contains(got.stderr, hint) {
				t.Errorf("amtp %s --gateway %s: %+v", args, given, got)
			}
		}
	}
}

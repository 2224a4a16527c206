package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/profile"
)

// TestAProjectIsAllowedFirst: a file that came with a repository chooses no profile
// until the user allows it, for that directory and that profile. Then each command says
// as which agent it acts.
func TestAProjectIsAllowedFirst(t *testing.T) {
	u := newUser(t)
	u.writeConfig(`{"agentName":"alice","agentAddress":"alice@localhost","profiles":{"work":{"agentName":"work","agentAddress":"work@shop.example"},"other":{"agentAddress":"other@shop.example"}}}`)
	dir := work(t, "work")
	who := func(want, note string) {
		t.Helper()
		got := u.run("whoami")
		if got.exit != 0 || !strings.Contains(got.stdout, want) || !strings.Contains(got.stderr, note) ||
			note == "" && got.stderr != "" {
			t.Errorf("whoami: %+v, want %q and the note %q", got, want, note)
		}
	}
	who("alice@localhost", `not used before "amtp profile allow"`)
	u.does(0, "commands use the profile work", "profile", "allow")
	who("work@shop.example", "As work@shop.example, profile work, chosen by "+filepath.Join(dir, profile.ProjectFile))

	// It is allowed for the profile that it names now, and for its place.
	writeProject(t, dir, `profile = "other"`)
	who("alice@localhost", `names the profile "other" now, and you allowed "work"`)
	writeProject(t, dir, `profile = "work"`)
	if err := os.MkdirAll(filepath.Join(dir, "deep", "down"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "deep", "down"))
	who("work@shop.example", "As work@shop.example")
	u.does(0, "has no effect", "profile", "deny", dir)
	who("alice@localhost", "")
	u.does(0, "commands use", "profile", "allow", dir)
	who("work@shop.example", "As work@shop.example")
	elsewhere := work(t, "work")
	who("alice@localhost", `not used before`)
	writeProject(t, elsewhere, `profile = "nobody"`)
	u.does(4, `There is no profile "nobody"`, "profile", "allow")
	t.Chdir(t.TempDir())
	u.does(4, "There is no file .amtp.toml", "profile", "allow")
}

// TestAProjectRemovesNobody: neither the agent that it names nor the one that would be
// used without it is removed.
func TestAProjectRemovesNobody(t *testing.T) {
	g := newFakeGateway(t, nil)
	for _, allowed := range []bool{false, true} {
		u := newUser(t)
		one := `{"gatewayUrl":"` + g.url +
			`","agentName":"x","agentAddress":"x@localhost","apiKey":"amtp_secret-of-x","adminKey":"0123456789abcdef"`
		u.writeConfig(one + `,"profiles":{"work":` + one + `}}}`)
		work(t, "work")
		if allowed {
			u.does(0, "", "profile", "allow")
		}
		for _, args := range []string{"unregister --yes", "agent delete bob --yes", "agent delete x --yes"} {
			if got := u.run(strings.Fields(args)...); got.exit != 2 ||
				!strings.Contains(got.stderr, "a project never says which agent is removed") {
				t.Errorf("amtp %s, allowed %t: %+v", args, allowed, got)
			}
		}
		g.answers = map[string]fakeAnswer{"DELETE /v1/admin/agents/x": {200, `{}`}}
		u.does(0, "removed", "unregister", "--yes", "--profile", "work")
		g.answers = nil
	}
}

// TestUnregisterAsksForYes: nothing is asked of the gateway before.
func TestUnregisterAsksForYes(t *testing.T) {
	g := newFakeGateway(t, nil)
	u := alice(t, g)
	for _, args := range []string{"unregister", "unregister --json", "unregister --yes=false"} {
		if got := u.run(strings.Fields(args)...); got.exit != 2 || len(g.asked) != 0 ||
			!strings.Contains(got.stderr,
				"This removes alice@localhost with its inbox and its key, and cannot be undone: add --yes.") {
			t.Errorf("amtp %s: %+v, asked %q", args, got, g.lines())
		}
	}
}

package cli

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/test/slow"
)

// TestForeignListener: the users who may run the gateway on this machine.
func TestForeignListener(t *testing.T) {
	const base, other, stranger = "http://127.0.0.1:8080", 65531, 65532
	fresh := func() *program { return newProgram(strings.NewReader(""), io.Discard, io.Discard, nil) }
	p := fresh()
	if !p.believes("", base, os.Geteuid()) || !p.believes("", base, 0) {
		t.Error("neither the user nor root is believed")
	}
	if p.believes("", base, other) {
		t.Error("another user is believed")
	}
	p.runsAs = "65531"
	if !p.believes("", base, other) || p.believes("", base, stranger) {
		t.Error("the user who is named is not believed, or another one is")
	}
	p = fresh()
	p.meets = true
	if !p.believes("", base, other) || p.runsAs == "" {
		t.Errorf("whoever runs it at the first meeting is not believed, or not remembered: %q", p.runsAs)
	}
	if p.believes("", base, stranger) {
		t.Error("at the first meeting two users are believed")
	}
	lost := &amtp.ConnectError{URL: base, Err: errors.Join(&loopback.ForeignError{Address: "127.0.0.1:8080",
		User: "mallory"})}
	f := fresh().explain(lost)
	fresh().advise(f)
	if f.exit != exitRefused || f.code != codeForeign || f.retryable ||
		!strings.Contains(f.message, "the user mallory") {
		t.Errorf("told: %+v", f)
	}
	if strings.Contains(f.hint, "mallory") || strings.Contains(f.hint, "GATEWAY_USER") ||
		strings.Contains(f.hint, "setup") || !strings.Contains(f.hint, "only the person") {
		t.Errorf("the hint %q is a command that gives the key away, or does not say who decides", f.hint)
	}
}

// unseen stands for the user of a listener that the system does not show.
const unseen = -1

// runNextTo runs a command where the user uid has every listener of the machine.
func (u *user) runNextTo(uid int, args ...string) outcome {
	u.t.Helper()
	var stdout, stderr strings.Builder
	p := newProgram(strings.NewReader(u.stdin), &stdout, &stderr, u.env)
	p.owner = func(net.Conn) (int, error) {
		if uid == unseen {
			return 0, loopback.ErrUnseen
		}
		return uid, nil
	}
	exit := p.run(u.t.Context(), args)
	return outcome{stdout.String(), stderr.String(), exit}
}

// TestAnImpostorMeetsNobodyWithAKey: a program that took the gateway's port is not
// trusted at the first meeting if this command or the next one would send a key. Then
// nothing is sent, and no user is remembered.
func TestAnImpostorMeetsNobodyWithAKey(t *testing.T) {
	slow.Test(t, "it runs every command at a stranger's listener")
	const impostor = 65531
	code := func(url string) string {
		return amtp.InviteCode{Gateway: url, Secret: strings.Repeat("A", 22)}.String()
	}
	for name, c := range map[string]struct {
		env, config string
		dataDir     bool
		met         bool
	}{
		"no key":                       {met: true},
		"the agent's key is given":     {env: "AMTP_API_KEY=amtp_secret-of-alice"},
		"an admin key is given":        {env: "AMTP_ADMIN_KEY=0123456789abcdef"},
		"an admin key is saved":        {config: `{"adminKey":"0123456789abcdef"}`},
		"the data directory has a key": {dataDir: true},
		"the profile has a key elsewhere": {config: `{"profile":"b","profiles":{"b":{},"a":{"gatewayUrl":"https://a.example","apiKey":"amtp_k"}}}`,
			met: true},
	} {
		for _, command := range []string{"setup", "join"} {
			t.Run(command+": "+name, func(t *testing.T) {
				g := newFakeGateway(t, map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered},
					"POST /v1/join": {200,
						`{"address":"alice@localhost","api_key":"amtp_new-key-of-alice","result":"registered"}`}})
				u := newUser(t)
				if c.config != "" {
					u.writeConfig(c.config)
				}
				if c.env != "" {
					u.env = append(u.env, c.env)
				}
				if c.dataDir {
					u.withDataDirectory(g.url)
				}
				args := []string{"setup", "--name", "alice", "--gateway", g.url}
				if command == "join" {
					args = []string{"join", code(g.url)}
				}
				got := u.runNextTo(impostor, args...)
				left, _ := os.ReadFile(u.configFile())
				if c.met {
					if got.exit != 0 || !strings.Contains(string(left), `"gatewayUser": "65531"`) {
						t.Errorf("the first meeting: %+v, saved %s", got, left)
					}
					return
				}
				if got.exit != exitRefused || !strings.Contains(got.stderr, "belongs to the user") ||
					len(g.asked) != 0 || strings.Contains(string(left), "gatewayUser") ||
					strings.Contains(string(left), "registering") {
					t.Errorf("an impostor was met: %+v, asked %q, saved %s", got, g.lines(), left)
				}
				u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url, "AMTP_API_KEY=amtp_secret-of-alice")
				if got := u.runNextTo(impostor, "inbox"); got.exit != exitRefused || len(g.asked) != 0 {
					t.Errorf("then: %+v, asked %q", got, g.lines())
				}
			})
		}
	}
}

// TestAListenerThatIsNotShown is trusted if the user or a data directory says so, or
// when there is nothing to lose. That holds for no other listener.
func TestAListenerThatIsNotShown(t *testing.T) {
	const impostor = 65531
	answers := map[string]fakeAnswer{"POST /v1/admin/agents": {201, registered},
		"GET /v1/inbox/alice@localhost": {200, emptyInbox}}
	setUp := func(g *fakeGateway, more ...string) []string {
		return append([]string{"setup", "--name", "alice", "--gateway", g.url}, more...)
	}
	g := newFakeGateway(t, answers)
	u := newUser(t)
	u.env = append(u.env, "AMTP_ADMIN_KEY=0123456789abcdef")
	got := u.runNextTo(unseen, setUp(g)...)
	if got.exit != exitRefused || len(g.asked) != 0 || !strings.Contains(got.stderr, "does not show which user") ||
		strings.Contains(got.stderr, "--gateway-user") {
		t.Errorf("with a key, without a word: %+v, asked %q", got, g.lines())
	}
	if got := u.runNextTo(unseen, setUp(g, "--gateway-user", "none")...); got.exit != 0 ||
		u.config()["gatewayUser"] != "none" {
		t.Errorf("with the user's word: %+v, %v", got, u.config())
	}
	if got := u.runNextTo(unseen, "inbox"); got.exit != 0 {
		t.Errorf("the word is saved: %+v", got)
	}
	if got := u.runNextTo(impostor, "inbox"); got.exit != exitRefused {
		t.Errorf("the word is good for a user who is shown: %+v", got)
	}
	fresh := newUser(t)
	if got := fresh.runNextTo(unseen, setUp(g)...); got.exit != 0 || fresh.config()["gatewayUser"] != "none" {
		t.Errorf("at the first meeting: %+v", got)
	}
	own := newUser(t)
	own.withDataDirectory(g.url)
	if got := own.runNextTo(unseen, setUp(g)...); got.exit != 0 || own.config()["gatewayUser"] != "" {
		t.Errorf("the gateway of the data directory: %+v", got)
	}
}

// TestWhereTheListenerMatters: over plain HTTP on this machine, and nowhere else.
func TestWhereTheListenerMatters(t *testing.T) {
	p := newProgram(strings.NewReader(""), io.Discard, io.Discard, nil)
	for base, matters := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080": true, "http://[::1]:8080/": true,
		" http://LOCALHOST ":     true,
		"https://127.0.0.1:8443": false, "http://gateway.lan": false, "https://gateway.example": false, "": false,
	} {
		if got := p.near("", base) != nil; got != matters {
			t.Errorf("%q: %v, want %v", base, got, matters)
		}
	}
}

// TestSetupSavesWhoRunsTheGateway: a named user is saved, and removed when it is no
// longer right.
func TestSetupSavesWhoRunsTheGateway(t *testing.T) {
	g := newFakeGateway(t, everything)
	u := newUser(t)
	u.env = append(u.env, "AMTP_GATEWAY_URL="+g.url)
	if got := u.run("setup", "--name", "alice", "--gateway-user", "amtp"); got.exit != 0 ||
		u.config()["gatewayUser"] != "amtp" {
		t.Errorf("%+v, %v", got, u.config())
	}
	if got := u.run("whoami", "--check"); got.exit != 0 {
		t.Errorf("with a name of its own in the file: %+v", got)
	}
}

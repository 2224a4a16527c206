package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// completed returns the words that Tab offers after the given ones, and cobra's
// directive: :4 means that no files are offered, :0 that they are, :16 that directories
// are.
func (u *user) completed(words ...string) (offered []string, directive string) {
	u.t.Helper()
	got := u.run(append([]string{"__complete"}, words...)...)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if got.exit != 0 {
		u.t.Errorf("amtp __complete %q: exit %d, %s", words, got.exit, got.stderr)
	}
	last := len(lines) - 1
	return lines[:last], lines[last]
}

func TestCompletion(t *testing.T) {
	const id = "01a205a6-3e24-7065-b355-73a46dc628c6"
	g := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/discovery/agents": {200,
			`{"agents":[{"address":"alice@localhost"},{"address":"bob@localhost"},{"address":"$x@localhost"}]}`},
		"GET /v1/inbox/alice@localhost": {200, `{"messages":[
			{"message_id":"` + id + `","sender":"bob@localhost","subject":"$(rm -rf ~)"},{"message_id":"m-2","sender":"$x@localhost"},{"message_id":"a b","sender":"bob@localhost"}]}`},
		"GET /v1/messages": {200, `{"messages":[{"message_id":"` + id +
			`","recipients":[{"address":"bob@localhost"}]}]}`},
	})
	u := alice(t, g)
	u.writeConfig(`{"gatewayUrl":"` + g.url +
		`","agentName":"alice","agentAddress":"alice@localhost","apiKey":"k","profiles":{"work":{},"home":{}}}`)
	for _, c := range []struct{ typed, offered, directive string }{
		{"inb|", "inbox\tCheck inbox for messages", ":4"},
		{"agent d|", "delete\tRemove an agent from the gateway", ":4"},
		{"help agent show |", "", ":4"},
		{"send --to |", "alice@localhost bob@localhost", ":4"},
		{"send --to=|", "alice@localhost bob@localhost", ":4"},
		{"send --text |", "", ":4"},
		{"send --in-reply-to |", id + "\tbob@localhost m-2", ":4"},
		{"read |", id + "\tbob@localhost m-2", ":4"},
		{"read m-2 |", "", ":4"},
		{"ack m-2 |", id + "\tbob@localhost", ":4"},
		{"status |", id + "\tbob@localhost", ":4"},
		{"agent show |", "alice bob", ":4"},
		{"agent rotate-key bob |", "", ":4"},
		{"profile use |", "default home work", ":4"},
		{"inbox --profile |", "default home work", ":4"},
		{"sent --status |", "pending queued delivering retrying delivered failed", ":4"},
		{"discover --mode |", "pull push", ":4"},
		{"serve --log-level |", "debug info warn error", ":4"},
		{"serve --tls-cert |", "", ":0"},
		{"serve --data-dir |", "", ":16"},
		{"inbox --config |", "", ":0"},
		{"backup |", "", ":0"},
		{"check |", "", ":16"},
		{"completion |", "bash zsh fish powershell", ":4"},
		{"whoami |", "", ":4"},
	} {
		words := strings.Split(strings.TrimSuffix(c.typed, "|"), " ")
		offered, directive := u.completed(words...)
		want := strings.Split(c.offered, " ")
		if c.offered == "" {
			want = []string{}
		} else if strings.Contains(c.offered, "\t") && !strings.Contains(c.offered, id) {
			want = []string{c.offered}
		}
		if !slices.Equal(offered, want) || directive != c.directive {
			t.Errorf("amtp %s: Tab offers %q %s, want %q %s", c.typed, offered, directive, want, c.directive)
		}
	}
}

// TestCompletionIsQuiet: if no gateway can be asked, completion soon offers nothing,
// and prints nothing.
func TestCompletionIsQuiet(t *testing.T) {
	slow.Test(t, "it completes every command")
	held := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}))
	defer silent.Close()
	defer close(held)
	refused := newFakeGateway(t, map[string]fakeAnswer{
		"GET /v1/discovery/agents":      {500, `{}`},
		"GET /v1/inbox/alice@localhost": {401, `{"error":{"code":"AUTHENTICATION_FAILED","message":"m"}}`},
		"GET /v1/messages":              {429, `{"error":{"code":"RATE_LIMIT_EXCEEDED","message":"m"}}`},
	})
	nobody := newUser(t)
	broken := newUser(t)
	broken.writeConfig(`{`)
	waiting := alice(t, &fakeGateway{url: silent.URL})
	for name, u := range map[string]*user{"not set up": nobody, "a broken file": broken, "refused": alice(t, refused),
		"silence": waiting} {
		for _, words := range [][]string{{"send", "--to", ""}, {"read", ""}, {"status", ""}, {"agent", "show", ""}} {
			began := time.Now()
			offered, directive := u.completed(words...)
			if len(offered) > 0 || directive != ":4" {
				t.Errorf("%s: amtp %q: Tab offers %q %s, want nothing", name, words, offered, directive)
			}
			if name == "silence" && time.Since(began) < patience {
				t.Errorf("amtp %q did not wait for the gateway", words)
			}
		}
	}
}

// TestCompletionScripts: there is one for each shell, and bash can read its own.
func TestCompletionScripts(t *testing.T) {
	u := newUser(t)
	for _, shell := range shells {
		got := u.run("completion", shell)
		if got.exit != 0 || got.stderr != "" || !strings.Contains(got.stdout, "amtp") ||
			!strings.Contains(got.stdout, "__complete") {
			t.Errorf("amtp completion %s: exit %d, %s%.200s", shell, got.exit, got.stderr, got.stdout)
		}
		var data map[string]string
		asJSON := u.run("completion", shell, "--json")
		if err := json.Unmarshal([]byte(asJSON.stdout), &data); err != nil || data["shell"] != shell ||
			data["script"] != got.stdout {
			t.Errorf("amtp completion %s --json: %v, %.200s", shell, err, asJSON.stdout)
		}
		if shell != "bash" || runtime.GOOS == "windows" {
			continue
		}
		check := exec.Command("bash", "-n")
		check.Stdin = strings.NewReader(got.stdout)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash cannot read its script: %v\n%s", err, out)
		}
	}
	if got := u.run("completion", "ksh"); got.exit != 2 || !strings.Contains(got.stderr, `no completion for "ksh"`) {
		t.Errorf("amtp completion ksh: exit %d, %s", got.exit, got.stderr)
	}
}

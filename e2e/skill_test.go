package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/test/nowhere"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/skills"
)

// assistant is a user who types the commands of the skill.
type assistant struct {
	t       *testing.T
	bin     string
	environ []string
}

// newAssistant has an empty home and nothing but the program.
func newAssistant(t *testing.T, bin, url string) *assistant {
	return &assistant{t, bin, []string{
		"HOME=" + t.TempDir(), "PATH=" + bin + ":/usr/bin:/bin", "AMTP_GATEWAY_URL=" + url,
		"AMTP_DATA_DIR=" + t.TempDir(),
	}}
}

// types runs lines of shell and returns their output and their exit code.
func (a *assistant) types(script string) (output string, exit int) {
	a.t.Helper()
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Env, cmd.Dir = a.environ, a.t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		a.t.Fatal(err)
	}
	a.t.Logf("%s\n%s%s", script, out, stderr.Bytes())
	return string(out), cmd.ProcessState.ExitCode()
}

func (a *assistant) mustType(script string) string {
	a.t.Helper()
	out, exit := a.types(script)
	if exit != 0 {
		a.t.Fatalf("exit code %d, want 0:\n%s", exit, script)
	}
	return out
}

var (
	blocks = regexp.MustCompile("(?ms)^( *)```sh\n(.*?)^ *```$")
	spans  = regexp.MustCompile("`(amtp [^`]+)`")
	sentID = regexp.MustCompile(`ID: +(\S+)`)
	anID   = regexp.MustCompile(`\bID\b`)
	token  = regexp.MustCompile(`"token": *"([0-9a-f]{16})"`)
)

// typesClaims types the commands of a shared mailbox, of which alice is a member. Before
// each claim bob writes to the mailbox. A message that was acknowledged is followed by
// another one, which is claimed as well.
func (a *assistant) typesClaims(script string, bob *assistant) {
	a.t.Helper()
	lines := strings.Split(strings.TrimSpace(script), "\n")
	id, lease := "", ""
	claim := func() {
		id = sentID.FindStringSubmatch(bob.mustType(`amtp send --to support@localhost --text "help"`))[1]
		found := token.FindStringSubmatch(a.mustType(lines[0] + " --json"))
		if found == nil {
			a.t.Fatal("the claim shows no token")
		}
		lease = found[1]
	}
	claim()
	for _, line := range lines[1:] {
		a.mustType(strings.ReplaceAll(anID.ReplaceAllString(line, id), "TOKEN", lease))
		if strings.HasPrefix(line, "amtp ack") {
			claim()
		}
	}
}

// share makes the mailbox support with one member, as the administrator.
func share(t *testing.T, url, dataDir, member string) {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(dataDir, "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/admin/agents",
		strings.NewReader(`{"address":"support","kind":"mailbox","members":["`+member+`"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Admin-Key", strings.TrimSpace(string(key)))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("the mailbox was answered with %s, %v", answer.Status, err)
	}
}

// TestEveryCommandOfTheSkill types the commands of the skill, in its order, at a real
// gateway, and all of them succeed. Bob and carol are registered, and before each step
// bob wrote a new message.
func TestEveryCommandOfTheSkill(t *testing.T) {
	slow.Test(t, "it types every command of the skill")
	bin := build(t)
	s := server{mirror: mirror{t: t}}
	dataDir := t.TempDir()
	url, err := s.start(filepath.Join(bin, "amtp"), nil, dataDir, "HOME="+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.end(os.Kill) })
	alice, bob, carol := newAssistant(t, bin, url), newAssistant(t, bin, url), newAssistant(t, bin, url)
	bob.mustType(`amtp setup --name bob --role reviewer --capability review`)
	carol.mustType(`amtp setup --name carol`)

	if out, exit := alice.types("amtp whoami --check"); exit != 3 {
		t.Errorf("before the setup: exit code %d, want 3\n%s", exit, out)
	}
	alice.mustType("amtp setup --name alice")
	if out, exit := alice.types("amtp inbox --unread --wait 10ms"); exit != 7 {
		t.Errorf("with nothing there: exit code %d, want 7\n%s", exit, out)
	}
	elsewhere := " --gateway http://" + nowhere.Address(t).String()
	if out, exit := alice.types("amtp whoami --check" + elsewhere); exit != 3 {
		t.Errorf("with a key for another gateway: exit code %d, want 3\n%s", exit, out)
	}
	if out, exit := alice.types("amtp discover" + elsewhere); exit != 6 {
		t.Errorf("without a gateway: exit code %d, want 6\n%s", exit, out)
	}

	text := string(skills.AMTP)
	scripts := blocks.FindAllStringSubmatch(text, -1)
	if len(scripts) < 10 {
		t.Fatalf("the skill has %d blocks of commands", len(scripts))
	}
	for _, b := range scripts {
		script := strings.ReplaceAll("\n"+b[2], "\n"+b[1], "\n")[1:]
		id := sentID.FindStringSubmatch(bob.mustType(`amtp send --to alice@localhost --text "something new"`))[1]
		switch {
		case strings.Contains(script, "--mailbox support"):
			share(t, url, dataDir, "alice")
			alice.typesClaims(script, bob)
			continue
		case strings.Contains(script, "wait --for ID"):
			bob.mustType(`amtp send --to alice@localhost --in-reply-to ` + id + ` --text "the answer"`)
		}
		alice.mustType(anID.ReplaceAllString(script, id))
		for line := range strings.Lines(script) {
			if strings.Contains(line, "--idempotency-key") { // may be repeated, also later
				alice.mustType(strings.Replace(line, "--answer-by 2h", "--answer-by 3h", 1))
			}
		}
	}

	alice.mustType("amtp setup --name alice")
	for _, m := range spans.FindAllStringSubmatch(blocks.ReplaceAllString(text, ""), -1) {
		command := m[1]
		if args := strings.Fields(command); len(args) == 2 { // named in the text, not to be typed
			command = "amtp help " + args[1]
		}
		id := sentID.FindStringSubmatch(alice.mustType(`amtp send --to bob@localhost --text "something else"`))[1]
		alice.mustType(anID.ReplaceAllString(command, id))
	}
}

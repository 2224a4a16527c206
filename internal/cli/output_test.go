package cli

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// full is a file on a disk with room for some bytes.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if len(b) <= f.room {
		f.room -= len(b)
		return len(b), nil
	}
	n := f.room
	f.room = 0
	return n, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

// runInto runs a command whose result goes to stdout.
func (u *user) runInto(stdout io.Writer, args ...string) outcome {
	u.t.Helper()
	var stderr strings.Builder
	exit := Main(u.t.Context(), args, strings.NewReader(u.stdin), stdout, &stderr, func() []string { return u.env })
	return outcome{"", stderr.String(), exit}
}

// TestEveryResultIsLookedAfter: a result that could not be written is a failure of
// every command. No user is told to repeat work that was done.
func TestEveryResultIsLookedAfter(t *testing.T) {
	slow.Test(t, "it runs every command with an output that fails")
	more := []string{"completion bash", "skill show", "config show", "send --help", "queue", "profile list",
		"agent push-secret", "invite carol"}
	answers := map[string]fakeAnswer{
		"POST /v1/admin/agents/alice/push-secret": {201, `{"address":"alice@localhost","push_secret":"whsec_x"}`},
		"POST /v1/admin/invites": {201,
			`{"address":"carol@localhost","secret":"AAAAAAAAAAAAAAAAAAAAAA","expires_at":"2026-11-22T17:21:51Z"}`},
	}
	for route, answer := range everything {
		answers[route] = answer
	}
	for _, command := range slices.Concat(everyCommand, more) {
		for _, json := range []string{"--json=false", "--json"} {
			for _, room := range []int{0, 7} {
				u := alice(t, newFakeGateway(t, answers))
				u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret")
				got := u.runInto(&full{room}, append(strings.Fields(command), json)...)
				if got.exit != exitInternal || !strings.Contains(got.stderr,
					"Error: The result could not be written: no space left on device.") {
					t.Errorf("amtp %s %s, room for %d bytes: %+v, want exit code %d and the cause", command, json, room,
						got, exitInternal)
				}
				if strings.Contains(got.stderr, "try again") || !strings.Contains(got.stderr, "Hint: ") {
					t.Errorf("amtp %s %s: %s, want a hint that does not say to do again what was done", command,
						json, got.stderr)
				}
			}
		}
	}
}

// TestAnErrorOfItsOwnStays: a failed command says why, also when its output cannot be
// written.
func TestAnErrorOfItsOwnStays(t *testing.T) {
	u := alice(t, newFakeGateway(t, map[string]fakeAnswer{"GET /v1/messages/m1/status": {404, noMessage}}))
	for _, json := range []string{"--json=false", "--json"} {
		if got := u.runInto(&full{}, "status", "m1", json); got.exit != exitNotFound ||
			!strings.Contains(got.stderr, "MESSAGE_NOT_FOUND") {
			t.Errorf("amtp status %s: %+v, want the gateway's error", json, got)
		}
	}
}

// TestWhatNobodySawStaysUnread: a message is marked read only after it was shown.
func TestWhatNobodySawStaysUnread(t *testing.T) {
	const mark = "POST /v1/inbox/alice@localhost/m1/read"
	stored := `{"message_id":"m1","sender":"bob@localhost","payload":"hi","status":"delivered","recipients":[{"address":"alice@localhost","status":"delivered"}]}`
	answers := map[string]fakeAnswer{"GET /v1/messages/m1": {200, stored}, mark: {200, `{}`}}
	for _, json := range []string{"--json=false", "--json"} {
		for _, room := range []int{0, 60, 1 << 20} {
			g := newFakeGateway(t, answers)
			got := alice(t, g).runInto(&full{room}, "read", "m1", json)
			if fits := room > 1000; slices.Contains(g.lines(), mark) != fits || (got.exit == 0) != fits {
				t.Errorf("amtp read %s, room for %d bytes: exit code %d, asked %q", json, room, got.exit, g.lines())
			}
		}
	}
}

// TestALostSecretCanBeHadAgain: the hint says by which command.
func TestALostSecretCanBeHadAgain(t *testing.T) {
	secret := `"push_secret":"whsec_x"`
	for command, want := range map[string]string{
		"agent push-secret": `then "amtp agent push-secret" makes another secret`,
		"agent update --push https://hooks.example.com/x": `then "amtp agent push-secret" makes another secret`,
		"setup --name carol --profile carol":              `then "amtp agent push-secret" makes another secret`,
		"invite carol":                                    "run it again: that ends the invitation which nobody saw",
	} {
		for _, json := range []string{"--json=false", "--json"} {
			g := newFakeGateway(t, map[string]fakeAnswer{
				"POST /v1/admin/agents/alice/push-secret": {201, `{"address":"alice@localhost",` + secret + `}`},
				"PATCH /v1/admin/agents/alice":            {200, `{"address":"alice@localhost",` + secret + `}`},
				"POST /v1/admin/agents": {201,
					`{"address":"carol@localhost","api_key":"amtp_k",` + secret + `}`},
				"POST /v1/admin/invites": {201,
					`{"address":"carol@localhost","secret":"AAAAAAAAAAAAAAAAAAAAAA","expires_at":"2026-11-22T17:21:51Z"}`},
			})
			u := alice(t, g)
			u.env = append(u.env, "AMTP_ADMIN_KEY=admin-secret-admin-secret", "AMTP_GATEWAY_URL="+g.url)
			if got := u.runInto(&full{}, append(strings.Fields(command), json)...); got.exit != exitInternal ||
				!strings.Contains(got.stderr, want) {
				t.Errorf("amtp %s %s: %+v, want the hint %q", command, json, got, want)
			}
		}
	}
}

package cli

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/profile"
)

// wires is the target of requests; none leaves the test.
type wires struct{ hosts []string }

func (w *wires) RoundTrip(r *http.Request) (*http.Response, error) {
	w.hosts = append(w.hosts, r.URL.Scheme+"://"+r.URL.Host)
	return nil, errors.New("connection refused")
}

// TestTheUsualGateway: a user who names no gateway is told of the one that "amtp serve"
// would be, and the command asks it. A story cannot show that, because a real gateway
// may answer there.
func TestTheUsualGateway(t *testing.T) {
	for _, tc := range []struct{ command, says string }{
		{"doctor", "✗ identity: no key is known for the gateway at " + profile.DefaultGateway + "\n"},
		{"doctor", "✗ gateway: Cannot connect to gateway at " + profile.DefaultGateway + ". Is it running?\n"},
		{"setup --name alice", `Registering agent "alice" on ` + profile.DefaultGateway + "...\n"},
	} {
		var stdout strings.Builder
		w := &wires{}
		p := newProgram(strings.NewReader(""), &stdout, &stdout, newUser(t).env)
		p.http = &http.Client{Transport: w}
		p.run(t.Context(), strings.Fields(tc.command))
		if !strings.Contains(stdout.String(), tc.says) {
			t.Errorf("amtp %s prints\n%s\nwant %q", tc.command, stdout.String(), tc.says)
		}
		if asked := slices.Compact(w.hosts); !slices.Equal(asked, []string{profile.DefaultGateway}) {
			t.Errorf("amtp %s asked %q, want %q", tc.command, asked, profile.DefaultGateway)
		}
	}
}

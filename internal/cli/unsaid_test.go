package cli

import (
	"maps"
	"slices"
	"testing"
)

// TestDetailsTellMore: users see the details that the message does not contain, and
// --json has all of them.
func TestDetailsTellMore(t *testing.T) {
	for _, c := range []struct {
		message string
		details map[string]any
		shown   []string
	}{
		{"No agent ghost@localhost.", map[string]any{"recipient": "ghost@localhost"}, nil},
		{"The agent bob@localhost exists already. Its owner gets a new key.",
			map[string]any{"error": "agent already exists: bob@localhost"}, nil},
		{"Message not found or already acknowledged", map[string]any{"error": "message not found: x",
			"acknowledged": []any{"m2"}}, []string{"acknowledged", "error"}},
		{"Invalid admin API key", map[string]any{"endpoint": "/v1/admin/agents"}, nil},
		{"It is paused.", map[string]any{"paused": true}, nil},
		{"Wait 60 seconds.", map[string]any{"retry_after": 60.0, "limit": "sender"}, []string{"limit"}},
		{"Failed.", nil, nil},
	} {
		f := &failure{message: c.message, details: c.details}
		before := len(c.details)
		if got := slices.Sorted(maps.Keys(f.unsaid())); !slices.Equal(got, c.shown) {
			t.Errorf("of %q with %v the details %q are shown, want %q", c.message, c.details, got, c.shown)
		}
		if len(f.details) != before {
			t.Errorf("%q lost details: %v", c.message, f.details)
		}
	}
}

// TestWhoamiSaysThatTheAddressChanged: the gateway got another domain, and the config
// file has the address from before.
func TestWhoamiSaysThatTheAddressChanged(t *testing.T) {
	g := newFakeGateway(t, map[string]fakeAnswer{"GET /v1/whoami": {200,
		`{"address":"alice@shop.example","domain":"shop.example"}`}})
	u := alice(t, g)
	got := u.run("whoami", "--check")
	want := "The agent's address is now alice@shop.example. To save that: amtp setup --name alice\n"
	if got.exit != 0 || got.stderr != want {
		t.Errorf("whoami --check: exit %d, %q; want 0 and %q", got.exit, got.stderr, want)
	}
}

package access_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/gateway"
)

// ownerless is a store without agents.
type ownerless struct{}

func (ownerless) KeyOwner(context.Context, [32]byte, time.Time) (*gateway.Agent, string, error) {
	return nil, "", gateway.ErrNotFound
}

// TestShortAdminKeysWait: while an address keeps guessing, an admin key that could be
// guessed does not count there, even the right one. A key too long to guess is never
// delayed.
func TestShortAdminKeysWait(t *testing.T) {
	const short, long = "qz7qz7qz7qz7qz7qz7", "amtp_admin_0123456789012345678901234567890123456789"
	d := &access.Authenticator{Owners: ownerless{}, Admin: []string{short, long}, Failures: access.NewFailures()}
	now := time.Date(2026, 11, 22, 17, 0, 0, 0, time.UTC)
	shows := func(header, key, from string) (bool, error) {
		r := httptest.NewRequest("GET", "/v1/admin/agents", nil)
		r.Header.Set(header, key)
		r.RemoteAddr = from + ":4711"
		p, refused := d.Caller(r, now, access.Strict)
		return p.Admin, refused
	}
	for range 10 {
		if admin, refused := shows("X-Admin-Key", short, "192.0.2.1"); !admin {
			t.Fatalf("the short key, before the bound: %v", refused)
		}
		if _, refused := shows("X-Admin-Key", "guess", "192.0.2.1"); refused == nil ||
			gateway.CodeOf(refused) != amtp.CodeAdminAccessDenied {
			t.Fatalf("a guess: %v", refused)
		}
	}
	_, _ = shows("X-Admin-Key", "guess", "192.0.2.1")
	for header, write := range map[string]func(string) string{"X-Admin-Key": strings.Clone, "Authorization": func(k string) string { return "Bearer " + k }, "X-Api-Key": strings.Clone} {
		if admin, refused := shows(header, write(short), "192.0.2.1"); admin || refused == nil ||
			gateway.CodeOf(refused) != amtp.CodeRateLimitExceeded {
			t.Errorf("%s, the short key beyond the bound: admin %v, %v, want 429", header, admin, refused)
		}
		if admin, refused := shows(header, write(long), "192.0.2.1"); !admin {
			t.Errorf("%s, the long key beyond the bound: %v", header, refused)
		}
		if admin, refused := shows(header, write(short), "192.0.2.2"); !admin {
			t.Errorf("%s, the short key from another address: %v", header, refused)
		}
	}
	now = now.Add(time.Minute)
	if admin, refused := shows("X-Admin-Key", short, "192.0.2.1"); !admin {
		t.Errorf("the short key after a minute: %v", refused)
	}
}

package gateway_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestSignWebhook checks the vector that the authors of Standard Webhooks publish.
func TestSignWebhook(t *testing.T) {
	const secret, want = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got, err := gateway.SignWebhook(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0),
		[]byte(`{"test": 2432232314}`))
	if err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for _, wrong := range []string{"", "whsec_", "whsec_!"} {
		if got, err := gateway.SignWebhook(wrong, "m", time.Now(), nil); err == nil {
			t.Errorf("signed %q with the secret %q", got, wrong)
		}
	}
}

// TestEndpointIsSealed: the stored document shows neither secret nor header. It opens
// only for its agent and with the key that sealed it.
func TestEndpointIsSealed(t *testing.T) {
	seal, err := gateway.NewSeal(make([]byte, gateway.SealKeySize))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e := gateway.Endpoint{Headers: map[string]string{"Authorization": "Bearer canary"}}
	secret := e.Renew(now, time.Hour)
	stored, err := e.Seal(seal, 7, now)
	if err != nil {
		t.Fatal(err)
	}
	if shown, _ := json.Marshal(stored); strings.Contains(string(shown), "canary") ||
		strings.Contains(string(shown), secret) || strings.Contains(string(stored.Sealed), "canary") {
		t.Errorf("the stored document shows a secret: %s", shown)
	}
	opened, err := gateway.OpenEndpoint(seal, 7, []gateway.Document{stored})
	if err != nil || opened.Headers["Authorization"] != "Bearer canary" || opened.Secrets[0].Secret != secret {
		t.Errorf("opened %+v, %v", opened, err)
	}
	if _, err := gateway.OpenEndpoint(seal, 8, []gateway.Document{stored}); !errors.Is(err, gateway.ErrSealed) {
		t.Errorf("for another agent: %v, want ErrSealed", err)
	}
	if _, err := gateway.OpenEndpoint(seal, 7, nil); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("nothing is stored: %v, want ErrNotFound", err)
	}
}

// TestRenewOverlaps: the secret before the new one signs too for the given overlap, and
// no longer.
func TestRenewOverlaps(t *testing.T) {
	var e gateway.Endpoint
	now, body := time.Unix(1_800_000_000, 0), []byte("{}")
	first := e.Renew(now, time.Hour)
	second := e.Renew(now, time.Hour)
	by := func(at time.Time) string {
		t.Helper()
		list, err := e.Sign("m", at, body)
		if err != nil {
			t.Fatal(err)
		}
		var who []string
		for _, s := range strings.Fields(list) {
			for name, secret := range map[string]string{"first": first, "second": second} {
				if want, _ := gateway.SignWebhook(secret, "m", at, body); s == want {
					who = append(who, name)
				}
			}
		}
		return strings.Join(who, " ")
	}
	for after, want := range map[time.Duration]string{0: "second first", time.Hour - 1: "second first",
		time.Hour: "second", 100 * time.Hour: "second"} {
		if got := by(now.Add(after)); got != want {
			t.Errorf("after %v: signed by %q, want %q", after, got, want)
		}
	}
	if e.Renew(now, 0); by(now) != "" || len(e.Secrets) != 1 {
		t.Errorf("renewed at once: %q still sign, %d secrets", by(now), len(e.Secrets))
	}
	for range 20 {
		e.Renew(now, time.Hour)
	}
	if len(e.Secrets) > 4 {
		t.Errorf("%d secrets sign at once", len(e.Secrets))
	}
}

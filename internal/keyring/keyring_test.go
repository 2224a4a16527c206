package keyring_test

import (
	"context"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// published has the records that DNS shows of our keys.
type published map[string]amtp.KeyRecord

func (p published) Signs(context.Context, string, amtp.Domain) (bool, error) { return true, nil }

func (p published) Key(_ context.Context, _ string, _ amtp.Domain, selector string) (amtp.KeyRecord, error) {
	if k, ok := p[selector]; ok {
		return k, nil
	}
	return amtp.KeyRecord{}, &amtp.SignatureError{Reason: amtp.ReasonKeyMissing}
}

// ring is a keyring over a real store, with a clock of its own.
type ring struct {
	*keyring.Keyring
	dns published
	now time.Time
}

func openRing(t *testing.T) *ring {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &ring{dns: published{}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	r.Keyring = &keyring.Keyring{Store: s, Seal: sealOf(t, 1), Domain: "shop.example", Records: r.dns,
		Now: func() time.Time { return r.now }}
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func sealOf(t *testing.T, b byte) gateway.Seal {
	t.Helper()
	key := make([]byte, gateway.SealKeySize)
	key[0] = b
	seal, err := gateway.NewSeal(key)
	if err != nil {
		t.Fatal(err)
	}
	return seal
}

// TestKeyIsUsedOnceItIsKnown: a new key may sign when DNS has shown it for an hour, and
// the key before it is needed for 8 days more.
func TestKeyIsUsedOnceItIsKnown(t *testing.T) {
	r := openRing(t)
	first := r.Signer().Selector()
	next, err := r.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	use := func(step string, wait time.Duration) {
		t.Helper()
		_, refused := r.Use(t.Context(), next.Selector, false)
		if refused == nil {
			t.Fatalf("%s: Use = nil, want CONFLICT", step)
		}
		if gateway.CodeOf(refused) != amtp.CodeConflict || gateway.Refusal(refused).RetryAfter != wait ||
			r.Signer().Selector() != first {
			t.Errorf("%s: Use = %v, retry after %v; %s signs; want CONFLICT, %v, %s", step, refused,
				gateway.Refusal(refused).RetryAfter,
				r.Signer().Selector(), wait, first)
		}
	}
	use("before it is published", 0)
	record, err := amtp.ParseKeyRecord(next.Record)
	if err != nil {
		t.Fatal(err)
	}
	r.dns[next.Selector] = record
	use("when it is seen for the first time", time.Hour)
	r.now = r.now.Add(40 * time.Minute)
	use("40 minutes later", 20*time.Minute)
	delete(r.dns, next.Selector)
	use("when it is gone again", 0)
	r.dns[next.Selector] = record
	use("when it is back: the hour begins anew", time.Hour)
	r.now = r.now.Add(time.Hour)
	used, refused := r.Use(t.Context(), next.Selector, false)
	if refused != nil || used.State != admin.KeyActive || r.Signer().Selector() != next.Selector {
		t.Fatalf("Use = %+v, %v; %s signs; want %s", used, refused, r.Signer().Selector(), next.Selector)
	}
	keys, err := r.Keys(t.Context())
	if err != nil || len(keys) != 2 || keys[0].State != admin.KeyRetired ||
		!keys[0].Until.Equal(r.now.Add(amtp.MaxSignatureAge)) {
		t.Errorf("Keys = %+v, %v; want the first retired, needed until %v", keys, err, r.now.Add(amtp.MaxSignatureAge))
	}
	if _, refused := r.Use(t.Context(), first, true); refused == nil || gateway.CodeOf(refused) != amtp.CodeConflict {
		t.Errorf("Use = %v of a retired key, want CONFLICT", refused)
	}
}

// TestResetKeepsWhatOpens: a reset retires keys only when their seal is lost.
func TestResetKeepsWhatOpens(t *testing.T) {
	r := openRing(t)
	if fresh, err := r.Reset(t.Context()); err != keyring.ErrNothingLost {
		t.Errorf("Reset = %+v, %v; want ErrNothingLost", fresh, err)
	}
	first := r.Signer()
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Seal = sealOf(t, 2)
	fresh, err := r.Reset(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Load(t.Context()); err != nil || r.Signer().Selector() != fresh.Selector ||
		fresh.Selector == first.Selector() {
		t.Errorf("Load = %v; %s signs, want the new %s", err, r.Signer().Selector(), fresh.Selector)
	}
	keys, err := r.Keys(t.Context())
	if err != nil || len(keys) != 3 || keys[0].State != admin.KeyRetired || !keys[0].Until.After(r.now) ||
		keys[1].State != admin.KeyRetired || keys[1].Until.After(r.now) {
		t.Errorf("Keys = %+v, %v; want both earlier ones retired, and only the one that signed still needed", keys, err)
	}
	if _, err := r.Reset(t.Context()); err != keyring.ErrNothingLost {
		t.Errorf("Reset = %v of keys that open again, want ErrNothingLost", err)
	}
}

// TestAWrongSelectorChangesNothing: using or retiring a key that does not exist leaves
// the key in use unchanged, also for the next start.
func TestAWrongSelectorChangesNothing(t *testing.T) {
	r := openRing(t)
	first := r.Signer().Selector()
	if _, err := r.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, atOnce := range []bool{false, true} {
		if _, refused := r.Use(t.Context(), "no-such-key", atOnce); refused == nil ||
			gateway.CodeOf(refused) != amtp.CodeKeyNotFound {
			t.Errorf("Use of a key that does not exist, at once %v: %v, want KEY_NOT_FOUND", atOnce, refused)
		}
	}
	if _, refused := r.Retire(t.Context(),
		"no-such-key"); refused == nil || gateway.CodeOf(refused) != amtp.CodeKeyNotFound {
		t.Errorf("Retire of a key that does not exist: %v, want KEY_NOT_FOUND", refused)
	}
	again := &keyring.Keyring{Store: r.Store, Seal: r.Seal, Domain: r.Domain, Records: r.dns, Now: r.Now}
	if err := again.Load(t.Context()); err != nil {
		t.Fatalf("the next start: %v", err)
	}
	if got := again.Signer().Selector(); got != first {
		t.Errorf("the next start signs with %s, want %s", got, first)
	}
}

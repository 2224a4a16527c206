package keyring_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
)

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var oneRSA = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func rsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := oneRSA()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// recordOf returns the record that the domain publishes for a key.
func recordOf(t *testing.T, key crypto.Signer) string {
	t.Helper()
	s, err := amtp.NewSigner("x", key)
	if err != nil {
		t.Fatal(err)
	}
	return s.KeyRecord().String()
}

// states lists the keys as selector:algorithm:state.
func (r *ring) states(t *testing.T) string {
	t.Helper()
	keys, err := r.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, k := range keys {
		list = append(list, fmt.Sprintf("%s:%s:%s", k.Selector, k.Algorithm, k.State))
		if !strings.HasPrefix(k.Record, "v=amtpkey1;alg="+k.Algorithm+";p=") {
			t.Errorf("the record of %s is %s", k.Selector, k.Record)
		}
	}
	return strings.Join(list, " ")
}

// TestKeysOfBothAlgorithms: a key of either algorithm is made, used, and followed by
// one of the same kind.
func TestKeysOfBothAlgorithms(t *testing.T) {
	r := openRing(t)
	r.now = r.now.Add(time.Minute)
	made, refused := r.Generate(t.Context(), admin.NewSigningKey{Algorithm: amtp.RS256, Selector: "rsa"})
	if refused != nil {
		t.Fatal(refused)
	}
	if record, err := amtp.ParseKeyRecord(made.Record); err != nil || record.Key.(*rsa.PublicKey).N.BitLen() != 2048 ||
		made.Name != "rsa._amtpkey.shop.example" {
		t.Errorf("Generate = %+v, %v; want an RSA key of 2048 bits", made, err)
	}
	if _, refused = r.Use(t.Context(), "rsa", true); refused != nil || r.Signer().KeyRecord().String() != made.Record {
		t.Fatalf("Use = %v; %s signs", refused, r.Signer().Selector())
	}
	r.now = r.now.Add(time.Minute)
	next, err := r.Rotate(t.Context())
	if err != nil || next.Algorithm != amtp.RS256 {
		t.Fatalf("Rotate = %+v, %v; want a key of the same kind as the one in use", next, err)
	}
	if again, err := r.Rotate(t.Context()); err != nil || again.Selector != next.Selector {
		t.Errorf("Rotate again = %+v, %v; want %s, which waits", again, err, next.Selector)
	}
	if _, refused := r.Retire(t.Context(), next.Selector); refused != nil {
		t.Error(refused)
	}
	r.now = r.now.Add(time.Minute)
	if _, refused := r.Generate(t.Context(), admin.NewSigningKey{}); refused != nil {
		t.Error(refused)
	}
	if got, want := r.states(t),
		"20261122:ES256:retired rsa:RS256:active 20261122-2:RS256:retired 20261122-3:ES256:waiting"; got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
	again := &keyring.Keyring{Store: r.Store, Seal: r.Seal, Domain: r.Domain, Records: r.dns, Now: r.Now}
	if err := again.Load(t.Context()); err != nil || again.Signer().KeyRecord().String() != made.Record {
		t.Errorf("the next start: %v; want the RSA key", err)
	}
}

// TestGenerateRefuses checks that an invalid key is refused and that nothing is stored
// for it.
func TestGenerateRefuses(t *testing.T) {
	r := openRing(t)
	for _, n := range []admin.NewSigningKey{
		{Algorithm: "EdDSA"}, {Algorithm: "es256"}, {Bits: 2048}, {Algorithm: amtp.RS256, Bits: 1024},
		{Algorithm: amtp.RS256, Bits: 1 << 20},
		{Algorithm: amtp.RS256, Bits: -1}, {Selector: "a.b"}, {Selector: "UPPER"}, {Selector: "-"},
		{Selector: strings.Repeat("a", 64)},
	} {
		if key, refused := r.Generate(t.Context(),
			n); refused == nil || gateway.CodeOf(refused) != amtp.CodeInvalidRequest ||
			gateway.Refusal(refused).Details["field"] == nil {
			t.Errorf("Generate(%+v) = %+v, %v; want INVALID_REQUEST_FORMAT with its field", n, key, refused)
		}
	}
	if key, refused := r.Generate(t.Context(), admin.NewSigningKey{Selector: "20261122"}); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeConflict {
		t.Errorf("Generate = %+v, %v under a selector that is used; want CONFLICT", key, refused)
	}
	for i := range 8 {
		if _, refused := r.Generate(t.Context(), admin.NewSigningKey{}); refused != nil {
			t.Fatalf("key %d: %v", i, refused)
		}
	}
	if key, refused := r.Generate(t.Context(), admin.NewSigningKey{}); refused == nil ||
		gateway.CodeOf(refused) != amtp.CodeConflict {
		t.Errorf("Generate = %+v, %v while eight wait; want CONFLICT", key, refused)
	}
}

// TestImport: an imported key waits under its published selector, and no other key
// replaces it.
func TestImport(t *testing.T) {
	r := openRing(t)
	for _, private := range []crypto.Signer{ecKey(t), rsaKey(t)} {
		selector := map[bool]string{true: "k1", false: "k2"}[strings.Contains(recordOf(t, private), "ES256")]
		added, refused := r.Import(t.Context(), selector, private)
		if refused != nil || added.State != admin.KeyWaiting || added.Record != recordOf(t, private) {
			t.Fatalf("Import = %+v, %v", added, refused)
		}
		if again, refused := r.Import(t.Context(), selector, private); refused != nil || again != added {
			t.Errorf("Import again = %+v, %v; want %+v", again, refused, added)
		}
		if _, refused := r.Import(t.Context(), selector, ecKey(t)); refused == nil ||
			gateway.CodeOf(refused) != amtp.CodeConflict {
			t.Errorf("Import of another key under the selector: %v, want CONFLICT", refused)
		}
		used, refused := r.Use(t.Context(), selector, true)
		if refused != nil || used.State != admin.KeyActive || r.Signer().KeyRecord().String() != added.Record {
			t.Errorf("Use = %+v, %v", used, refused)
		}
		if again, refused := r.Import(
			t.Context(),
			selector,
			private,
		); refused != nil ||
			again.State != admin.KeyActive {
			t.Errorf("Import of the key in use = %+v, %v", again, refused)
		}
	}
	if _, refused := r.Import(t.Context(), "20261122",
		rsaKey(t)); refused == nil || gateway.CodeOf(refused) != amtp.CodeConflict {
		t.Errorf("Import under the selector of a retired key: %v, want CONFLICT", refused)
	}
	for _, selector := range []string{"", "K1", "k.1"} {
		if _, refused := r.Import(t.Context(), selector, rsaKey(t)); refused == nil ||
			gateway.CodeOf(refused) != amtp.CodeInvalidRequest {
			t.Errorf("Import under %q: %v, want INVALID_REQUEST_FORMAT", selector, refused)
		}
	}
	if got, want := r.states(t), "20261122:ES256:retired k1:ES256:retired k2:RS256:active"; got != want {
		t.Errorf("the keys are %s, want %s", got, want)
	}
}

// TestOlderRecords: a key that was stored with a record in an earlier form is the same
// key, with its record in the present form.
func TestOlderRecords(t *testing.T) {
	r := openRing(t)
	if _, refused := r.Import(t.Context(), "k1", rsaKey(t)); refused != nil {
		t.Fatal(refused)
	}
	want, err := r.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	facts := func(change func(map[string]any)) {
		t.Helper()
		err := r.Store.ChangeDocuments(t.Context(), keyring.Signing,
			func(list []gateway.Document) ([]gateway.Document, error) {
				for i := range list {
					var facts map[string]any
					if err := json.Unmarshal(list[i].Facts, &facts); err != nil {
						return nil, err
					}
					change(facts)
					list[i].Facts, _ = json.Marshal(facts)
				}
				return list, nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	facts(func(f map[string]any) {
		f["record"] = strings.NewReplacer("v=amtpkey1;", "v=amtp1;", "alg=", "k=").Replace(f["record"].(string))
		delete(f, "algorithm")
	})
	got, err := r.Keys(t.Context())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the keys are %+v, %v; want %+v", got, err, want)
	}
	if _, refused := r.Use(t.Context(), "k1", true); refused != nil { // stores them
		t.Fatal(refused)
	}
	facts(func(f map[string]any) {
		if text := fmt.Sprint(f["record"], f["algorithm"]); !strings.HasPrefix(text, "v=amtpkey1;alg=") ||
			!strings.HasSuffix(text, "S256") {
			t.Errorf("stored is %s, want the record in its present form", text)
		}
		f["record"] = "v=amtp1;k=ES256;p=AAAA"
	})
	if keys, err := r.Keys(t.Context()); err == nil {
		t.Errorf("Keys = %+v of a record without a key, want an error", keys)
	}
}

// TestBroughtKeySigns: the key of the configuration signs from the first start on, for
// every gateway that has it. Another key cannot take its selector.
func TestBroughtKeySigns(t *testing.T) {
	file, other := ecKey(t), rsaKey(t)
	r := openRing(t) // it had a key of its own
	r.now = r.now.Add(time.Minute)
	start := func(selector string, key crypto.Signer) (*keyring.Keyring, error) {
		k := &keyring.Keyring{Store: r.Store, Seal: r.Seal, Domain: r.Domain, Records: r.dns, Now: r.Now,
			Brought: &keyring.Brought{Selector: selector, Key: key}}
		return k, k.Load(t.Context())
	}
	first, err := start("k1", file)
	if err != nil || first.Signer().Selector() != "k1" || first.Signer().KeyRecord().String() != recordOf(t, file) {
		t.Fatalf("the start: %v; want k1 to sign", err)
	}
	before := r.states(t)
	var replicas sync.WaitGroup
	for range 4 {
		replicas.Go(func() {
			if k, err := start("k1", file); err != nil || k.Signer().Selector() != "k1" {
				t.Errorf("another gateway with the file: %v", err)
			}
		})
	}
	replicas.Wait()
	if got := r.states(t); got != before || got != "20261122:ES256:retired k1:ES256:active" {
		t.Errorf("the keys are %s, want %s as before", got, before)
	}
	if _, err := start("k1", other); !errors.Is(err, keyring.ErrOtherKey) || r.states(t) != before {
		t.Errorf("a start with another key: %v, %s; want ErrOtherKey and no change", err, r.states(t))
	}
	r.now = r.now.Add(time.Minute)
	next, err := first.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, refused := first.Use(t.Context(), next.Selector,
		true); refused == nil || gateway.CodeOf(refused) != amtp.CodeConflict ||
		!strings.Contains(gateway.Refusal(refused).Message, "AMTP_SIGNATURE_PRIVATE_KEY_FILE") {
		t.Errorf("Use of another key than the configuration names: %v, want CONFLICT", refused)
	}
	// Without the setting another key may be used; with it k1 signs again.
	if _, refused := r.Use(t.Context(), next.Selector, true); refused != nil {
		t.Fatal(refused)
	}
	if again, err := start("k1", file); err != nil || again.Signer().Selector() != "k1" {
		t.Errorf("the start after another was used: %v", err)
	}
	keys, err := r.Keys(t.Context())
	if err != nil || keys[1].State != admin.KeyActive || !keys[1].Retired.IsZero() || !keys[1].Until.IsZero() {
		t.Errorf("k1 is %+v, %v; want it as if it had not ended", keys[1], err)
	}
}

// TestBroughtKeyOutlivesItsSeal: when the seal is lost, the file still has the key.
func TestBroughtKeyOutlivesItsSeal(t *testing.T) {
	r := openRing(t)
	r.Brought = &keyring.Brought{Selector: "k1", Key: rsaKey(t)}
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Seal = sealOf(t, 2)
	if err := r.Load(t.Context()); !errors.Is(err, gateway.ErrSealed) {
		t.Errorf("the start with another seal: %v, want ErrSealed", err)
	}
	fresh, err := r.Reset(t.Context())
	if err != nil || fresh.Selector != "k1" || fresh.State != admin.KeyActive {
		t.Fatalf("Reset = %+v, %v; want k1", fresh, err)
	}
	if err := r.Load(t.Context()); err != nil || r.Signer().Selector() != "k1" {
		t.Errorf("the start after it: %v", err)
	}
	if got := r.states(t); got != "20261122:ES256:retired k1:RS256:active" {
		t.Errorf("the keys are %s", got)
	}
}

// TestRotateOnce: gateways that rotate at the same time make one key together.
func TestRotateOnce(t *testing.T) {
	r := openRing(t)
	var all sync.WaitGroup
	made := make([]string, 4)
	for i := range made {
		all.Go(func() {
			key, err := r.Rotate(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
			}
			made[i] = key.Selector
		})
	}
	all.Wait()
	if got := r.states(t); got != "20261122:ES256:active 20261122-2:ES256:waiting" {
		t.Errorf("the keys are %s after %v", got, made)
	}
}

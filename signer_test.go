package amtp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"testing"

	"github.com/amtp-go/amtp"
)

var rsaKeys sync.Map // by bits

// rsaKey is a new RSA key, the same in all tests of a run.
func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	if key, ok := rsaKeys.Load(bits); ok {
		return key.(*rsa.PrivateKey)
	}
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	rsaKeys.Store(bits, key)
	return key
}

// TestSigners: a signer's signature verifies with the record that it publishes, and is
// the same each time.
func TestSigners(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		key       crypto.Signer
		value     int // characters
	}{
		{amtp.ES256, signingKey(t, "a"), 86},
		{amtp.RS256, rsaKey(t, 2048), 342},
		{amtp.RS256, rsaKey(t, 3072), 512},
	} {
		s, err := amtp.NewSigner("key1", c.key)
		if err != nil {
			t.Fatal(err)
		}
		body, err := s.Sign([]byte(complete))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.Sign([]byte(complete)); err != nil || string(again) != string(body) {
			t.Errorf("%s: Sign = %s, %v, want the bytes of the first time %s", c.algorithm, again, err, body)
		}
		head := complete[:len(complete)-1] + `,"signature":{"algorithm":"` + c.algorithm + `","keyid":"key1","value":"`
		value := strings.TrimSuffix(strings.TrimPrefix(string(body), head), `"}}`)
		if !strings.HasPrefix(string(body), head) || len(value) != c.value {
			t.Errorf("%s: Sign = %s, want a value of %d characters after %s", c.algorithm, body, c.value, head)
		}
		record, err := amtp.ChooseKeyRecord([]string{s.KeyRecord().String()})
		if err != nil {
			t.Fatal(err)
		}
		if sig, err := check(t, string(body), record); err != nil || sig.Algorithm != c.algorithm ||
			sig.Selector != s.Selector() {
			t.Errorf("%s: signature = %+v, %v, want one that verifies with the published record", c.algorithm, sig, err)
		}
	}
}

func TestNewSignerRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
	}{
		{"none", nil},
		{"a nil *ecdsa.PrivateKey", (*ecdsa.PrivateKey)(nil)},
		{"a nil *rsa.PrivateKey", (*rsa.PrivateKey)(nil)},
		{"a nil ed25519.PrivateKey", ed25519.PrivateKey(nil)},
		{"an empty *ecdsa.PrivateKey", new(ecdsa.PrivateKey)},
		{"an empty *rsa.PrivateKey", new(rsa.PrivateKey)},
		{"a public key on P-256 alone", &ecdsa.PrivateKey{PublicKey: signingKey(t, "a").PublicKey}},
		{"a public RSA key alone", &rsa.PrivateKey{PublicKey: *rsaNumber(2048, 65537)}},
		{"P-384", p384},
		{"Ed25519", edKey("a")},
		{"RSA of 1024 bits", rsaKey(t, 1024)},
	} {
		if s, err := amtp.NewSigner("key1", c.key); err == nil || s != nil {
			t.Errorf("NewSigner = %v, %v, want an error; key %s", s, err, c.name)
		}
	}
	for _, selector := range []string{"", `k"1`, "K1", "k.1", "-k", "k_1", "k1\n", strings.Repeat("k", 64)} {
		if s, err := amtp.NewSigner(selector, signingKey(t, "a")); err == nil || s != nil {
			t.Errorf("NewSigner = %v, %v, want an error; selector %q", s, err, selector)
		}
	}
}

package amtp_test

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"slices"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
)

func TestVerifyWithAnotherKey(t *testing.T) {
	body := signed(t, complete)
	for _, c := range []struct {
		name   string
		key    amtp.KeyRecord
		reason amtp.Reason
	}{
		{"another", amtp.KeyRecord{Algorithm: amtp.ES256, Key: &signingKey(t, "b").PublicKey}, amtp.ReasonBadSignature},
		{"none", amtp.KeyRecord{Algorithm: amtp.ES256}, amtp.ReasonBadSignature},
		{"an RSA key that is said to be for ES256", amtp.KeyRecord{Algorithm: amtp.ES256, Key: rsaNumber(2048, 3)},
			amtp.ReasonBadSignature},
		{"of another kind", amtp.KeyRecord{Algorithm: amtp.RS256, Key: rsaNumber(2048, 3)},
			amtp.ReasonAlgorithmMismatch},
		{"of no kind", amtp.KeyRecord{Key: &signingKey(t, "a").PublicKey}, amtp.ReasonAlgorithmMismatch},
		{"no record", amtp.KeyRecord{}, amtp.ReasonAlgorithmMismatch},
	} {
		if _, err := check(t, body, c.key); reasonOf(err) != c.reason {
			t.Errorf("%s: Verify = %v, want %s", c.name, err, c.reason)
		}
	}
}

// valueCase is a value for the signature of the message complete.
type valueCase struct {
	name   string
	value  []byte
	reason amtp.Reason
}

// wears verifies the message complete with each of the values.
func wears(t *testing.T, key amtp.KeyRecord, cases []valueCase) {
	t.Helper()
	for _, c := range cases {
		object := `{"algorithm":"` + key.Algorithm + `","keyid":"key1","value":"` +
			base64.RawURLEncoding.EncodeToString(c.value) + `"}`
		if _, err := check(t, edit(complete, "signature", object), key); reasonOf(err) != c.reason {
			t.Errorf("%s, %s: Verify = %v, want reason %q; value %x", key.Algorithm, c.name, err, c.reason, c.value)
		}
	}
}

// digestOf returns the SHA-256 of the part that a signature of the body covers.
func digestOf(t testing.TB, body string) []byte {
	t.Helper()
	form, err := canonical.Form([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(form)
	return digest[:]
}

// TestValuesOfES256: values that are nearly an ES256 signature. The other root of s,
// which can be computed from a signature by anyone, verifies as well: neither RFC 6979
// nor the protocol forbids it. So a value must not be used as the identity of a
// message.
func TestValuesOfES256(t *testing.T) {
	der, err := signingKey(t, "a").Sign(nil, digestOf(t, complete), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	r, s := halves(t, der)
	n := elliptic.P256().Params().N
	zero, order, ones := make([]byte, 32), n.Bytes(), slices.Repeat([]byte{0xff}, 32)
	number := func(f func(z, x, y *big.Int) *big.Int, x, y []byte) []byte {
		return f(new(big.Int), new(big.Int).SetBytes(x), new(big.Int).SetBytes(y)).FillBytes(make([]byte, 32))
	}
	otherS := number((*big.Int).Sub, order, s)
	wears(t, signer(t).KeyRecord(), []valueCase{
		{"r and s", slices.Concat(r, s), ""},
		{"r and the other s", slices.Concat(r, otherS), ""},
		{"s and r", slices.Concat(s, r), amtp.ReasonBadSignature},
		{"ASN.1", der, amtp.ReasonBadSignature},
		{"a zero in front of each", slices.Concat([]byte{0}, r, []byte{0}, s), amtp.ReasonBadSignature},
		{"a zero in front", slices.Concat([]byte{0}, r, s), amtp.ReasonBadSignature},
		{"a zero behind", slices.Concat(r, s, []byte{0}), amtp.ReasonBadSignature},
		{"without the last byte", slices.Concat(r, s[:31]), amtp.ReasonBadSignature},
		{"one byte", []byte{0}, amtp.ReasonBadSignature},
		{"r alone", r, amtp.ReasonBadSignature},
		{"zeros", make([]byte, 64), amtp.ReasonBadSignature},
		{"r of 0", slices.Concat(zero, s), amtp.ReasonBadSignature},
		{"s of 0", slices.Concat(r, zero), amtp.ReasonBadSignature},
		{"r of n", slices.Concat(order, s), amtp.ReasonBadSignature},
		{"s of n", slices.Concat(r, order), amtp.ReasonBadSignature},
		{"r and s of n", slices.Concat(order, order), amtp.ReasonBadSignature},
		{"the largest numbers", slices.Concat(ones, ones), amtp.ReasonBadSignature},
	})
}

// TestShortNumbersOfES256: a number with leading zero bytes keeps them.
func TestShortNumbersOfES256(t *testing.T) {
	key, found := signer(t).KeyRecord(), map[string]bool{}
	for i := 0; len(found) < 2 && i < 10_000; i++ {
		body := signed(t, edit(complete, "subject", `"`+big.NewInt(int64(i)).String()+`"`))
		m, failure := amtp.ParseMessage([]byte(body))
		if failure != nil {
			t.Fatal(failure)
		}
		value := unraw(t, body)
		for name, first := range map[string]byte{"r": value[0], "s": value[32]} {
			if first != 0 || found[name] {
				continue
			}
			found[name] = true
			if sig, err := amtp.ParseSignature(m); err != nil || sig.Verify(key) != nil {
				t.Errorf("Verify = %v, want no error; %s begins with a zero: %x", err, name, value)
			}
		}
	}
	if len(found) < 2 {
		t.Fatalf("found %v, want an r and an s that begin with a zero", found)
	}
}

// unraw returns the bytes of the value of an ES256 signature that Sign made.
func unraw(t testing.TB, body string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(body[len(body)-89 : len(body)-3])
	if err != nil || len(b) != 64 {
		t.Fatalf("value = %x, %v, want 64 bytes; body %s", b, err, body)
	}
	return b
}

func TestValuesOfRS256(t *testing.T) {
	key := rsaKey(t, 2048)
	digest := digestOf(t, complete)
	good, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest)
	if err != nil {
		t.Fatal(err)
	}
	pss, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := rsa.SignPKCS1v15(nil, key, crypto.Hash(0), digest) // without the name of the hash
	if err != nil {
		t.Fatal(err)
	}
	sum := crypto.SHA384.New()
	sum.Write(digest)
	other, err := rsa.SignPKCS1v15(nil, key, crypto.SHA384, sum.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	wears(t, amtp.KeyRecord{Algorithm: amtp.RS256, Key: &key.PublicKey}, []valueCase{
		{"PKCS #1 v1.5", good, ""},
		{"PSS", pss, amtp.ReasonBadSignature},
		{"without the name of the hash", bare, amtp.ReasonBadSignature},
		{"SHA-384", other, amtp.ReasonBadSignature},
		{"without its first byte", good[1:], amtp.ReasonBadSignature},
		{"without its last byte", good[:255], amtp.ReasonBadSignature},
		{"a zero in front", slices.Concat([]byte{0}, good), amtp.ReasonBadSignature},
		{"a zero behind", slices.Concat(good, []byte{0}), amtp.ReasonBadSignature},
		{"the modulus more", new(big.Int).Add(key.N, new(big.Int).SetBytes(good)).Bytes(), amtp.ReasonBadSignature},
		{"zeros", make([]byte, 256), amtp.ReasonBadSignature},
		{"one", append(make([]byte, 255), 1), amtp.ReasonBadSignature},
		{"the modulus", key.N.Bytes(), amtp.ReasonBadSignature},
		{"64 bytes", good[:64], amtp.ReasonBadSignature},
	})
}

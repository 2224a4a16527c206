package amtp_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

// signingKey is the same at every run: a key for tests and nothing else.
func signingKey(t testing.TB, seed string) *ecdsa.PrivateKey {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(seed string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte(seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

// rsaNumber is an odd number of so many bits with the exponent of an RSA key;
// nobody knows a private key for it.
func rsaNumber(bits uint, exponent int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: exponent}
}

func spki(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestParseKeyRecord(t *testing.T) {
	p256, ed := spki(t, &signingKey(t, "a").PublicKey), spki(t, edKey("a").Public())
	for _, c := range []struct{ name, txt, algorithm, written string }{
		{"ES256", "v=amtp1;k=ES256;p=" + p256, amtp.ES256, "v=amtp1;k=ES256;p=" + p256},
		{"EdDSA", "v=amtp1;k=EdDSA;p=" + ed, amtp.EdDSA, "v=amtp1;k=EdDSA;p=" + ed},
		{"RS256 of 2048 bits", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2048, 65537)), amtp.RS256, "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2048, 65537))},
		{"RS256 of 8192 bits", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(8192, 3)), amtp.RS256, "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(8192, 3))},
		{"other order, case and spaces", " P = " + p256[:50] + " " + p256[50:] + " ; K = es256 ; V = AMTP1 ;", amtp.ES256, "v=amtp1;k=ES256;p=" + p256},
		{"unknown tags", "v=amtp1;t=y;k=ES256;t=s;n=note;p=" + p256, amtp.ES256, "v=amtp1;k=ES256;p=" + p256},
		{"revoked", "v=amtp1;k=ES256;p=", amtp.ES256, "v=amtp1;k=ES256;p="},
		{"revoked with a space", "v=amtp1;k=RS256;p= ;", amtp.RS256, "v=amtp1;k=RS256;p="},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := amtp.ParseKeyRecord(c.txt)
			if err != nil || k.Algorithm != c.algorithm || k.String() != c.written {
				t.Fatalf("ParseKeyRecord = %s, %v, want %s; record %q", k, err, c.written, c.txt)
			}
			if got, want := k.Revoked(), strings.HasSuffix(c.written, "p="); got != want {
				t.Errorf("Revoked = %v, want %v; record %q", got, want, c.txt)
			}
		})
	}
}

func TestParseKeyRecordRefuses(t *testing.T) {
	p256, ed := spki(t, &signingKey(t, "a").PublicKey), spki(t, edKey("a").Public())
	p384, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), make48(7))
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().NewPrivateKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	offCurve, _ := base64.StdEncoding.DecodeString(p256)
	offCurve[len(offCurve)-1] ^= 1
	for _, c := range []struct {
		name, txt string
		want      error
	}{
		{"nothing", "", amtp.ErrNoRecord},
		{"DKIM", "v=DKIM1;k=rsa;p=" + p256, amtp.ErrNoRecord},
		{"no version", "k=ES256;p=" + p256, amtp.ErrNoRecord},
		{"no k", "v=amtp1;p=" + p256, amtp.ErrBadRecord},
		{"unknown k", "v=amtp1;k=HS256;p=" + p256, amtp.ErrBadRecord},
		{"k none", "v=amtp1;k=none;p=" + p256, amtp.ErrBadRecord},
		{"no p", "v=amtp1;k=ES256", amtp.ErrBadRecord},
		{"k twice", "v=amtp1;k=ES256;k=ES256;p=" + p256, amtp.ErrBadRecord},
		{"p twice", "v=amtp1;k=ES256;p=;p=" + p256, amtp.ErrBadRecord},
		{"no base64", "v=amtp1;k=ES256;p=!", amtp.ErrBadRecord},
		{"line break in base64", "v=amtp1;k=ES256;p=" + p256[:8] + "\n" + p256[8:], amtp.ErrBadRecord},
		{"no padding", "v=amtp1;k=EdDSA;p=" + strings.TrimRight(ed, "="), amtp.ErrBadRecord},
		{"base64 of something else", "v=amtp1;k=ES256;p=AAAA", amtp.ErrBadRecord},
		{"behind the key", "v=amtp1;k=EdDSA;p=" + base64.StdEncoding.EncodeToString(append(unbase64(t, ed), 0)), amtp.ErrBadRecord},
		{"point beside the curve", "v=amtp1;k=ES256;p=" + base64.StdEncoding.EncodeToString(offCurve), amtp.ErrBadRecord},
		{"P-384", "v=amtp1;k=ES256;p=" + spki(t, &p384.PublicKey), amtp.ErrBadRecord},
		{"X25519", "v=amtp1;k=EdDSA;p=" + spki(t, x25519.PublicKey()), amtp.ErrBadRecord},
		{"ES256 with a key of Ed25519", "v=amtp1;k=ES256;p=" + ed, amtp.ErrBadRecord},
		{"EdDSA with a key on P-256", "v=amtp1;k=EdDSA;p=" + p256, amtp.ErrBadRecord},
		{"RS256 with a key on P-256", "v=amtp1;k=RS256;p=" + p256, amtp.ErrBadRecord},
		{"ES256 with an RSA key", "v=amtp1;k=ES256;p=" + spki(t, rsaNumber(2048, 65537)), amtp.ErrBadRecord},
		{"RSA of 2047 bits", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2047, 65537)), amtp.ErrBadRecord},
		{"RSA of 8193 bits", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(8193, 65537)), amtp.ErrBadRecord},
		{"RSA with exponent 1", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2048, 1)), amtp.ErrBadRecord},
		{"RSA with an even exponent", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2048, 4)), amtp.ErrBadRecord},
		{"RSA with an exponent of 33 bits", "v=amtp1;k=RS256;p=" + spki(t, rsaNumber(2048, 1<<32+1)), amtp.ErrBadRecord},
		{"too long", "v=amtp1;k=ES256;p=" + p256 + ";n=" + strings.Repeat("x", 2048), amtp.ErrBadRecord},
	} {
		t.Run(c.name, func(t *testing.T) {
			if k, err := amtp.ParseKeyRecord(c.txt); !errors.Is(err, c.want) {
				t.Fatalf("ParseKeyRecord = %s, %v, want %v; record %q", k, err, c.want, c.txt)
			}
		})
	}
}

func make48(last byte) []byte {
	b := make([]byte, 48)
	b[47] = last
	return b
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChooseKeyRecord(t *testing.T) {
	a := "v=amtp1;k=ES256;p=" + spki(t, &signingKey(t, "a").PublicKey)
	b := "v=amtp1;k=ES256;p=" + spki(t, &signingKey(t, "b").PublicKey)
	const revoked, broken, spf = "v=amtp1;k=ES256;p=", "v=amtp1;k=ES256", "v=spf1 -all"
	for _, c := range []struct {
		name   string
		txts   []string
		want   string
		reason amtp.Reason
	}{
		{"none", nil, "", amtp.ReasonKeyMissing},
		{"others only", []string{spf, ""}, "", amtp.ReasonKeyMissing},
		{"one among others", []string{spf, a, "x"}, a, ""},
		{"equal", []string{a, "p=" + a[18:] + "; k=es256; v=amtp1"}, a, ""},
		{"revoked", []string{revoked}, revoked, ""},
		{"malformed", []string{broken}, "", amtp.ReasonKeyInvalid},
		{"different", []string{a, b}, "", amtp.ReasonKeyAmbiguous},
		{"revoked and not", []string{a, revoked}, "", amtp.ReasonKeyAmbiguous},
		{"malformed beside a key", []string{a, broken}, "", amtp.ReasonKeyAmbiguous},
		{"a key beside a malformed one", []string{broken, a}, "", amtp.ReasonKeyAmbiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := amtp.ChooseKeyRecord(c.txts)
			if reasonOf(err) != c.reason || err == nil && k.String() != c.want {
				t.Fatalf("ChooseKeyRecord = %s, %v, want %s, reason %q; records %q", k, err, c.want, c.reason, c.txts)
			}
		})
	}
	if _, err := amtp.ChooseKeyRecord(nil); !errors.Is(err, amtp.ErrNoRecord) {
		t.Errorf("ChooseKeyRecord = %v, want it to wrap %v; no records", err, amtp.ErrNoRecord)
	}
}

// reasonOf returns the reason of a *SignatureError, "" without an error and
// "?" for another one.
func reasonOf(err error) amtp.Reason {
	var e *amtp.SignatureError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Reason
	}
	return "?"
}

func TestKeyRecordName(t *testing.T) {
	if got, err := amtp.KeyRecordName("key1", "x.test"); err != nil || got != "key1._amtpkey.x.test" {
		t.Errorf("KeyRecordName = %q, %v, want key1._amtpkey.x.test", got, err)
	}
	if got, err := amtp.KeyRecordName("2026.key-1", "x.test"); err != nil || got != "2026.key-1._amtpkey.x.test" {
		t.Errorf("KeyRecordName = %q, %v, want 2026.key-1._amtpkey.x.test", got, err)
	}
	for _, selector := range []string{"", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "Key", "ü", "a:b", "a*", strings.Repeat("a", 64), strings.Repeat("a.", 120) + "a"} {
		if got, err := amtp.KeyRecordName(selector, "x.test"); err == nil {
			t.Errorf("KeyRecordName = %q, want an error; selector %q", got, selector)
		}
	}
}

// FuzzKeyRecord checks that a key that is read can be written and read again,
// and that it is one for its algorithm.
func FuzzKeyRecord(f *testing.F) {
	p256, ed := spki(f, &signingKey(f, "a").PublicKey), spki(f, edKey("a").Public())
	for _, txt := range []string{
		"v=amtp1;k=ES256;p=" + p256, "v=amtp1;k=EdDSA;p=" + ed, "v=amtp1;k=RS256;p=" + spki(f, rsaNumber(2048, 65537)), "v=amtp1;k=ES256;p=",
		" P = " + ed[:9] + " " + ed[9:] + " ; K=eddsa; V=AMTP1", "v=amtp1;k=ES256;p=" + ed, "v=amtp1;k=ES256;k=EdDSA;p=" + ed, "v=DKIM1;k=rsa;p=", `"v=amtp1;k=EdDSA;p="`,
	} {
		f.Add(txt)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		k, err := amtp.ParseKeyRecord(txt)
		if err != nil {
			if !errors.Is(err, amtp.ErrNoRecord) && !errors.Is(err, amtp.ErrBadRecord) || len(err.Error()) > 300 {
				t.Fatalf("ParseKeyRecord = %v, want a short ErrNoRecord or ErrBadRecord; record %q", err, txt)
			}
			return
		}
		again, err := amtp.ParseKeyRecord(k.String())
		if err != nil || again.String() != k.String() || again.Revoked() != k.Revoked() {
			t.Fatalf("ParseKeyRecord = %s, %v, want %s; its own String, record %q", again, err, k, txt)
		}
		kind := map[string]bool{}
		switch key := k.Key.(type) {
		case nil:
			kind = map[string]bool{amtp.ES256: true, amtp.RS256: true, amtp.EdDSA: true}
		case *ecdsa.PublicKey:
			kind[amtp.ES256] = key.Curve == elliptic.P256()
		case *rsa.PublicKey:
			kind[amtp.RS256] = key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192
		case ed25519.PublicKey:
			kind[amtp.EdDSA] = len(key) == ed25519.PublicKeySize
		}
		if !kind[k.Algorithm] {
			t.Fatalf("ParseKeyRecord gave a %T for %s; record %q", k.Key, k.Algorithm, txt)
		}
	})
}

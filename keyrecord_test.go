package amtp_test

import (
	"crypto"
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

// signingKey returns the same key at every run, for tests only.
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

// rsaNumber is an odd number of that many bits with the exponent of an RSA key; it has
// no known private key.
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
	p256 := spki(t, &signingKey(t, "a").PublicKey)
	es256 := "v=amtpkey1;alg=ES256;p=" + p256
	rs256 := func(bits uint, exponent int) string {
		return "v=amtpkey1;alg=RS256;p=" + spki(t, rsaNumber(bits, exponent))
	}
	for _, c := range []struct{ name, txt, algorithm, written string }{
		{"ES256", es256, amtp.ES256, es256},
		{"RS256 of 2048 bits", rs256(2048, 65537), amtp.RS256, rs256(2048, 65537)},
		{"RS256 of 8192 bits", rs256(8192, 3), amtp.RS256, rs256(8192, 3)},
		{"other order and spaces", " p=" + p256 + " ;\talg=ES256 ; v=amtpkey1 ;", amtp.ES256, es256},
		{"unknown parameters", "v=amtpkey1;t=y;alg=ES256;k=RS256;n=a=b;p=" + p256, amtp.ES256, es256},
		{"names in upper case are unknown", "V=DKIM1;v=amtpkey1;ALG=RS256;alg=ES256;P=x;p=" + p256, amtp.ES256, es256},
		{"words that are no parameters", "v=amtpkey1;flag;flag;alg=ES256;p=" + p256, amtp.ES256, es256},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := amtp.ParseKeyRecord(c.txt)
			if err != nil || k.Algorithm != c.algorithm || k.String() != c.written {
				t.Fatalf("ParseKeyRecord = %s, %v, want %s; record %q", k, err, c.written, c.txt)
			}
		})
	}
}

// TestParseKeyRecordFindsNone: a text without v=amtpkey1, in exactly this form, is a
// record of something else.
func TestParseKeyRecordFindsNone(t *testing.T) {
	p256 := spki(t, &signingKey(t, "a").PublicKey)
	for _, txt := range []string{
		"", ";", "v=DKIM1;k=rsa;p=" + p256, "alg=ES256;p=" + p256, "v=;alg=ES256;p=" + p256,
		"v=amtp1;k=ES256;p=" + p256,
		"V=amtpkey1;alg=ES256;p=" + p256, "v=AMTPKEY1;alg=ES256;p=" + p256, "v=amtpkey2;alg=ES256;p=" + p256,
		"v =amtpkey1;alg=ES256;p=" + p256, "v= amtpkey1;alg=ES256;p=" + p256, `"v=amtpkey1;alg=ES256;p=` + p256 + `"`,
		"v=amtpkey1 alg=ES256 p=" + p256, "v=amtpkey1,alg=ES256;p=" + p256, "v=a;v=b",
	} {
		if k, err := amtp.ParseKeyRecord(txt); !errors.Is(err, amtp.ErrNoRecord) {
			t.Errorf("ParseKeyRecord = %s, %v, want %v; record %q", k, err, amtp.ErrNoRecord, txt)
		}
	}
}

func TestParseKeyRecordRefuses(t *testing.T) {
	p256, ed := spki(t, &signingKey(t, "a").PublicKey), spki(t, edKey("a").Public())
	p384, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), make48(7))
	if err != nil {
		t.Fatal(err)
	}
	offCurve, long := unbase64(t, p256), append(unbase64(t, p256), 0)
	offCurve[len(offCurve)-1] ^= 1
	rsa2048 := spki(t, rsaNumber(2048, 65537))
	for _, c := range []struct{ name, txt string }{
		{"no alg", "p=" + p256},
		{"the parameter k of other records", "k=ES256;p=" + p256},
		{"empty alg", "alg=;p=" + p256},
		{"alg in lower case", "alg=es256;p=" + p256},
		{"alg behind a space", "alg= ES256;p=" + p256},
		{"alg in another list of names", "alg=HS256;p=" + p256},
		{"alg none", "alg=none;p=" + p256},
		{"alg EdDSA", "alg=EdDSA;p=" + ed},
		{"no p", "alg=ES256"},
		{"P for p", "alg=ES256;P=" + p256},
		{"empty p", "alg=ES256;p="},
		{"alg twice", "alg=ES256;alg=ES256;p=" + p256},
		{"p twice", "alg=ES256;p=;p=" + p256},
		{"p twice, equal", "alg=ES256;p=" + p256 + ";p=" + p256},
		{"v twice, equal", "v=amtpkey1;alg=ES256;p=" + p256},
		{"v twice, different", "v=DKIM1;alg=ES256;p=" + p256},
		{"an unknown parameter twice", "n=1;alg=ES256;n=2;p=" + p256},
		{"a parameter without a name twice", "=1;alg=ES256;=2;p=" + p256},
		{"no base64", "alg=ES256;p=!"},
		{"space in base64", "alg=ES256;p=" + p256[:8] + " " + p256[8:]},
		{"line break in base64", "alg=ES256;p=" + p256[:8] + "\n" + p256[8:]},
		{"no padding", "alg=ES256;p=" + strings.TrimRight(p256, "=")},
		{"too much padding", "alg=ES256;p=" + p256 + "="},
		{"base64url", "alg=ES256;p=" + base64.URLEncoding.EncodeToString(unbase64(t, "+/+/"+p256[4:]))},
		{"stray bits behind the key", "alg=ES256;p=" + strayBits(p256)},
		{"base64 of something else", "alg=ES256;p=AAAA"},
		{"a byte behind the key", "alg=ES256;p=" + base64.StdEncoding.EncodeToString(long)},
		{"the point alone", "alg=ES256;p=" + base64.StdEncoding.EncodeToString(long[26:91])},
		{"point beside the curve", "alg=ES256;p=" + base64.StdEncoding.EncodeToString(offCurve)},
		{"PEM", "alg=ES256;p=-----BEGIN PUBLIC KEY-----" + p256},
		{"P-384", "alg=ES256;p=" + spki(t, &p384.PublicKey)},
		{"ES256 with a key of Ed25519", "alg=ES256;p=" + ed},
		{"RS256 with a key on P-256", "alg=RS256;p=" + p256},
		{"ES256 with an RSA key", "alg=ES256;p=" + rsa2048},
		{"RSA of 1024 bits", "alg=RS256;p=" + spki(t, rsaNumber(1024, 65537))},
		{"RSA of 2047 bits", "alg=RS256;p=" + spki(t, rsaNumber(2047, 65537))},
		{"RSA of 8193 bits", "alg=RS256;p=" + spki(t, rsaNumber(8193, 65537))},
		{"RSA with exponent 1", "alg=RS256;p=" + spki(t, rsaNumber(2048, 1))},
		{"RSA with an even exponent", "alg=RS256;p=" + spki(t, rsaNumber(2048, 4))},
		{"RSA with an exponent of 33 bits", "alg=RS256;p=" + spki(t, rsaNumber(2048, 1<<32+1))},
		{"too long", "alg=ES256;p=" + p256 + ";n=" + strings.Repeat("x", 2048)},
	} {
		t.Run(c.name, func(t *testing.T) {
			txt := "v=amtpkey1;" + c.txt
			if k, err := amtp.ParseKeyRecord(txt); !errors.Is(err, amtp.ErrBadRecord) {
				t.Fatalf("ParseKeyRecord = %s, %v, want %v; record %q", k, err, amtp.ErrBadRecord, txt)
			}
		})
	}
}

// strayBits sets a bit after the end of the data in padded base64.
func strayBits(s string) string {
	end := len(strings.TrimRight(s, "="))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return s[:end-1] + string(alphabet[strings.IndexByte(alphabet, s[end-1])+1]) + s[end:]
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
	a := "v=amtpkey1;alg=ES256;p=" + spki(t, &signingKey(t, "a").PublicKey)
	b := "v=amtpkey1;alg=ES256;p=" + spki(t, &signingKey(t, "b").PublicKey)
	const broken, spf = "v=amtpkey1;alg=ES256;p=", "v=spf1 -all"
	former := strings.NewReplacer("amtpkey1", "amtp1", "alg=", "k=").Replace(a)
	for _, c := range []struct {
		name   string
		txts   []string
		want   string
		reason amtp.Reason
	}{
		{"none", nil, "", amtp.ReasonKeyMissing},
		{"others only", []string{spf, "", former}, "", amtp.ReasonKeyMissing},
		{"one among others", []string{spf, a, "x", former}, a, ""},
		{"one beside a broken one", []string{a, broken}, a, ""},
		{"one behind a broken one", []string{broken, "v=amtpkey1", a}, a, ""},
		{"broken", []string{broken}, "", amtp.ReasonKeyInvalid},
		{"broken ones only", []string{spf, broken, "v=amtpkey1"}, "", amtp.ReasonKeyInvalid},
		{"equal", []string{a, a}, "", amtp.ReasonKeyAmbiguous},
		{"of the same key", []string{a, a + ";n=1"}, "", amtp.ReasonKeyAmbiguous},
		{"different", []string{a, b}, "", amtp.ReasonKeyAmbiguous},
		{"different, and a broken one", []string{a, broken, b}, "", amtp.ReasonKeyAmbiguous},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := amtp.ChooseKeyRecord(c.txts)
			if reasonOf(err) != c.reason || err == nil && k.String() != c.want {
				t.Fatalf("ChooseKeyRecord = %s, %v, want %s, reason %q; records %q", k, err, c.want, c.reason, c.txts)
			}
		})
	}
	for txt, want := range map[string]error{spf: amtp.ErrNoRecord, broken: amtp.ErrBadRecord} {
		if _, err := amtp.ChooseKeyRecord([]string{txt}); !errors.Is(err, want) {
			t.Errorf("ChooseKeyRecord = %v, want it to wrap %v; record %q", err, want, txt)
		}
	}
	if _, err := amtp.ChooseKeyRecord([]string{a, a}); !errors.Is(err, amtp.ErrSeveralRecords) {
		t.Errorf("ChooseKeyRecord = %v, want it to wrap %v; two equal records", err, amtp.ErrSeveralRecords)
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
	for _, selector := range []string{"a", "1", "key1", "20261122", "a-b", "a--b", "xn--a", strings.Repeat("a", 63)} {
		if got, err := amtp.KeyRecordName(selector, "x.test"); err != nil || got != selector+"._amtpkey.x.test" {
			t.Errorf("KeyRecordName = %q, %v, want %s._amtpkey.x.test", got, err, selector)
		}
	}
	for _, selector := range []string{
		"", ".", "a.", ".a", "a..b", "2026.key-1", "-", "-a", "a-", "a b", " a", "a\n", "a\x00", "Key", "KEY1", "ü",
		"a:b", "x.test:a", "a*", "_a", "a_b",
		strings.Repeat("a", 64), strings.Repeat("a.", 120) + "a",
	} {
		if got, err := amtp.KeyRecordName(selector, "x.test"); err == nil {
			t.Errorf("KeyRecordName = %q, want an error; selector %q", got, selector)
		}
	}
	// The whole name has at most 253 characters.
	long := amtp.Domain(longDomain(253 - len("key1._amtpkey.")))
	if got, err := amtp.KeyRecordName("key1", long); err != nil || len(got) != 253 {
		t.Errorf("KeyRecordName = %q, %v, want a name of 253 characters", got, err)
	}
	if got, err := amtp.KeyRecordName("key10", long); err == nil {
		t.Errorf("KeyRecordName = %q, want an error for a name of 254 characters", got)
	}
}

// FuzzKeyRecord checks that a key that was read can be written and read again, and that
// it fits its algorithm.
func FuzzKeyRecord(f *testing.F) {
	p256, ed := spki(f, &signingKey(f, "a").PublicKey), spki(f, edKey("a").Public())
	for _, txt := range []string{
		"v=amtpkey1;alg=ES256;p=" + p256, "v=amtpkey1;alg=RS256;p=" + spki(f, rsaNumber(2048, 65537)),
		"v=amtpkey1;alg=ES256;p=",
		" p=" + p256 + " ; n=x; alg=ES256; v=amtpkey1",
		" P = " + p256[:9] + " " + p256[9:] + " ; ALG=es256; V=AMTPKEY1", "v=amtpkey1;alg=EdDSA;p=" + ed,
		"v=amtpkey1;alg=ES256;p=" + ed, "v=amtpkey1;alg=ES256;alg=RS256;p=" + p256, "v=amtp1;k=ES256;p=" + p256,
		"v=DKIM1;k=rsa;p=", `"v=amtpkey1;alg=ES256;p="`,
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
		if !strings.Contains(txt, "v=amtpkey1") || !strings.Contains(txt, "alg="+k.Algorithm) ||
			strings.Count(txt, "p=") == 0 {
			t.Fatalf("ParseKeyRecord = %s; the record does not say so: %q", k, txt)
		}
		again, err := amtp.ParseKeyRecord(k.String())
		if err != nil || again.String() != k.String() {
			t.Fatalf("ParseKeyRecord = %s, %v, want %s; its own String, record %q", again, err, k, txt)
		}
		kind := map[string]bool{}
		switch key := k.Key.(type) {
		case *ecdsa.PublicKey:
			kind[amtp.ES256] = key.Curve == elliptic.P256()
		case *rsa.PublicKey:
			kind[amtp.RS256] = key.N.BitLen() >= 2048 && key.N.BitLen() <= 8192
		}
		if !kind[k.Algorithm] {
			t.Fatalf("ParseKeyRecord gave a %T for %s; record %q", k.Key, k.Algorithm, txt)
		}
	})
}

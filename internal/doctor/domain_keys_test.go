package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/discovery"
	"github.com/amtp-go/amtp/internal/doctor"
)

// material is a value that may be published in place of a key.
type material struct{ *testing.T }

func (m material) must(der []byte, err error) string {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func (m material) rsa(bits int) *rsa.PrivateKey {
	m.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		m.Fatal(err)
	}
	return key
}

func (m material) ec(curve elliptic.Curve) *ecdsa.PrivateKey {
	m.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		m.Fatal(err)
	}
	return key
}

// TestKeyRecords breaks a key's record in one way at a time. The point of the key names
// the fault and the fix, and no other point is blamed.
func TestKeyRecords(t *testing.T) {
	m := material{t}
	strong, weak, p256, p384 := m.rsa(2048), m.rsa(1024), m.ec(elliptic.P256()), m.ec(elliptic.P384())
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := "v=amtpkey1;alg=RS256;p=" + m.must(x509.MarshalPKIXPublicKey(&strong.PublicKey))
	_, p, _ := strings.Cut(keyRecord, ";p=")
	es256 := func(p string) []string { return []string{"v=amtpkey1;alg=ES256;p=" + p} }
	rs256 := func(p string) []string { return []string{"v=amtpkey1;alg=RS256;p=" + p} }
	pemOf := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("of a key")}))
	point, err := p256.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		records []string
		text    string // in what it says; "" when it is in order
		hint    string // in how to mend it, beside the record that is to be there
		note    string // in what is remarked although it is in order
	}{
		{"the record", []string{keyRecord}, "", "", ""},
		{"another order", []string{"p=" + p + ";alg=ES256;v=amtpkey1"}, "", "", ""},
		{"spaces between", []string{" v=amtpkey1 ; alg=ES256 ; p=" + p + " "}, "", "", ""},
		{"an unknown parameter", []string{keyRecord + ";n=note"}, "", "", ""},
		{"beside texts of others", []string{"v=spf1 -all", keyRecord}, "", "", ""},
		{"beside a broken one", []string{"v=amtpkey1;alg=ES256;p=AAAA", keyRecord}, "", "",
			"another record there is not valid"},
		{"beside the older form", []string{keyRecord, "v=amtp1;k=ES256;p=" + p}, "", "",
			"from before the protocol had one"},

		{"two equal ones", []string{keyRecord, keyRecord},
			"2 valid records at k1._amtpkey.shop.example, of the same key", "remove all but this one", ""},
		{"the same in another order", []string{keyRecord, "alg=ES256;v=amtpkey1;p=" + p}, "of the same key",
			"remove all but this one", ""},
		{"two keys", []string{otherKey, keyRecord}, "of different keys", "remove all but this one", ""},
		{"two keys that are not ours", []string{otherKey, long}, "of different keys",
			"remove them and publish this one", ""},
		{"three", []string{otherKey, keyRecord, long}, "3 valid records", "remove all but this one", ""},
		{"a key that is not ours", []string{otherKey}, "another key than this gateway has as k1", "", ""},
		{"a key that is not ours, RSA", []string{long}, "another key than this gateway has as k1", "", ""},
		{"only texts of others", []string{"v=spf1 -all"},
			`there is something other than the record of a key: "v=spf1 -all"`, "", ""},

		{"the older form", []string{"v=amtp1;k=ES256;p=" + p}, "a form from before the protocol had one", "", ""},
		{"the older form, small letters", []string{"v=amtp1;k=es256;p="},
			"a form from before the protocol had one", "", ""},
		{"a version of later", []string{"v=amtpkey2;alg=ES256;p=" + p}, "v=amtpkey2", "", ""},
		{"the version in capitals", []string{"v=AMTPKEY1;alg=ES256;p=" + p}, "small letters, amtpkey1", "", ""},
		{"everything in capitals", []string{strings.ToUpper(keyRecord)}, "small letters, amtpkey1", "", ""},
		{"a name in capitals", []string{"V=amtpkey1;alg=ES256;p=" + p}, "it says V=", "", ""},
		{"another name in capitals", []string{"v=amtpkey1;ALG=ES256;p=" + p}, "it says ALG=", "", ""},
		{"no version", []string{"alg=ES256;p=" + p + ";x=amtp"}, "v=amtpkey1 is missing", "", ""},
		{"commas", []string{strings.ReplaceAll(keyRecord, ";", ",")}, "amtpkey1,alg", "", ""},
		{"a record of DKIM", []string{"v=DKIM1; k=rsa; p=" + p}, "v=DKIM1", "", ""},
		{"that of the gateway", []string{record}, "a form from before", "", ""},

		{"quotation marks", []string{`"` + keyRecord + `"`}, "quotation marks", "without them", ""},
		{"typographic ones", []string{"“" + keyRecord + "”"}, "quotation marks", "without them", ""},
		{"two strings with their marks", []string{long[:255] + `" "` + long[255:]}, "quotation marks",
			"without them", ""},
		{"backslashes", []string{strings.ReplaceAll(keyRecord, ";", `\;`)}, "backslashes", `and not \;`, ""},
		{"a space between two strings", []string{long[:255] + " " + long[255:]}, "spaces in p",
			"nothing between them", ""},
		{"a tab in p", es256(p[:20] + "\t" + p[20:]), "is not printable ASCII", "anew", ""},
		{"a line break in p", es256(p[:64] + "\n" + p[64:]), "is not printable ASCII", "anew", ""},
		{"a space that is none", []string{"v=amtpkey1;alg=\u00a0ES256;p=" + p},
			"the character at its byte 16", "anew", ""},
		{"a space behind =", []string{"v=amtpkey1;alg= ES256;p=" + p}, "there is a space next to the = of alg",
			"without spaces", ""},
		{"a space before =", []string{"v=amtpkey1;alg =ES256;p=" + p}, "there is a space next to the = of alg",
			"without spaces", ""},
		{"one string of two", []string{long[:255]}, "p is cut off", "several strings of one record", ""},
		{"the strings as records", []string{long[255:], long[:255]}, "published as 2 records",
			"several strings of one record", ""},

		{"alg twice", []string{"v=amtpkey1;alg=ES256;alg=ES256;p=" + p}, "alg is in it twice", "", ""},
		{"an unknown parameter twice", []string{keyRecord + ";n=1;n=1"}, "n is in it twice", "", ""},
		{"k and not alg", []string{"v=amtpkey1;k=ES256;p=" + p}, "k= in place of alg=", "", ""},
		{"no alg", []string{"v=amtpkey1;p=" + p}, "alg is missing", "", ""},
		{"alg in small letters", []string{"v=amtpkey1;alg=es256;p=" + p}, "the algorithm is written ES256", "", ""},
		{"an unknown alg", []string{"v=amtpkey1;alg=EdDSA;p=" + p}, "alg=EdDSA", "", ""},
		{"no p", []string{"v=amtpkey1;alg=ES256"}, "p, the key, is missing", "", ""},
		{"an empty p", es256(""), "withdrawn by removing its record", "", ""},

		{"no padding", es256(strings.TrimRight(p, "=")), "0 times = at its end in place of 2", "", ""},
		{"too much padding", es256(p + "="), "3 times =", "", ""},
		{"base64url", es256("_" + p[1:]), "base64url", "", ""},
		{"a character that is none", es256(p[:20] + "*" + p[21:]), `the character "*"`, "", ""},
		{"a letter is missing", es256(p[:40] + p[41:]), "p is cut off", "", ""},
		{"a letter too many", es256(p[:len(p)-2] + "AAAAAA"), "more than the key", "", ""},
		{"two keys in p", es256(m.must(append(slices.Clone(must64(t, p)), must64(t, p)...), nil)), "91 bytes",
			"one key", ""},
		{"nothing of a key", es256("AAAA"), "no public key", "openssl pkey", ""},

		{"ES256 with an RSA key", es256(m.must(x509.MarshalPKIXPublicKey(&strong.PublicKey))),
			"alg=ES256, and the key is one for RS256", "", ""},
		{"RS256 with an EC key", rs256(p), "alg=RS256, and the key is one for ES256", "", ""},
		{"a small RSA key", rs256(m.must(x509.MarshalPKIXPublicKey(&weak.PublicKey))), "1024 bits, which is too weak",
			"amtp keys generate", ""},
		{"P-384", es256(m.must(x509.MarshalPKIXPublicKey(&p384.PublicKey))), "an EC key on P-384", "", ""},
		{"Ed25519", es256(m.must(x509.MarshalPKIXPublicKey(ed))), "neither one on P-256 nor an RSA key", "", ""},
		{"PKCS #1", rs256(m.must(x509.MarshalPKCS1PublicKey(&strong.PublicKey), nil)), "PKCS #1", "openssl pkey", ""},
		{"the point", es256(m.must(point, nil)), "the bare point", "openssl pkey", ""},
		{"a PEM file", es256(strings.ReplaceAll(pemOf, "\n", "")), "lines of a PEM file", "in one piece", ""},
		{"the private key", es256(m.must(x509.MarshalPKCS8PrivateKey(p256))), "the PRIVATE key",
			"make another key at once", ""},
		{"the private key, SEC 1", es256(m.must(x509.MarshalECPrivateKey(p256))), "the PRIVATE key",
			"make another key at once", ""},
		{"the private key, PKCS #1", rs256(m.must(x509.MarshalPKCS1PrivateKey(strong), nil)), "the PRIVATE key",
			"make another key at once", ""},
		{"the private key as a file", es256("-----BEGIN PRIVATE KEY-----"), "the PRIVATE key",
			"make another key at once", ""},
	} {
		for _, foreign := range []bool{false, true} {
			known := own()
			if foreign {
				if strings.Contains(c.text, "another key than") {
					continue // nobody knows which is right
				}
				known = nil
			}
			s := sound()
			s.Keys = []doctor.SeenKey{{Selector: "k1", SeenTXT: txt("k1._amtpkey.shop.example", c.records...)}}
			list := doctor.JudgeDomain(s, known)
			for _, f := range list[:len(list)-1] {
				if !f.OK && !f.Skipped {
					t.Errorf("%s: %s is blamed: %s", c.what, f.Name, f.Text)
				}
			}
			f := list[len(list)-1]
			switch {
			case f.Name != "key k1" || f.OK != (c.text == "") || !strings.Contains(f.Text, c.text) ||
				(f.Mend == "") != f.OK:
				t.Errorf("%s: got %+v, want %q", c.what, f, c.text)
			case !foreign && !strings.Contains(f.Mend, c.hint),
				!foreign && !f.OK && !strings.Contains(f.Mend, keyRecord):
				t.Errorf("%s: it is mended by %q, want %q and the record", c.what, f.Mend, c.hint)
			case (f.Note == "") != (c.note == "") || !strings.Contains(f.Note, c.note):
				t.Errorf("%s: the note is %q, want %q", c.what, f.Note, c.note)
			}
		}
	}
}

func must64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestLongTTL: a key that may be cached for days is mentioned.
func TestLongTTL(t *testing.T) {
	for ttl, noted := range map[time.Duration]bool{0: false, 5 * time.Minute: false, 24 * time.Hour: false,
		48 * time.Hour: true} {
		s := sound()
		s.Keys[0].TTL = ttl
		list := doctor.JudgeDomain(s, own())
		if f := list[len(list)-1]; !f.OK || (f.Note != "") != noted {
			t.Errorf("a TTL of %s: %+v, want a note: %v", ttl, f, noted)
		}
	}
}

// zone is a DNS of texts.
type zone map[string][]string

func (z zone) TXT(_ context.Context, name string) (discovery.Answer, error) {
	if txts, ok := z[name]; ok {
		return discovery.Answer{Status: discovery.Exists, Records: txts}, nil
	}
	if name == "a.shop.example" {
		return discovery.Answer{Status: discovery.NoData}, nil
	}
	return discovery.Answer{Status: discovery.NoName}, nil
}

// TestRecordsAtAnotherName: a record that a web form put at another name is found
// there.
func TestRecordsAtAnotherName(t *testing.T) {
	const right, key = "v=amtp1;gateway=https://amtp.a.shop.example;auth=sig", "k1._amtpkey.a.shop.example"
	for _, c := range []struct {
		what, name, value string
		point, text, mend string
	}{
		{"nowhere", "b.example", "", "key k1", "there is no record at " + key, "publish at " + key},
		{"the domain twice", key + ".a.shop.example", keyRecord, "key k1",
			"but there is one at " + key + ".a.shop.example", "the form adds .a.shop.example"},
		{"the zone twice", key + ".shop.example", keyRecord, "key k1", "but there is one at " + key + ".shop.example",
			"the form adds .shop.example"},
		{"no selector", "_amtpkey.a.shop.example", keyRecord, "key k1", "but there is one at _amtpkey.a.shop.example",
			"move it to the name " + key},
		{"no underscore", "k1.amtpkey.a.shop.example", keyRecord, "key k1",
			"but there is one at k1.amtpkey.a.shop.example", "move it to the name " + key},
		{"something else at the domain twice", key + ".a.shop.example", "v=spf1 -all", "key k1",
			"there is no record at " + key, "publish at " + key},
		{"the gateway, the domain twice", "_amtp.a.shop.example.a.shop.example", right, "dns",
			"but there is one at _amtp.a.shop.example.a.shop.example", "the form adds .a.shop.example"},
		{"the gateway, at the domain", "a.shop.example", right, "dns", "but there is one at a.shop.example",
			"move it to the name _amtp.a.shop.example"},
	} {
		z := zone{c.name: {c.value}}
		if c.point == "dns" {
			z[key] = []string{keyRecord}
		} else {
			z["_amtp.a.shop.example"] = []string{right}
		}
		l := &doctor.DomainLooker{Resolver: z, Now: time.Now,
			Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }}
		known := own()
		known.Gateway, known.Keys[0].Name = "https://amtp.a.shop.example", key
		for _, f := range doctor.JudgeDomain(l.Look(t.Context(), "a.shop.example", []string{"k1"}), known) {
			if f.Name == c.point && (f.OK || !strings.Contains(f.Text, c.text) || !strings.Contains(f.Mend, c.mend)) {
				t.Errorf("%s: got %+v, want %q, to be mended by %q", c.what, f, c.text, c.mend)
			}
		}
	}
}

// FuzzKeyRecords: the check calls a record valid exactly if every gateway can read it.
func FuzzKeyRecords(f *testing.F) {
	for _, txt := range []string{keyRecord, "v=amtpkey1;alg=ES256;p=", "v=amtp1;k=ES256;p=AAAA",
		`"v=amtpkey1\; alg=RS256\; p=MIIB"`, "V=AMTPKEY1;p=MDAw=;p"} {
		f.Add(txt)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		s := sound()
		s.Keys[0].Records = []string{txt}
		list := doctor.JudgeDomain(s, nil)
		got := list[len(list)-1]
		if _, err := amtp.ParseKeyRecord(txt); got.OK != (err == nil) || got.Text == "" ||
			strings.HasSuffix(got.Text, ": ") {
			t.Errorf("%q: got %+v, and the parser says %v", txt, got, err)
		}
	})
}

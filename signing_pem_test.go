package amtp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/amtp-go/amtp"
)

// keyFiles makes files in the forms that openssl writes.
type keyFiles struct{ *testing.T }

func (k keyFiles) block(kind string, der []byte, err error) string {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (k keyFiles) ec(curve elliptic.Curve) *ecdsa.PrivateKey {
	k.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		k.Fatal(err)
	}
	return key
}

func (k keyFiles) rsa(bits int) *rsa.PrivateKey {
	k.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		k.Fatal(err)
	}
	return key
}

func (k keyFiles) pkcs8(key any) string {
	k.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return k.block("PRIVATE KEY", der, err)
}

func (k keyFiles) sec1(key *ecdsa.PrivateKey) string {
	k.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	return k.block("EC PRIVATE KEY", der, err)
}

func (k keyFiles) public(key any) string {
	k.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	return k.block("PUBLIC KEY", der, err)
}

// secp256k1 is an EC key written by openssl, on a curve that is not supported.
const secp256k1 = `-----BEGIN EC PARAMETERS-----
BgUrgQQACg==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MC4CAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAcGBSuBBAAK
-----END EC PRIVATE KEY-----
`

// TestParseSigningKey reads the supported forms of a key. For any other file the error
// says what the file is.
func TestParseSigningKey(t *testing.T) {
	k := keyFiles{t}
	p256, p384, r2048, r1024 := k.ec(elliptic.P256()), k.ec(elliptic.P384()), k.rsa(2048), k.rsa(1024)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, sec1, pkcs1 := k.pkcs8(p256), k.sec1(p256), k.block("RSA PRIVATE KEY",
		x509.MarshalPKCS1PrivateKey(r2048), nil)
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	certificate := k.block("CERTIFICATE", []byte("of something"), nil)
	encrypted := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	for _, c := range []struct {
		what, file string
		want       crypto.Signer // nil: it is refused
		text       string        // part of the error
	}{
		{"PKCS #8, P-256", pkcs8, p256, ""},
		{"PKCS #8, RSA", k.pkcs8(r2048), r2048, ""},
		{"SEC 1", sec1, p256, ""},
		{"SEC 1 behind its parameters", parameters + sec1, p256, ""},
		{"PKCS #1", pkcs1, r2048, ""},
		{"a byte order mark", "\ufeff" + pkcs8, p256, ""},
		{"lines of Windows", strings.ReplaceAll(pkcs8, "\n", "\r\n"), p256, ""},
		{"lines of an old Mac", strings.ReplaceAll(pkcs8, "\n", "\r"), p256, ""},
		{"both, and indented", "\ufeff" + strings.ReplaceAll("  "+parameters+sec1, "\n", " \r\n\t"), p256, ""},
		{"a text before it", "My key of 2026:\n\n" + pkcs8, p256, ""},
		{"its certificate before it", certificate + pkcs8, p256, ""},
		{"its public key behind it", pkcs8 + k.public(&p256.PublicKey), p256, ""},
		{"no line end", strings.TrimSpace(pkcs8), p256, ""},

		{"nothing", "", nil, "is empty"},
		{"a blank file", "\n \n", nil, "is empty"},
		{"a text", "hello", nil, "is not in PEM form"},
		{"a JWK", `{"kty":"EC"}`, nil, "perhaps a JWK"},
		{"DER", string(der), nil, "openssl pkey -inform DER"},
		{"UTF-16", "\xff\xfe-\x00-\x00", nil, "iconv -f UTF-16"},
		{"a film", strings.Repeat("x", 64<<10+1), nil, "more than 65536 bytes"},
		{"PKCS #8, encrypted", k.block("ENCRYPTED PRIVATE KEY", []byte("sealed"), nil), nil,
			"openssl pkey -in FILE -out key.pem"},
		{"PKCS #1, encrypted", encrypted, nil, "is encrypted"},
		{"a public key", k.public(&p256.PublicKey), nil, "is a public key"},
		{"a public RSA key", k.block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&r2048.PublicKey), nil), nil,
			"is a public key"},
		{"a certificate", certificate, nil, "is a certificate"},
		{"a request for one", k.block("CERTIFICATE REQUEST", []byte("please"), nil), nil, "CERTIFICATE REQUEST"},
		{"parameters", parameters, nil, "only parameters"},
		{"P-384, PKCS #8", k.pkcs8(p384), nil, "an EC key on P-384"},
		{"P-384, SEC 1", k.sec1(p384), nil, "an EC key on P-384"},
		{"secp256k1", secp256k1, nil, "an EC key on another curve"},
		{"RSA of 1024 bits", k.pkcs8(r1024), nil, "an RSA key of 1024 bits"},
		{"RSA of 1024 bits, PKCS #1", k.block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r1024), nil), nil,
			"rsa_keygen_bits:2048"},
		{"Ed25519", k.pkcs8(ed), nil, "an Ed25519 key"},
		{"X25519", k.pkcs8(x), nil, "an X25519 key"},
		{"a key of OpenSSH", k.block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1"), nil), nil, "a key of OpenSSH"},
		{"DSA", k.block("DSA PRIVATE KEY", []byte("dsa"), nil), nil, `the kind "DSA PRIVATE KEY"`},
		{"two keys", pkcs8 + pkcs1, nil, "several private keys"},
		{"the same key twice", pkcs8 + sec1, nil, "several private keys"},
		{"a damaged key before another", strings.Replace(pkcs8, "M", "!", 1) + pkcs1, nil, "is damaged"},
		{"a key without its end", pkcs8[:len(pkcs8)-20], nil, "is damaged"},
		{"a cut key", k.block("PRIVATE KEY", der[:len(der)-4], nil), nil, "is damaged"},
		{"a key under another name", k.block("RSA PRIVATE KEY", der, nil), nil, "of another kind than the file says"},
	} {
		key, err := amtp.ParseSigningKey([]byte(c.file))
		switch {
		case c.want != nil && err != nil:
			t.Errorf("%s: %v, want the key", c.what, err)
		case c.want != nil:
			if got, ok := key.(interface{ Equal(crypto.PrivateKey) bool }); !ok || !got.Equal(c.want) {
				t.Errorf("%s: another key was read", c.what)
			}
		case err == nil:
			t.Errorf("%s: was read, want an error", c.what)
		case key != nil || !strings.Contains(err.Error(), c.text):
			t.Errorf("%s: %v, %v; want an error with %q", c.what, key, err, c.text)
		}
	}
}

// FuzzParseSigningKey: a key that was read can sign, and the error never shows the
// file.
func FuzzParseSigningKey(f *testing.F) {
	f.Add([]byte(secp256k1))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"))
	f.Fuzz(func(t *testing.T, file []byte) {
		key, err := amtp.ParseSigningKey(file)
		if err == nil {
			if _, err := amtp.NewSigner("k1", key); err != nil {
				t.Errorf("a key was read that cannot sign: %v", err)
			}
			return
		}
		if line, _, _ := bytes.Cut(file, []byte("\n")); len(line) > 60 && strings.Contains(err.Error(), string(line)) {
			t.Errorf("the error shows the file: %v", err)
		}
	})
}

package amtp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
)

var update = flag.Bool("update", false, "write testdata/signature anew")

const vectorDir = "testdata/signature"

// vector is one case for whoever implements signatures: what arrived, what DNS
// says, what the clock says, and what comes out. docs/signatures.md explains it.
type vector struct {
	Name      string              `json:"name"`
	Body      string              `json:"body"`                // the bytes that arrived, in UTF-8
	Canonical string              `json:"canonical,omitempty"` // what was signed, when it passes
	SHA256    string              `json:"sha256,omitempty"`    // of Canonical, in hexadecimal
	DNS       map[string][]string `json:"dns"`                 // name → TXT strings
	Now       time.Time           `json:"now"`
	Result    string              `json:"result"` // pass, fail, none, permerror, or refused: no message at all
	Reason    amtp.Reason         `json:"reason"`
}

// testKey is a private key that everybody knows.
type testKey struct {
	Algorithm string `json:"algorithm"`
	PKCS8     string `json:"pkcs8"`  // base64
	Record    string `json:"record"` // what its domain publishes
}

func (k testKey) signer(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(unbase64(t, k.PKCS8))
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// sign returns the value of a signature, the same each time.
func (k testKey) sign(t testing.TB, form []byte) string {
	t.Helper()
	digest := sha256.Sum256(form)
	var value []byte
	var err error
	switch key := k.signer(t).(type) {
	case *ecdsa.PrivateKey:
		var r, s []byte
		if value, err = key.Sign(nil, digest[:], crypto.SHA256); err == nil {
			r, s = halves(t, value)
			value = append(r, s...)
		}
	case *rsa.PrivateKey:
		value, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	default:
		value, err = k.signer(t).Sign(nil, form, crypto.Hash(0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(value)
}

// halves takes r and s out of ASN.1: 30 len 02 len r 02 len s.
func halves(t testing.TB, der []byte) (r, s []byte) {
	t.Helper()
	take := func(at int) ([]byte, int) {
		end := at + 2 + int(der[at+1])
		number := bytes.TrimLeft(der[at+2:end], "\x00")
		return append(make([]byte, 32-len(number)), number...), end
	}
	r, next := take(2)
	s, _ = take(next)
	return r, s
}

// newTestKeys makes the keys of keys.json; the RSA keys are made once and kept.
func newTestKeys(t *testing.T) map[string]testKey {
	keys := readJSON[map[string]testKey](t, "keys.json")
	for name, algorithm := range map[string]string{"es256": amtp.ES256, "es256-other": amtp.ES256, "rs256": amtp.RS256, "rs256-3072": amtp.RS256, "eddsa": amtp.EdDSA} {
		if keys[name].PKCS8 != "" {
			continue
		}
		var key crypto.Signer
		var err error
		switch name {
		case "rs256":
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		case "rs256-3072":
			key, err = rsa.GenerateKey(rand.Reader, 3072)
		case "eddsa":
			key = edKey(name)
		default:
			key = signingKey(t, name)
		}
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = testKey{
			Algorithm: algorithm, PKCS8: base64.StdEncoding.EncodeToString(der), Record: amtp.KeyRecord{Algorithm: algorithm, Key: key.Public()}.String(),
		}
	}
	return keys
}

func readJSON[T any](t testing.TB, name string) T {
	t.Helper()
	var v T
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("%v; go test -run Vectors -update . writes it", err)
	}
	return v
}

// judge goes through the steps as a gateway does.
func judge(v vector) (result string, reason amtp.Reason) {
	m, failure := amtp.ParseMessage([]byte(v.Body))
	if failure != nil {
		return "refused", ""
	}
	sig, err := amtp.ParseSignature(m)
	if err == nil {
		err = amtp.CheckTimestamp(m.Timestamp.Time, v.Now)
	}
	var key amtp.KeyRecord
	if err == nil {
		var name string
		if name, err = amtp.KeyRecordName(sig.Selector, sig.Domain); err == nil {
			key, err = amtp.ChooseKeyRecord(v.DNS[name])
		}
	}
	if err == nil {
		err = sig.Verify(key)
	}
	a := sig.Authentication(err)
	return a.Result, amtp.Reason(a.Reason)
}

// TestVectors checks the published vectors and that they are those of
// vectors_cases_test.go.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	keys := newTestKeys(t)
	want := vectorFiles(t, keys)
	for file := range want {
		got := readJSON[[]vector](t, file)
		if g, w := indent(t, got), indent(t, want[file]); !bytes.Equal(g, w) {
			t.Errorf("%s is not what its cases say; go test -run Vectors -update . writes it", file)
		}
		for _, v := range got {
			if result, reason := judge(v); result != v.Result || reason != v.Reason {
				t.Errorf("%s, %s: %s %q, want %s %q; body %s", file, v.Name, result, reason, v.Result, v.Reason, v.Body)
			}
		}
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(vectorDir, "keys.json")); err != nil {
		keep(t, "keys.json", map[string]testKey{})
	}
	keys := newTestKeys(t)
	keep(t, "keys.json", keys)
	for file, list := range vectorFiles(t, keys) {
		keep(t, file, list)
	}
}

func keep(t *testing.T, name string, v any) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(vectorDir, name), indent(t, v), 0o644); err != nil {
		t.Fatal(err)
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestVectorsInNode gives the vectors to an implementation that shares nothing
// with ours: its own JSON parser, its own canonical form, Node's cryptography.
// It checks them all, signs a message of its own with each key, and we check
// what it signed.
func TestVectorsInNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is not here, and with it the second implementation: install it (Debian: apt-get install nodejs): %v", err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(node, filepath.Join(vectorDir, "verify.mjs"))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("verify.mjs: %v\n%s", err, &stderr)
	}
	var report struct {
		Checked int      `json:"checked"`
		Signed  []vector `json:"signed"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("verify.mjs printed %q: %v", out, err)
	}
	keys, total := newTestKeys(t), 0
	for _, list := range vectorFiles(t, keys) {
		total += len(list)
	}
	if report.Checked != total || len(report.Signed) != len(keys) {
		t.Errorf("verify.mjs checked %d vectors and signed %d, want %d and %d", report.Checked, len(report.Signed), total, len(keys))
	}
	for _, v := range report.Signed {
		if result, reason := judge(v); result != "pass" {
			t.Errorf("%s: %s %q, want pass; signed in Node: %s", v.Name, result, reason, v.Body)
		}
	}
}

// digest fills in what is signed, where there is something.
func (v vector) digest(t *testing.T, unsigned string) vector {
	t.Helper()
	form, err := canonical.Form([]byte(unsigned))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(form)
	v.Canonical, v.SHA256 = string(form), hex.EncodeToString(sum[:])
	return v
}

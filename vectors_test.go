package amtp_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
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
	"slices"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/canonical"
)

var update = flag.Bool("update", false, "write testdata/signature anew")

const vectorDir = "testdata/signature"

// vector is one case for implementers of signatures: the message, the DNS records, the
// time, and the expected result. docs/signatures.md explains it.
type vector struct {
	Name      string              `json:"name"`
	Body      string              `json:"body"`                // the bytes that arrived, in UTF-8
	Canonical string              `json:"canonical,omitempty"` // the signed bytes, if the signature verifies
	SHA256    string              `json:"sha256,omitempty"`    // of Canonical, in hexadecimal
	DNS       map[string][]string `json:"dns"`                 // name → TXT strings
	Now       time.Time           `json:"now"`
	// verified, unsigned, invalid, key_unavailable, or refused: no message at all
	Result string      `json:"result"`
	Reason amtp.Reason `json:"reason"` // "" when it is verified or refused
}

// testKey is a private key that is published for tests.
type testKey struct {
	Algorithm string `json:"algorithm"`
	PKCS8     string `json:"pkcs8"`  // base64
	Record    string `json:"record"` // the record that its domain publishes
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
	}
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(value)
}

// halves reads r and s from ASN.1: 30 len 02 len r 02 len s.
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

// newTestKeys makes the keys of keys.json and keeps existing ones.
func newTestKeys(t *testing.T) map[string]testKey {
	had, keys := readJSON[map[string]testKey](t, "keys.json"), map[string]testKey{}
	for name, generate := range map[string]func() crypto.Signer{
		"es256":       func() crypto.Signer { return signingKey(t, "es256") },
		"es256-other": func() crypto.Signer { return signingKey(t, "es256-other") },
		"rs256":       func() crypto.Signer { return rsaKey(t, 2048) },
		"rs256-3072":  func() crypto.Signer { return rsaKey(t, 3072) },
	} {
		key := had[name]
		if key.PKCS8 == "" {
			der, err := x509.MarshalPKCS8PrivateKey(generate())
			if err != nil {
				t.Fatal(err)
			}
			key.PKCS8 = base64.StdEncoding.EncodeToString(der)
		}
		s, err := amtp.NewSigner("key1", key.signer(t))
		if err != nil {
			t.Fatal(err)
		}
		key.Algorithm, key.Record = s.KeyRecord().Algorithm, s.KeyRecord().String()
		keys[name] = key
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
	reason = reasonOf(err)
	return string(reason.Verification()), reason
}

// judgeAll compares the expected results of a file's vectors with ours.
func judgeAll(t *testing.T, file string, list []vector) {
	t.Helper()
	names := map[string]bool{}
	for _, v := range list {
		if names[v.Name] {
			t.Errorf("%s has two vectors with the name %q", file, v.Name)
		}
		names[v.Name] = true
		if result, reason := judge(v); result != v.Result || reason != v.Reason {
			t.Errorf("%s, %s: %s %q, want %s %q; body %s", file, v.Name, result, reason, v.Result, v.Reason, v.Body)
		}
	}
}

// TestVectors checks the published vectors, and that they equal those of
// vectors_cases_test.go.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	keys := newTestKeys(t)
	if !bytes.Equal(indent(t, keys), indent(t, readJSON[map[string]testKey](t, "keys.json"))) {
		t.Errorf("keys.json has records that differ from its keys; go test -run Vectors -update . writes it")
	}
	want := vectorFiles(t, keys)
	for file := range want {
		got := readJSON[[]vector](t, file)
		if g, w := indent(t, got), indent(t, want[file]); !bytes.Equal(g, w) {
			t.Errorf("%s differs from its cases; go test -run Vectors -update . writes it", file)
		}
		judgeAll(t, file, got)
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

// inNode runs the second implementation, which shares no code with ours: it has its own
// JSON parser and canonical form, and uses Node's cryptography.
func inNode[T any](t *testing.T, args ...string) T {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("node is not here, and with it the second implementation: install it (Debian: apt-get install nodejs): %v",
			err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(node, append([]string{filepath.Join(vectorDir, "verify.mjs")}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("verify.mjs: %v\n%s", err, &stderr)
	}
	var v T
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatalf("verify.mjs printed %q: %v", out, err)
	}
	return v
}

// TestVectorsInNode makes the second implementation check every published vector.
func TestVectorsInNode(t *testing.T) {
	files, total := vectorFiles(t, newTestKeys(t)), len(readJSON[[]vector](t, second))
	for _, list := range files {
		total += len(list)
	}
	if report := inNode[struct{ Checked int }](t); report.Checked != total {
		t.Errorf("verify.mjs checked %d vectors, want %d", report.Checked, total)
	}
}

// second is the file of the vectors that the second implementation made.
const second = "second.json"

// TestVectorsOfNode checks the vectors that the second implementation signed and
// altered. These are the published ones, and those that it makes now, because its ES256
// signatures are new each time.
func TestVectorsOfNode(t *testing.T) {
	made := inNode[[]vector](t, "make")
	if *update {
		keep(t, second, made)
	}
	published := readJSON[[]vector](t, second)
	judgeAll(t, second, published)
	judgeAll(t, "verify.mjs make", made)
	cases := func(list []vector) (lines []string) {
		for _, v := range list {
			lines = append(lines, v.Name+": "+v.Result+" "+string(v.Reason))
		}
		return lines
	}
	if got, want := cases(published), cases(made); !slices.Equal(got, want) {
		t.Errorf("%s has the vectors\n%q\nverify.mjs makes\n%q\ngo test -run Vectors -update . writes it",
			second, got, want)
	}
	count := map[string]int{}
	for _, v := range published {
		count[v.Result]++
		if v.Result != string(amtp.SenderVerified) || v.Canonical == "" {
			continue
		}
		if form, err := canonical.Form([]byte(edit(v.Body, "signature", ""))); err != nil ||
			string(form) != v.Canonical {
			t.Errorf("%s, %s: Form = %q, %v, want that of the second implementation %q", second, v.Name, form,
				err, v.Canonical)
		}
	}
	for _, result := range []string{"verified", "unsigned", "invalid", "key_unavailable", "refused"} {
		if count[result] == 0 {
			t.Errorf("%s has no vector with the result %s", second, result)
		}
	}
}

// digest fills in the signed bytes, if there are any.
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

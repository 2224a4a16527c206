package httpapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/openapi/replay"
)

// certified is a gateway with a certificate in files.
type certified struct {
	*world
	cert, key string
}

// startCertified runs a gateway with a certificate for amtp.shop.example that expires in
// 59 days and some hours.
func startCertified(t *testing.T) certified {
	t.Helper()
	dir := t.TempDir()
	c := certified{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.write(t)
	c.world = start(t, "AMTP_DOMAIN=shop.example", "AMTP_TLS_CERT_FILE="+c.cert, "AMTP_TLS_KEY_FILE="+c.key)
	pool := x509.NewCertPool()
	b, err := os.ReadFile(c.cert)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatalf("read the certificate: %v", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "amtp.shop.example"}}
	t.Cleanup(transport.CloseIdleConnections)
	c.http = transport
	return c
}

// write writes another certificate and its key.
func (c certified) write(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.SetBit(serial, 62, 1), Subject: pkix.Name{CommonName: "An authority"},
		DNSNames:  []string{"amtp.shop.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(59*24*time.Hour + 12*time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{c.cert: {Type: "CERTIFICATE", Bytes: der},
		c.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tellOfTheCertificate plays the document's examples for a gateway whose certificate is in
// files.
func tellOfTheCertificate(t *testing.T, examples, left map[string]replay.Example, changes map[string]bool) {
	t.Helper()
	s := script{world: startCertified(t).world, real: make(map[string]string), changes: changes}
	for _, operation := range []string{"showCertificate", "renewCertificate"} {
		s.tell(examples, operation, "admin")
		delete(left, operation)
	}
}

// TestRenewCertificate: new files are used on request. Files that cannot be used are 502;
// then the gateway goes on with the earlier certificate, on the same connection and on
// others.
func TestRenewCertificate(t *testing.T) {
	c := startCertified(t)
	admin := "X-Admin-Key: " + c.admin
	serial := func() string {
		t.Helper()
		a := c.do("GET", "/v1/admin/certificate", "", admin)
		c.wants("show", a, 200, "")
		return a.body["certificates"].([]any)[0].(map[string]any)["serial"].(string)
	}
	first := serial()
	c.write(t)
	a := c.do("POST", "/v1/admin/certificate/renew", "", admin)
	c.wants("renew", a, 200, "")
	if second := serial(); a.body["renewed"] != true || second == first {
		t.Errorf("after new files: got renewed %v with serial %s, want true and another than %s", a.body["renewed"],
			second, first)
	}
	second := serial()
	if err := os.WriteFile(c.cert, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	a = c.do("POST", "/v1/admin/certificate/renew", `{"force":true}`, admin)
	c.wants("renew from a broken file", a, 502, "CERTIFICATE_FAILED")
	if strings.Contains(a.raw, "PRIVATE KEY") {
		t.Errorf("the refusal shows a key: %s", a.raw)
	}
	if got := serial(); got != second {
		t.Errorf("after a broken file: got serial %s, want %s", got, second)
	}
	shown := c.do("GET", "/v1/admin/certificate", "", admin)
	if now := shown.body["certificates"].([]any)[0].(map[string]any); now["last_error"] == nil ||
		now["last_error_at"] == nil || now["state"] != "valid" {
		t.Errorf("after a broken file: got %v, want a valid certificate with the error", now)
	}
	c.wants("a body that is none", c.do("POST", "/v1/admin/certificate/renew", `{"force":1}`, admin), 400,
		"INVALID_REQUEST_FORMAT")
}

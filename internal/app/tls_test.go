package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
)

// TestTLSListener: under TLS the listener speaks HTTP/2 and TLS 1.3, and says that
// clients must use TLS only. AMTP §2, §5, §9.
func TestTLSListener(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings []string
		highest  uint16 // the highest version of the caller
		taken    bool
	}{
		{"TLS 1.3", nil, tls.VersionTLS13, true},
		{"TLS 1.2", nil, tls.VersionTLS12, false},
		{"TLS 1.2 where it is allowed", []string{"AMTP_TLS_MIN_VERSION=1.2"}, tls.VersionTLS12, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, roots := startTLS(t, c.settings)
			transport := &http.Transport{ForceAttemptHTTP2: true,
				TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: c.highest}}
			defer transport.CloseIdleConnections()
			r, err := (&http.Client{Transport: transport}).Get(url + "/v1/nothing")
			if (err == nil) != c.taken {
				t.Fatalf("a caller of %s: got %v, want taken %t", tls.VersionName(c.highest), err, c.taken)
			}
			if err != nil {
				return
			}
			defer r.Body.Close()
			if r.TLS.Version != c.highest || r.ProtoMajor != 2 {
				t.Errorf("got %s over %s, want HTTP/2 over %s", r.Proto, tls.VersionName(r.TLS.Version),
					tls.VersionName(c.highest))
			}
			if hsts := r.Header.Get("Strict-Transport-Security"); hsts != "max-age=31536000" {
				t.Errorf("Strict-Transport-Security of an error under TLS: got %q, want a year for this host", hsts)
			}
		})
	}
}

// TestNoHSTSNearby: an answer of the listener for this machine, which has no TLS, does
// not tell clients to use TLS only.
func TestNoHSTSNearby(t *testing.T) {
	url, _ := startTLS(t, []string{"AMTP_LOCAL_ADDRESS=127.0.0.1:0"})
	r, err := http.Get(url + "/v1/nothing")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if hsts, ok := r.Header["Strict-Transport-Security"]; ok || !strings.HasPrefix(url, "http://") ||
		r.Header.Get("X-Request-Id") == "" {
		t.Errorf("Strict-Transport-Security of an answer at %s: got %q, want none", url, hsts)
	}
}

// startTLS runs a gateway with a certificate of its own and returns the authorities
// that vouch for it.
func startTLS(t *testing.T, settings []string) (url string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	roots = certify(t, dir)
	cfg, _, err := config.Load(config.Sources{Environ: append([]string{
		"AMTP_SERVER_ADDRESS=127.0.0.1:0", "AMTP_DOMAIN=shop.example", "AMTP_DATA_DIR=" + dir,
		"AMTP_TLS_CERT_FILE=" + filepath.Join(dir, "cert.pem"), "AMTP_TLS_KEY_FILE=" + filepath.Join(dir, "key.pem"),
	}, settings...)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runTheWhile(t, a)
	return a.URL(), roots
}

// certify writes a certificate for 127.0.0.1, signed by itself.
func certify(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
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
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return roots
}

package httpapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestAbsoluteTargets: a target may be a whole URL (RFC 9112 §3.2.2) if its host is this
// gateway. The Host header is then ignored.
func TestAbsoluteTargets(t *testing.T) {
	w := start(t, "AMTP_DOMAIN=shop.example")
	w.agent("alice")
	own := strings.TrimPrefix(w.url, "http://")
	_, port, err := net.SplitHostPort(own)
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]int{
		w.url + "/v1/whoami":                           200,
		"HTTP://" + own + "/v1/whoami":                 200,
		"http://127.0.0.1/v1/whoami":                   200,
		"http://localhost:" + port + "/v1/whoami":      200,
		"http://shop.example/v1/whoami":                200,
		"https://SHOP.example:443/v1/whoami":           200,
		"http://shop.example.:80//v1/whoami?x=1":       404,
		"http://shop.example/v2":                       404,
		"http://shop.example":                          404,
		"http://shop.example/v1/../v1/whoami":          404,
		"http://evil.test/v1/whoami":                   400,
		"http://evil.test:" + port + "/v1/whoami":      400,
		"http://shop.example.evil.test/v1/whoami":      400,
		"http://localhost.evil.test/v1/whoami":         400,
		"http://10.0.0.1/v1/whoami":                    400,
		"http://alice@shop.example/v1/whoami":          400,
		"http://evil.test@" + own + "/v1/whoami":       400,
		"ftp://shop.example/v1/whoami":                 400,
		"http:///v1/whoami":                            400,
		"http:shop.example/v1/whoami":                  400,
		"http://shop.example%2f.evil.test/v1/whoami":   400,
		"http://shop.example,evil.test/v1/whoami":      400,
		"http://shop.example:80:80/v1/whoami":          400,
		"http://%73hop.example@evil.test/v1/whoami":    400,
		"http://[::ffff:10.0.0.1]:" + port + "/health": 400,
	} {
		got := w.raw("GET " + target + " HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n" +
			w.as("alice") + "\r\n\r\n")
		if got.status != want {
			t.Errorf("GET %s: got %d %s, want %d", target, got.status, got.body, want)
		}
	}
}

// TestAbsoluteTargetsOverTLS: over TLS the host may also be the name for which the client
// asked in the handshake.
func TestAbsoluteTargetsOverTLS(t *testing.T) {
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(other.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: other.Certificate().Raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, "AMTP_DOMAIN=shop.example", "AMTP_TLS_CERT_FILE="+filepath.Join(dir, "cert.pem"),
		"AMTP_TLS_KEY_FILE="+filepath.Join(dir, "key.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(other.Certificate())
	for target, want := range map[string]int{"https://example.com/health": 200, "https://shop.example/health": 200,
		"https://evil.test/health": 400} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"),
			&tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		request := "GET " + target + " HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if got := readRaw(t, conn, request); got.status != want {
			t.Errorf("GET %s: got %d %s, want %d", target, got.status, got.body, want)
		}
		conn.Close()
	}
}

// TestAbsoluteTargetsInDevelopment: the host of the target decides whether the development
// profile is on. The Host header never does.
func TestAbsoluteTargetsInDevelopment(t *testing.T) {
	w := start(t)
	w.agent("alice")
	body := `{"sender":"alice@localhost","recipients":["alice@localhost"]}`
	post := func(target, host string) raw {
		return w.raw("POST " + target + "/v1/messages HTTP/1.1\r\nHost: " + host +
			"\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
			strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	}
	for _, target := range []string{"http://evil.test", "http://localhost.", "http://10.0.0.1",
		"http://localhost.evil.test", "http://localhost@evil.test", "http://evil.test@localhost"} {
		if got := post(target, "localhost"); got.status != 400 && got.status != 401 {
			t.Errorf("POST %s without a key: got %d %s, want 400 or 401", target, got.status, got.body)
		}
	}
	if ids, _ := w.inbox("alice", ""); len(ids) != 0 {
		t.Errorf("the refused requests left %d messages, want none", len(ids))
	}
	for _, target := range []string{w.url, "http://localhost", "http://[::1]:80"} {
		if got := post(target, "localhost"); got.status != 202 {
			t.Errorf("POST %s without a key: got %d %s, want 202", target, got.status, got.body)
		}
	}
}

// raw makes a request by hand.
func (w *world) raw(request string) raw {
	w.t.Helper()
	conn := w.open(request)
	defer conn.Close()
	got := readRaw(w.t, conn, request)
	got.described(w.t, request)
	return got
}

package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/datadir"
)

// localOperator calls a gateway like the commands that find it by its data directory:
// at its loopback address, with the recorded certificate.
func localOperator(t *testing.T, dir string, a *app.App) *admin.Client {
	t.Helper()
	key, ok := datadir.AdminKey(dir, a.URL())
	if !ok {
		t.Fatalf("no admin key for %s in %s", a.URL(), dir)
	}
	own, ok := datadir.Certificate(dir, a.URL())
	if !ok {
		t.Fatalf("no certificate for %s in %s", a.URL(), dir)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(own)) {
		t.Fatalf("no certificate: %q", own)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &admin.Client{Client: amtp.Client{URL: a.URL(), AdminKey: key, HTTP: &http.Client{Transport: transport},
		Retries: -1}}
}

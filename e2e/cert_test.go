package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/privateca"
	"github.com/amtp-go/amtp/internal/test/fakedns"
	"github.com/amtp-go/amtp/internal/test/pebble"
)

// secured is the program as a gateway with TLS, and the commands that its operator
// types on the same machine.
type secured struct {
	t       *testing.T
	program string
	dir     string
	port    int
	environ []string
	cmd     *exec.Cmd
	said    *said
}

// said is the gateway's output on stderr.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// serve starts the gateway and waits until it runs.
func (g *secured) serve() {
	g.t.Helper()
	g.said = &said{}
	g.cmd = exec.Command(g.program, "serve", "--address", fmt.Sprintf("127.0.0.1:%d", g.port), "--domain",
		"shop.example")
	g.cmd.Env, g.cmd.Stderr = g.environ, g.said
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(g.stop)
	g.hears("the gateway runs")
}

// hears waits until the gateway prints a text.
func (g *secured) hears(text string) {
	g.t.Helper()
	g.until("it says "+text, func() bool { return strings.Contains(g.said.String(), text) })
}

func (g *secured) until(what string, ok func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-time.After(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	g.t.Fatalf("not within %v: %s\n%s", patience, what, g.said)
}

// stop stops it as an operator would.
func (g *secured) stop() {
	if g.cmd == nil {
		return
	}
	cmd := g.cmd
	g.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		g.t.Errorf("the gateway ended with %v:\n%s", err, g.said)
	}
}

// amtp runs a command that asks the gateway and returns its exit code and output.
func (g *secured) amtp(args ...string) (code int, stdout, stderr string) {
	g.t.Helper()
	cmd := exec.Command(g.program, append(args, "--gateway", fmt.Sprintf("https://127.0.0.1:%d", g.port))...)
	var out, complaints bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = g.environ, &out, &complaints
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		g.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaints.String()
}

// shown returns the certificate that amtp cert show prints.
func (g *secured) shown() admin.Certificate {
	g.t.Helper()
	_, out, complaints := g.amtp("cert", "show", "--json")
	var list admin.CertificateList
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Certificates) != 1 {
		g.t.Fatalf("amtp cert show --json: got %q and %q, want one certificate", out, complaints)
	}
	return list.Certificates[0]
}

func newSecured(t *testing.T, settings ...string) *secured {
	t.Helper()
	dir := t.TempDir()
	return &secured{t: t, program: filepath.Join(build(t), "amtp"), dir: dir, port: pebble.Ports(t, 1)[0],
		environ: append([]string{"HOME=" + dir, "AMTP_DATA_DIR=" + filepath.Join(dir, "data")}, settings...)}
}

// TestCertificateFiles: files that change are used at once on SIGHUP or on request, and
// broken files change nothing. The commands report all that.
func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	renew := func() (cert, key string) {
		t.Helper()
		cert, key, err := ca.Certificate(dir, "amtp.shop.example")
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	cert, key := renew()
	g := newSecured(t, "AMTP_TLS_CERT_FILE="+cert, "AMTP_TLS_KEY_FILE="+key)
	g.serve()
	code, out, _ := g.amtp("cert", "show")
	if code != 0 || !strings.HasPrefix(out, "amtp.shop.example  valid\n") ||
		!strings.Contains(out, "Source:       file, "+cert) {
		t.Errorf("amtp cert show: got %d\n%s\nwant 0 and the valid certificate of amtp.shop.example", code, out)
	}
	first := g.shown()

	renew()
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.hears("the certificate was read again")
	second := g.shown()
	if second.Serial == first.Serial {
		t.Errorf("after SIGHUP: got serial %s, want another one", second.Serial)
	}

	renew()
	code, out, _ = g.amtp("cert", "renew")
	if third := g.shown(); code != 0 || !strings.HasPrefix(out, "Renewed.\n") || third.Serial == second.Serial {
		t.Errorf("amtp cert renew: got %d, %q and serial %s, want 0, Renewed and one other than %s", code, out,
			third.Serial, second.Serial)
	}
	if code, out, _ = g.amtp("cert", "renew"); code != 0 || !strings.HasPrefix(out, "Nothing was due.\n") {
		t.Errorf("amtp cert renew once more: got %d and %q, want 0 and that nothing was due", code, out)
	}

	third := g.shown()
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, complaints := g.amtp("cert", "renew")
	if code != 1 || !strings.HasPrefix(complaints,
		"Error (CERTIFICATE_FAILED): Another certificate could not be had; the one in use goes on.") {
		t.Errorf("amtp cert renew with a broken key: got %d and %q, want 1 and CERTIFICATE_FAILED", code, complaints)
	}
	if now := g.shown(); now.Serial != third.Serial || now.State != admin.CertificateValid || now.Error == "" {
		t.Errorf("with a broken key: got %+v, want serial %s with the error", now, third.Serial)
	}
	if _, out, _ = g.amtp("cert", "show"); !strings.Contains(out, "Last error: ") {
		t.Errorf("amtp cert show with a broken key: got %q, want the error", out)
	}
	g.stop()
	if !strings.Contains(g.said.String(), "the certificate cannot be read again; the former one stays in use") {
		t.Errorf("the log does not report the broken key:\n%s", g.said)
	}
}

// TestCertificateACME: the program starts without a certificate and says so. It gets
// one when the authority is there, and starts again with it when the authority is away.
func TestCertificateACME(t *testing.T) {
	g := newSecured(t)
	names := fakedns.New(t)
	names.Addrs("amtp.shop.example", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	authority := pebble.New(t, pebble.Options{DNS: names.Addr(), TLSPort: g.port, HTTPPort: pebble.Ports(t, 1)[0]})
	authority.Stop()
	g.environ = append(g.environ, "AMTP_ACME_ENABLED=true", "AMTP_ACME_ACCEPT_TERMS=true",
		"AMTP_ACME_DIRECTORY="+authority.Directory, "AMTP_ACME_CA_FILE="+authority.CAFile)
	g.serve()
	if !strings.Contains(g.said.String(), "Missing:  a certificate for amtp.shop.example") {
		t.Errorf("the gateway does not say that it has no certificate:\n%s", g.said)
	}
	code, out, _ := g.amtp("cert", "show")
	if code != 1 || !strings.HasPrefix(out, "amtp.shop.example  missing\n") {
		t.Errorf("amtp cert show without a certificate: got %d\n%s\nwant 1 and that it is missing", code, out)
	}
	authority.Start()
	if code, _, complaints := g.amtp("cert", "renew"); code != 0 {
		t.Errorf("amtp cert renew: got %d and %q, want 0", code, complaints)
	}
	code, out, _ = g.amtp("cert", "show")
	if code != 0 || !strings.HasPrefix(out, "amtp.shop.example  valid\n") || !strings.Contains(out, "by tls-alpn-01") ||
		!strings.Contains(out, "Next renewal: ") {
		t.Errorf("amtp cert show: got %d\n%s\nwant 0 and the valid certificate by tls-alpn-01", code, out)
	}
	first := g.shown()
	g.stop()
	authority.Stop()
	g.serve()
	if again := g.shown(); again.Serial != first.Serial || again.State != admin.CertificateValid {
		t.Errorf("after a restart without the authority: got %+v, want serial %s", again, first.Serial)
	}
	if code, _, complaints := g.amtp("cert", "renew", "--force"); code != 1 ||
		!strings.Contains(complaints, "CERTIFICATE_FAILED") {
		t.Errorf("amtp cert renew --force without the authority: got %d and %q, want 1 and CERTIFICATE_FAILED",
			code, complaints)
	}
}

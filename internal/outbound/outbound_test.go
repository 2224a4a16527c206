package outbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/outbound"
)

// peer is another operator's server, with a certificate for example.com.
type peer struct {
	*httptest.Server
	connections atomic.Int64
}

// newPeer starts a server with the TLS settings that configure leaves.
func newPeer(t *testing.T, h http.HandlerFunc, configure func(*httptest.Server)) *peer {
	t.Helper()
	p := &peer{Server: httptest.NewUnstartedServer(h)}
	p.EnableHTTP2 = true
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			p.connections.Add(1)
		}
	}
	if configure != nil {
		configure(p.Server)
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// address is the address at which the peer listens.
func (p *peer) address() netip.AddrPort {
	return netip.MustParseAddrPort(p.Listener.Addr().String())
}

// url is the peer's URL, with a name that its certificate has.
func (p *peer) url(path string) string {
	return fmt.Sprintf("https://example.com:%d%s", p.address().Port(), path)
}

// reaching are options with which p can be reached, and no other server.
func (p *peer) reaching(t *testing.T) outbound.Options {
	t.Helper()
	roots, err := outbound.Roots(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
	if err != nil {
		t.Fatal(err)
	}
	return outbound.Options{
		Allow:   []outbound.Rule{{Prefix: netip.PrefixFrom(p.address().Addr(), 32), Port: p.address().Port()}},
		Roots:   roots,
		Version: "1.2.3",
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{p.address().Addr()}, nil
		},
	}
}

// newClient makes a client that ends with the test.
func newClient(t *testing.T, o outbound.Options) *http.Client {
	t.Helper()
	client := outbound.New(o)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// get returns the answer to one call with its body.
func get(t *testing.T, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("GET %s: read the body: %v", url, err)
	}
	return res, string(body)
}

func TestSpeaksHTTP2(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.UserAgent()) }, nil)
	res, body := get(t, newClient(t, p.reaching(t)), p.url("/"))
	if want := "HTTP/2.0 AMTP/1.0 (amtp/1.2.3)"; body != want || res.TLS.Version != tls.VersionTLS13 {
		t.Errorf("the peer saw %q over TLS version %x, want %q over TLS 1.3", body, res.TLS.Version, want)
	}
}

func TestFallsBackToHTTP11(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) },
		func(s *httptest.Server) { s.EnableHTTP2 = false })
	if _, body := get(t, newClient(t, p.reaching(t)), p.url("/")); body != "HTTP/1.1" {
		t.Errorf("a peer without HTTP/2 saw %q, want HTTP/1.1", body)
	}
}

func TestOldTLSNeedsAnOption(t *testing.T) {
	p := newPeer(t, func(http.ResponseWriter, *http.Request) {},
		func(s *httptest.Server) { s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12} })
	o := p.reaching(t)
	if res, err := newClient(t, o).Get(p.url("/")); err == nil {
		res.Body.Close()
		t.Errorf("a call over TLS 1.2 was made, want an error")
	}
	o.MinTLS = tls.VersionTLS12
	if res, _ := get(t, newClient(t, o), p.url("/")); res.TLS.Version != tls.VersionTLS12 {
		t.Errorf("TLS version %x, want 1.2", res.TLS.Version)
	}
}

func TestCertificates(t *testing.T) {
	p := newPeer(t, func(http.ResponseWriter, *http.Request) {
		t.Error("a server without a valid certificate was called")
	}, nil)
	strange := p.reaching(t)
	strange.Roots = nil
	for _, tc := range []struct {
		name, url string
		options   outbound.Options
	}{
		{"of an unknown authority", p.url("/"), strange},
		{"for another host", strings.Replace(p.url("/"), "example.com", "other.test", 1), p.reaching(t)},
	} {
		res, err := newClient(t, tc.options).Get(tc.url)
		var invalid *tls.CertificateVerificationError
		if !errors.As(err, &invalid) {
			t.Errorf("GET %s with a certificate %s = %v, want that it is not accepted", tc.url, tc.name, err)
		}
		if err == nil {
			res.Body.Close()
		}
	}
}

func TestRootsNeedACertificate(t *testing.T) {
	for _, text := range []string{"", "no certificate",
		"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if pool, err := outbound.Roots([]byte(text)); err == nil {
			t.Errorf("Roots(%q) = %v, want an error", text, pool)
		}
	}
}

func TestRedirectsAreAnswers(t *testing.T) {
	var calls atomic.Int64
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		http.Redirect(w, r, "https://169.254.169.254/latest", http.StatusTemporaryRedirect)
	}, nil)
	res, err := newClient(t, p.reaching(t)).Post(p.url("/"), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") == "" || calls.Load() != 1 {
		t.Errorf("a redirect = %d after %d calls, want 307 after one", res.StatusCode, calls.Load())
	}
}

func TestNoCookies(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		fmt.Fprint(w, len(r.Cookies()))
	}, nil)
	client := newClient(t, p.reaching(t))
	get(t, client, p.url("/"))
	if _, body := get(t, client, p.url("/")); body != "0" {
		t.Errorf("the second call brought %s cookies, want none", body)
	}
}

func TestNoProxyFromTheEnvironment(t *testing.T) {
	proxy := newPeer(t, func(http.ResponseWriter, *http.Request) {}, nil)
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "itself") }, nil)
	if _, body := get(t, newClient(t, p.reaching(t)), p.url("/")); body != "itself" || proxy.connections.Load() != 0 {
		t.Errorf("the answer is %q and a proxy had %d connections, want that it is not asked", body,
			proxy.connections.Load())
	}
}

func TestPlainHTTPNeedsAnOption(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		fmt.Fprint(w, "plain")
	}))
	t.Cleanup(plain.Close)
	at := netip.MustParseAddrPort(plain.Listener.Addr().String())
	o := outbound.Options{Allow: []outbound.Rule{{Prefix: netip.PrefixFrom(at.Addr(), 32)}}}
	if res, err := newClient(t, o).Get(plain.URL); !errors.Is(err, outbound.ErrForbidden) {
		t.Errorf("GET %s = %v, %v; want ErrForbidden", plain.URL, res, err)
	}
	o.PlainHTTP = true
	if _, body := get(t, newClient(t, o), plain.URL); body != "plain" {
		t.Errorf("GET %s = %q, want plain", plain.URL, body)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		for chunk := bytes.Repeat([]byte("x"), 1000); r.Context().Err() == nil; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			if r.URL.Path == "/short" {
				return
			}
		}
	}, nil)
	o := p.reaching(t)
	o.MaxBody = 1000
	client := newClient(t, o)
	if _, body := get(t, client, p.url("/short")); len(body) != 1000 {
		t.Errorf("a body at its limit has %d bytes, want 1000", len(body))
	}
	res, err := client.Get(p.url("/endless"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if len(body) != 1000 || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("an endless body = %d bytes, %v; want 1000 and ErrTooLarge", len(body), err)
	}
	if n, err := res.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("reading on = %d bytes, %v; want none and ErrTooLarge", n, err)
	}
}

func TestNothingIsDecompressed(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "asked for: "+r.Header.Get("Accept-Encoding"))
	}, nil)
	if _, body := get(t, newClient(t, p.reaching(t)), p.url("/")); body != "asked for: " {
		t.Errorf("the body is %q, want the bytes as sent, and that no compression is asked for", body)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	for _, two := range []bool{true, false} {
		p := newPeer(t, func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
			}
		}, func(s *httptest.Server) { s.EnableHTTP2 = two })
		if res, err := newClient(t, p.reaching(t)).Get(p.url("/")); err == nil {
			res.Body.Close()
			t.Errorf("HTTP/2 %t: a header of 100 kB was taken, want an error", two)
		}
	}
}

// A server that sends a few bytes now and then does not hold the call up forever.
func TestTimeIsBoundedToTheEndOfTheBody(t *testing.T) {
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, nil)
	o := p.reaching(t)
	o.Timeout = 50 * time.Millisecond
	res, err := newClient(t, o).Get(p.url("/"))
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	var late net.Error
	if !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("a call that never ends = %v, want a timeout", err)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	for _, two := range []bool{true, false} {
		p := newPeer(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) { s.EnableHTTP2 = two })
		client := newClient(t, p.reaching(t))
		for range 5 {
			get(t, client, p.url("/"))
		}
		if n := p.connections.Load(); n != 1 {
			t.Errorf("HTTP/2 %t: five calls took %d connections, want 1", two, n)
		}
	}
}

func TestTheCallersRequestStaysAsItIs(t *testing.T) {
	p := newPeer(t, func(http.ResponseWriter, *http.Request) {}, nil)
	req, err := http.NewRequest(http.MethodGet, p.url("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := newClient(t, p.reaching(t)).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if len(req.Header) != 0 {
		t.Errorf("the request's header became %v, want it untouched", req.Header)
	}
}

func TestLookupsThatFail(t *testing.T) {
	broken := errors.New("the name server is away")
	client := newClient(t, outbound.Options{Lookup: func(context.Context, string) ([]netip.Addr,
		error) {
		return nil, broken
	}})
	if _, err := client.Get("https://gateway.example/"); !errors.Is(err, broken) ||
		errors.Is(err, outbound.ErrForbidden) {
		t.Errorf("GET = %v, want the error of the look-up", err)
	}
	client = newClient(t, outbound.Options{Lookup: func(context.Context, string) ([]netip.Addr,
		error) {
		return nil, nil
	}})
	var absent *net.DNSError
	if _, err := client.Get("https://gateway.example/"); !errors.As(err, &absent) || !absent.IsNotFound {
		t.Errorf("GET of a name without address = %v, want a DNSError that says so", err)
	}
}

// When the server answers that a connection leads to another server, the request is
// sent once more over a new one, with the same body.
func TestMisdirected(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		ever bool // every connection is wrong
		want string
	}{
		{"a small body", 100, false, "421 200 200"},
		{"a large body", 100_000, false, "421 200 200"},
		{"no right server", 100, true, "421 421 421 421"},
	} {
		for _, two := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, two), func(t *testing.T) {
				var mu sync.Mutex
				var first string
				var said []string
				bodies := make(map[int]int)
				p := newPeer(t, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					defer mu.Unlock()
					bodies[len(body)]++
					if first == "" {
						first = r.RemoteAddr
					}
					status := http.StatusOK
					if c.ever || r.RemoteAddr == first && len(said) == 0 {
						status = http.StatusMisdirectedRequest
					}
					said = append(said, fmt.Sprint(status))
					if len(said) == 2 && r.RemoteAddr == first {
						t.Error("the second request came over the same connection")
					}
					w.WriteHeader(status)
				}, func(s *httptest.Server) { s.EnableHTTP2 = two })
				client := newClient(t, p.reaching(t))
				for range 2 {
					res, err := client.Post(p.url("/"), "application/json", bytes.NewReader(make([]byte, c.size)))
					if err != nil {
						t.Fatal(err)
					}
					res.Body.Close()
				}
				if got := strings.Join(said, " "); got != c.want || bodies[c.size] != len(said) {
					t.Errorf("two requests were answered %s with bodies %v, want %s and whole bodies", got,
						bodies, c.want)
				}
			})
		}
	}
}

// The next address is tried when one does not answer.
func TestNextAddress(t *testing.T) {
	p := newPeer(t, func(http.ResponseWriter, *http.Request) {}, nil)
	o := p.reaching(t)
	closed := netip.MustParseAddr("127.0.0.77") // no server listens there
	o.Allow = append(o.Allow, outbound.Rule{Prefix: netip.PrefixFrom(closed, 32)})
	o.Lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{closed, netip.MustParseAddr("10.0.0.1"), p.address().Addr()}, nil
	}
	get(t, newClient(t, o), p.url("/"))

	o.Lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{closed}, nil }
	var failed *url.Error
	if _, err := newClient(t, o).Get(p.url("/")); !errors.As(err, &failed) || errors.Is(err, outbound.ErrForbidden) {
		t.Errorf("GET where no server listens = %v, want a failed connection", err)
	}
}

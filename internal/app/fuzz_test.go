package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/config"
)

// FuzzHTTP gives any bytes to the server of a whole gateway in the development profile.
// Every answer must be valid HTTP, and none may be a 5xx except those of HTTP itself.
// An error names its id, and the gateway answers the next client.
func FuzzHTTP(f *testing.F) {
	for _, request := range []string{
		"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\r\n{\"sender\":\"alice@localhost\",\"recipients\":[\"bob@localhost\"]}",
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"GET /v1/inbox/alice%40localhost?limit=1&wait=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
		"DELETE /v1/inbox/a/b HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET //v1/%2e%2e/messages HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1\r\n\r\n",
		"GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n",
		"PATCH /v1/admin/agents/alice HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
	} {
		f.Add([]byte(request))
	}
	listener := serveTapes(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		judge(t, input, listener.play(input))
		health := listener.play([]byte("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
		if !bytes.HasPrefix(health, []byte("HTTP/1.1 200 ")) {
			t.Fatalf("afterwards the gateway answers %q; input %q", health, input)
		}
	})
}

// ownErrors are the 5xx answers that are allowed. net/http gives two to requests that
// it does not support, and we give one to a client that goes away while it waits.
var ownErrors = []int{http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusServiceUnavailable}

// judge reads the answers one after the other.
func judge(t *testing.T, input, output []byte) {
	// An answer to HEAD has no body, which the reader must know.
	if bytes.Contains(input, []byte("HEAD")) {
		return
	}
	for in := bufio.NewReader(bytes.NewReader(output)); ; {
		if _, err := in.Peek(1); err == io.EOF {
			return
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("the answer is no HTTP: %v: %q; input %q", err, output, input)
		}
		if r.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatalf("the answer's body: %v: %q; input %q", err, output, input)
		}
		if r.StatusCode >= 500 && !slices.Contains(ownErrors, r.StatusCode) {
			t.Fatalf("got %d %s; input %q", r.StatusCode, body, input)
		}
		id := r.Header.Get("X-Request-Id")
		if id == "" {
			if r.StatusCode < 400 || strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				t.Fatalf("an answer without an id that is not net/http's own: %q; input %q", output, input)
			}
			continue
		}
		var answer struct {
			Error *struct {
				Code, Message string
				RequestID     string `json:"request_id"`
			}
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			t.Fatalf("the body is no JSON: %v: %q; input %q", err, body, input)
		}
		if e := answer.Error; (e != nil) != (r.StatusCode >= 400 && r.StatusCode != 503) && r.StatusCode != 503 ||
			e != nil && (e.Code == "" || e.Message == "" || e.RequestID != id) {
			t.Fatalf("got %d %s under %s; input %q", r.StatusCode, body, id, input)
		}
	}
}

// tapes is a listener for recorded connections.
type tapes struct {
	next chan net.Conn
	done chan struct{}
	once sync.Once
}

func serveTapes(f *testing.F) *tapes {
	f.Helper()
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_SERVER_ADDRESS=127.0.0.1:0",
		"AMTP_DATA_DIR=" + f.TempDir()}})
	if err != nil {
		f.Fatal(err)
	}
	a, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	l := &tapes{next: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- a.server.Serve(l) }()
	f.Cleanup(func() {
		if err := errors.Join(a.server.Close(), a.Close()); err != nil {
			f.Errorf("close: %v", err)
		}
		<-served
	})
	return l
}

// play makes a connection of the input and returns the bytes that the server wrote.
func (l *tapes) play(input []byte) []byte {
	c := &tape{in: bytes.NewReader(input), closed: make(chan struct{})}
	l.next <- c
	<-c.closed
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.out.Bytes())
}

func (l *tapes) Accept() (net.Conn, error) {
	select {
	case c := <-l.next:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *tapes) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *tapes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// tape is a connection whose client sends its input and ends.
type tape struct {
	in     *bytes.Reader
	mu     sync.Mutex
	out    bytes.Buffer
	once   sync.Once
	closed chan struct{}
}

func (c *tape) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.Read(p)
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *tape) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// CloseWrite also closes the connection: the server has written everything, and would
// wait half a second for a client that may still write.
func (c *tape) CloseWrite() error { return c.Close() }

func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

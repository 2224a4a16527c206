package outbound_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestABodyThatDoesNotMoveIsEnded: a server that reads no more of a large body does not
// hold the call up, however long its size would allow.
func TestABodyThatDoesNotMoveIsEnded(t *testing.T) {
	for _, two := range []bool{true, false} {
		over := make(chan struct{})
		p := newPeer(t, func(http.ResponseWriter, *http.Request) { <-over },
			func(s *httptest.Server) { s.EnableHTTP2 = two })
		t.Cleanup(func() { close(over) })
		o := p.reaching(t)
		o.Timeout, o.Rate = 50*time.Millisecond, 1<<30
		res, err := newClient(t, o).Post(p.url("/"), "text/plain", bytes.NewReader(make([]byte, 32<<20)))
		if err == nil {
			res.Body.Close()
		}
		var slow net.Error
		if !errors.As(err, &slow) || !slow.Timeout() {
			t.Errorf("HTTP/2 %t: a body that is not taken = %v, want a timeout", two, err)
		}
	}
}

// TestLargeBodiesHoldUpNone: a request with a large body does not use the connection of
// small ones.
func TestLargeBodiesHoldUpNone(t *testing.T) {
	var conns atomic.Int32
	p := newPeer(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
		})
	client := newClient(t, p.reaching(t))
	for _, size := range []int{0, 100, 1 << 20, 63 << 10, 2 << 20, 64 << 10} {
		res, err := client.Post(p.url("/"), "text/plain", bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatalf("a body of %d bytes: %v", size, err)
		}
		res.Body.Close()
	}
	if n := conns.Load(); n != 2 {
		t.Errorf("six requests took %d connections, want one for small bodies and one for large ones", n)
	}
}

package httpapi_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// wire is one connection to a gateway, on which requests are written by hand.
type wire struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (w *world) dial() *wire {
	w.t.Helper()
	u, err := url.Parse(w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		w.t.Fatal(err)
	}
	if transport, ok := w.http.(*http.Transport); ok && u.Scheme == "https" {
		c = tls.Client(c, transport.TLSClientConfig)
	}
	w.t.Cleanup(func() { c.Close() })
	return &wire{w.t, c, bufio.NewReader(c)}
}

// asks writes a request of an agent without waiting for the answer.
func (c *wire) asks(method, target, key, body string, headers ...string) {
	c.t.Helper()
	head := method + " " + target + " HTTP/1.1\r\nHost: " + c.RemoteAddr().String() + "\r\n" + key + "\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if body != "" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		c.t.Fatal(err)
	}
}

// hears reads one answer.
func (c *wire) hears(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading the answer: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("reading the body: %v", err)
	}
	return resp, string(b)
}

// ends checks that the gateway closes the connection.
func (c *wire) ends() {
	c.t.Helper()
	if b, err := io.ReadAll(c.in); err != nil || len(b) > 0 {
		c.t.Errorf("after the answer: got %q and %v, want the end of the connection", b, err)
	}
}

// headerNames are the names of an answer's headers.
func headerNames(h http.Header) []string {
	var names []string
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// whileHeld returns when the gateway of this test holds a request apart from net/http.
func whileHeld(t *testing.T) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-again.C {
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(all.Bytes(), []byte("held.(*conn).serve")) {
			return
		}
	}
	t.Fatal("no request is held")
}

// TestWaitsOverOneConnection: a client cannot tell a request that was held from another one,
// with TLS and without, and the connection stays in use.
func TestWaitsOverOneConnection(t *testing.T) {
	t.Run("plain", func(t *testing.T) { waitsOver(t, start(t), "localhost") })
	t.Run("TLS", func(t *testing.T) { waitsOver(t, startCertified(t).world, "shop.example") })
}

func waitsOver(t *testing.T, w *world, domain string) {
	w.agent("alice")
	w.agent("bob")
	inbox, bob, c := "/v1/inbox/bob@"+domain, w.as("bob"), w.dial()
	message := `{"sender":"alice@` + domain + `","recipients":["bob@` + domain + `"],"payload":1}`
	send := func() {
		w.wants("send", w.do("POST", "/v1/messages", message, w.as("alice")), 202, "")
	}

	c.asks("GET", inbox, bob, "")
	plain, empty := c.hears("GET")
	for range 2 { // the second time on a connection that was given back
		c.asks("GET", inbox+"?wait=1ms", bob, "")
		if held, body := c.hears("GET"); held.StatusCode != 200 || body != empty || held.Close ||
			!slices.Equal(headerNames(held.Header), headerNames(plain.Header)) {
			t.Errorf("nothing came: got %d %s with %v, want %s with %v",
				held.StatusCode, body, held.Header, empty, plain.Header)
		}
	}
	c.asks("GET", inbox+"?wait=30s", bob, "")
	whileHeld(t)
	send()
	if held, body := c.hears("GET"); held.StatusCode != 200 || !strings.Contains(body, `"count":1`) {
		t.Errorf("a message came: got %d %s", held.StatusCode, body)
	}
	c.asks("HEAD", inbox+"?wait=30s", bob, "")
	if a, _ := c.hears("HEAD"); a.StatusCode != 405 {
		t.Errorf("HEAD: got %d, want 405", a.StatusCode)
	}
	c.asks("POST", inbox+"?wait=30s", bob, `{}`)
	if a, _ := c.hears("POST"); a.StatusCode != 405 {
		t.Errorf("POST: got %d, want 405", a.StatusCode)
	}

	// Requests that were sent early, before the wait and during it, come next.
	newest := inbox + "?wait=1ms&after=" + w.newest(inbox)
	c.asks("GET", newest, bob, "")
	c.asks("GET", newest, bob, "")
	c.asks("GET", "/v1/whoami", bob, "")
	for i, want := range []string{`"count":0`, `"count":0`, `"address":"bob@`} {
		if a, body := c.hears("GET"); a.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("request %d of three at once: got %d %s, want %s", i+1, a.StatusCode, body, want)
		}
	}
	c.asks("GET", strings.Replace(newest, "1ms", "30s", 1), bob, "")
	whileHeld(t)
	c.asks("GET", "/v1/whoami", bob, "")
	send()
	for i, want := range []string{`"count":1`, `"address":"bob@`} {
		if a, body := c.hears("GET"); a.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("request %d, with one during the wait: got %d %s, want %s", i+1, a.StatusCode, body, want)
		}
	}

	c.asks("POST", inbox+"/claim", bob, `{"wait":"1ms","filter":{"from":"carol@`+domain+`"}}`)
	if a, body := c.hears("POST"); a.StatusCode != 200 || !strings.Contains(body, `"count":0`) {
		t.Errorf("a claim of nothing: got %d %s", a.StatusCode, body)
	}
	c.asks("POST", "/v1/messages", w.as("alice"), message, "Prefer: wait=1")
	if a, body := c.hears("POST"); a.StatusCode != 202 || a.Header.Get("Preference-Applied") != "wait=1" {
		t.Errorf("no reply came: got %d %s", a.StatusCode, body)
	}

	// A body that is not read is not the next request.
	c.asks("GET", newest, bob, "GET /v1/whoami HTTP/1.1\r\n\r\n")
	if a, _ := c.hears("GET"); a.StatusCode != 200 {
		t.Errorf("a wait with a body: got %d", a.StatusCode)
	}
	c.asks("GET", newest, bob, "", "Connection: close")
	if a, _ := c.hears("GET"); a.StatusCode != 200 || !a.Close {
		t.Errorf("Connection: close: got %d, close %t", a.StatusCode, a.Close)
	}
	c.ends()
}

// newest returns the place behind everything in an inbox of bob's.
func (w *world) newest(inbox string) string {
	w.t.Helper()
	cursor, _ := w.do("GET", inbox, "", w.as("bob")).body["next_cursor"].(string)
	return cursor
}

// TestAStreamEndsAndTheConnectionGoesOn: a stream of events is sent in chunks. When it ends,
// the next request on the connection is answered.
func TestAStreamEndsAndTheConnectionGoesOn(t *testing.T) {
	w := start(t)
	w.agent("bob")
	key := w.as("bob")
	c := w.dial()
	c.asks("GET", "/v1/inbox/bob@localhost/events?after=now", key, "")
	whileHeld(t)
	w.wants("delete", w.do("DELETE", "/v1/admin/agents/bob", "", "X-Admin-Key: "+w.admin), 200, "")
	a, body := c.hears("GET")
	if a.StatusCode != 200 || !slices.Equal(a.TransferEncoding, []string{"chunked"}) ||
		a.Header.Get("Content-Type") != "text/event-stream" || a.Header.Get("Date") == "" ||
		!strings.Contains(body, "event: error\n") {
		t.Errorf("the stream: got %d, %v %v, %s", a.StatusCode, a.TransferEncoding, a.Header, body)
	}
	c.asks("GET", "/health", key, "")
	if a, _ := c.hears("GET"); a.StatusCode != 200 {
		t.Errorf("after the stream: got %d, want 200", a.StatusCode)
	}
}

// TestAClientThatLeaves: a request whose client goes away is held no longer.
func TestAClientThatLeaves(t *testing.T) {
	w := start(t)
	w.agent("bob")
	c := w.dial()
	c.asks("GET", "/v1/inbox/bob@localhost/events", w.as("bob"), "")
	whileHeld(t)
	c.Close()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-again.C {
		var all bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(all.Bytes(), []byte("held.(*conn)")) {
			return
		}
	}
	t.Error("the request is held after its client left")
}

// TestAStopAnswersThoseWhoWait: a gateway that stops answers a request that is held, ends a
// stream in order, and closes a connection that rests after a wait.
func TestAStopAnswersThoseWhoWait(t *testing.T) {
	w, stop := startStopped(t)
	w.agent("bob")
	inbox, key := "/v1/inbox/bob@localhost", w.as("bob")
	rests, waits, streams := w.dial(), w.dial(), w.dial()
	rests.asks("GET", inbox+"?wait=1ms", key, "")
	rests.hears("GET")
	waits.asks("GET", inbox+"?wait=30s", key, "")
	whileHeld(t)
	streams.asks("GET", inbox+"/events", key, "")
	if _, err := streams.in.Peek(1); err != nil {
		t.Fatal(err)
	}
	stop()
	if a, body := waits.hears("GET"); a.StatusCode != 200 || !a.Close || !strings.Contains(body, `"count":0`) {
		t.Errorf("a wait: got %d, close %t, %s; want an empty page and the end", a.StatusCode, a.Close, body)
	}
	if a, _ := streams.hears("GET"); a.StatusCode != 200 {
		t.Errorf("a stream: got %d", a.StatusCode)
	}
	for _, c := range []*wire{rests, waits, streams} {
		c.ends()
	}
}

// Package held keeps the connections of requests that wait. net/http keeps about 30 KiB
// for a connection whose request is being answered: its buffers, and the stack of its
// goroutine. A request that waits needs none of that.
//
// The promise: the client of an HTTP/1.1 request sees no difference. The answer has the
// same form, the connection is kept alive, bytes that the client sends early are its
// next request, and a client that goes away ends the wait. When the client sends the next
// request, the connection is net/http's again. Nothing here outlives the process.
package held

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
)

// Connections are the connections of requests that wait, and those that rest after such
// a request. They are also the listener at which the http.Server takes them back.
type Connections struct {
	at       net.Addr
	idle     time.Duration   // for the next request to begin, 0 for no limit
	stopping <-chan struct{} // closed when the server is about to stop
	back     chan net.Conn
	ended    chan struct{} // closed by Close

	mu      sync.Mutex
	all     map[*conn]struct{}
	closing bool          // by Shutdown
	none    chan struct{} // closed when closing is true and all is empty
	once    sync.Once     // for none
}

// New returns no connections. The server's listener has the address at.
func New(at net.Addr, idle time.Duration, stopping <-chan struct{}) *Connections {
	return &Connections{at: at, idle: idle, stopping: stopping, back: make(chan net.Conn), ended: make(chan struct{}),
		all: make(map[*conn]struct{}), none: make(chan struct{})}
}

// Take takes the connection of a request over from net/http and returns true. Then answer
// is called on another goroutine, to which w and r do not belong any more, and the handler
// must return. The request that answer gets has no body, so r's must have been read to its
// end. Its context ends when the client goes away. Take returns false, and has done
// nothing, for a request of another protocol than HTTP/1.1, and while the server stops.
func (h *Connections) Take(w http.ResponseWriter, r *http.Request,
	answer func(http.ResponseWriter, *http.Request)) bool {
	if h == nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
		return false
	}
	c := &conn{all: h, writing: writing{header: w.Header(), closes: r.Close}}
	if !h.add(c) {
		return false
	}
	hijacked, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.remove(c)
		return false
	}
	ctx, gone := context.WithCancel(context.Background())
	waiting := r.WithContext(ctx)
	waiting.Body = http.NoBody
	c.gone, c.first = gone, rest(buffer.Reader)
	c.watched = len(c.first) == 0
	watched := c.watched
	h.mu.Lock()
	c.net = unwrap(hijacked)
	h.mu.Unlock()
	if watched {
		go c.watch()
	}
	go c.serve(waiting, answer)
	return true
}

// rest returns the bytes that the client sent after the request, if there are any.
func rest(from *bufio.Reader) []byte {
	b, _ := from.Peek(from.Buffered()) // so many are there
	return append([]byte(nil), b...)
}

// unwrap returns the connection inside of one that was given back to net/http.
func unwrap(c net.Conn) net.Conn {
	switch again := c.(type) {
	case *resumed:
		if len(again.first) == 0 {
			return again.Conn
		}
	case *resumedTLS:
		if len(again.first) == 0 {
			return again.Conn
		}
	}
	return c
}

func (h *Connections) add(c *conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.all[c] = struct{}{}
	return true
}

func (h *Connections) remove(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, c)
	h.ends()
}

// ends notes the end of the last connection. h.mu is held.
func (h *Connections) ends() {
	if h.closing && len(h.all) == 0 {
		h.once.Do(func() { close(h.none) })
	}
}

// Shutdown closes the connections that rest, and waits until all others have been
// answered. When ctx ends before that, it closes them and returns the error of ctx.
func (h *Connections) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	resting := h.list(func(c *conn) bool { return c.rests })
	h.ends()
	h.mu.Unlock()
	closeAll(resting)
	select {
	case <-h.none:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	late := h.list(func(c *conn) bool { return c.net != nil })
	h.mu.Unlock()
	closeAll(late)
	return ctx.Err()
}

// list returns the connections that are so. h.mu is held.
func (h *Connections) list(so func(*conn) bool) (list []net.Conn) {
	for c := range h.all {
		if so(c) {
			list = append(list, c.net)
		}
	}
	return list
}

func closeAll(list []net.Conn) {
	for _, c := range list {
		c.Close() // its error says nothing of use
	}
}

// Accept returns the next connection on which a client has begun another request.
func (h *Connections) Accept() (net.Conn, error) {
	select {
	case c := <-h.back:
		return c, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. It may be called more than once.
func (h *Connections) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.ended:
	default:
		close(h.ended)
	}
	return nil
}

// Addr returns the address of the server's listener.
func (h *Connections) Addr() net.Addr { return h.at }

// stops reports whether the server is about to stop.
func (h *Connections) stops() bool {
	select {
	case <-h.stopping:
		return true
	default:
		return false
	}
}

// conn is a connection that is held, and the http.ResponseWriter of its request.
type conn struct {
	all  *Connections
	net  net.Conn
	gone func() // ends the context of the request
	writing

	// The fields below are guarded by all.mu.
	first    []byte // of the next request
	watched  bool   // watch is reading
	answered bool   // the request was answered
	rests    bool   // the next request is awaited
	ends     bool   // the connection has to be closed
}

// serve answers the request.
func (c *conn) serve(r *http.Request, answer func(http.ResponseWriter, *http.Request)) {
	err := defect.Contain(func() error { // a handler that panics logs it, or aborts its answer
		answer(c, r)
		return nil
	})
	keep := c.finish() && err == nil && !c.all.stops()
	c.gone()
	if keep {
		_ = c.net.SetWriteDeadline(time.Time{}) // if a deadline cannot be moved, the connection is broken
		c.awaitNext()
	} else {
		c.net.Close()
	}
	h := c.all
	h.mu.Lock()
	c.answered, c.rests, c.ends = true, keep && c.watched, c.ends || !keep
	stopped := c.rests && h.closing
	watched := c.watched
	h.mu.Unlock()
	if stopped {
		c.net.Close() // Shutdown came before
	}
	if !watched {
		c.leave()
	}
}

// awaitNext limits the time until the next request begins.
func (c *conn) awaitNext() {
	var until time.Time
	if c.all.idle > 0 {
		until = time.Now().Add(c.all.idle)
	}
	_ = c.net.SetReadDeadline(until)
}

// watch reads the first byte of the next request. While the client sends nothing, watch
// notices when it goes away.
func (c *conn) watch() {
	first := make([]byte, 1)
	n, _ := c.net.Read(first)
	if n == 0 {
		c.gone()
	}
	c.all.mu.Lock()
	c.watched, c.rests = false, false
	if n == 0 {
		c.ends = true
	} else {
		c.first = first
	}
	answered := c.answered
	c.all.mu.Unlock()
	if answered {
		c.leave()
	}
}

// leave gives the connection back to net/http, or closes it. It is called once, by the
// last of watch and serve.
func (c *conn) leave() {
	defer c.all.remove(c)
	c.all.mu.Lock()
	ends := c.ends || c.all.closing
	c.all.mu.Unlock()
	if ends {
		c.net.Close()
		return
	}
	_ = c.net.SetReadDeadline(time.Time{})
	var again net.Conn = &resumed{c.net, c.first}
	if secure, ok := c.net.(*tls.Conn); ok {
		again = &resumedTLS{secure, c.first}
	}
	select {
	case c.all.back <- again:
	case <-c.all.ended:
		c.net.Close()
	}
}

// resumed is a connection from which some bytes have been read already.
type resumed struct {
	net.Conn
	first []byte
}

// Read returns those bytes first.
func (r *resumed) Read(p []byte) (int, error) { return readFirst(&r.first, r.Conn, p) }

// resumedTLS is resumed with the methods by which net/http finds the state of TLS, and
// ends it.
type resumedTLS struct {
	*tls.Conn
	first []byte
}

func (r *resumedTLS) Read(p []byte) (int, error) { return readFirst(&r.first, r.Conn, p) }

func readFirst(first *[]byte, then net.Conn, p []byte) (int, error) {
	if len(*first) == 0 {
		return then.Read(p)
	}
	n := copy(p, *first)
	if *first = (*first)[n:]; len(*first) == 0 {
		*first = nil
	}
	return n, nil
}

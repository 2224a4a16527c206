// Package coalesce makes connections whose writes at nearly the same time are sent
// together.
//
// Many calls share one HTTP/2 connection, and each writes several short pieces. Sent one
// by one, every piece passes through the network stacks of both machines; under load most
// of the work for a message was spent there. A single piece is sent at once.
//
// Like the operating system's buffer, this one holds bytes that the other side has not
// received: a Write that returned says nothing about the other side. Close does not wait
// either: the rest is sent after it, for a bounded time, and Listener.Wait waits for
// that. An idle connection holds no buffer.
package coalesce

import (
	"net"
	"os"
	"runtime"
	"sync"
	"time"
)

// Bounds of one connection.
const (
	maxPending = 32 << 10        // bytes that wait or are being sent; beyond them Write waits too
	pieces     = 4 << 10         // bytes that one read takes from the system at least
	closeTime  = 5 * time.Second // to send the rest after Close, as TLS allows for its close_notify
)

// Conn is a connection that coalesces writes and reads ahead.
type Conn struct {
	net.Conn
	read ahead
	from *Listener // nil for one that was not accepted

	mu             sync.Mutex
	changed        sync.Cond // there is room, or an end
	pending        []byte
	inFlight       int // bytes that are being sent
	sending        bool
	deadlinePassed bool // the deadline for writing has passed
	closed         bool
	err            error // of an earlier piece
}

// New returns c with its writes coalesced.
func New(c net.Conn) *Conn {
	g := &Conn{Conn: c}
	g.changed.L = &g.mu
	return g
}

// Write sends p together with the writes of other goroutines. An error is that of an
// earlier write, after which no more is sent.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.refused() == nil && c.inFlight+len(c.pending) > maxPending {
		c.changed.Wait()
	}
	if err := c.refused(); err != nil {
		return 0, err
	}
	if c.pending == nil {
		c.pending = take()
	}
	c.pending = append(c.pending, p...)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return len(p), nil
}

// refused returns why no more can be written.
func (c *Conn) refused() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.deadlinePassed:
		return os.ErrDeadlineExceeded
	}
	return c.err
}

// send sends the pending bytes until there are none, and ends a connection that was
// closed meanwhile.
func (c *Conn) send() {
	runtime.Gosched() // a goroutine that is about to write does so first
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.pending) > 0 {
		batch := c.pending
		c.pending, c.inFlight = nil, len(batch)
		c.mu.Unlock()
		_, err := c.Conn.Write(batch)
		putBuffer(batch)
		c.mu.Lock()
		c.inFlight, c.err = 0, err
		c.changed.Broadcast()
	}
	putBuffer(c.pending)
	c.pending, c.sending = nil, false
	if c.closed {
		_ = c.Conn.Close() // the caller of Close has returned
		c.from.left(-1)
	}
}

// SetWriteDeadline bounds the writes from now on. A deadline in the past ends them, but
// cuts off no bytes that were written before: TLS sets such a deadline right after its
// close_notify.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed // it has its last deadline
	}
	now := time.Now()
	if c.deadlinePassed = !t.IsZero() && !t.After(now); c.deadlinePassed {
		t = now.Add(closeTime)
		c.changed.Broadcast()
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// Close ends reads and writes at once. Bytes that were written before are still sent, if
// the other side takes them soon, and then the connection is closed. Close does not wait
// for that, because a server closes one connection after the other.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.changed.Broadcast()
	if !c.sending {
		return c.Conn.Close()
	}
	c.from.left(1)
	now := time.Now()
	_ = c.Conn.SetReadDeadline(now) // a connection that takes no deadline
	_ = c.Conn.SetWriteDeadline(now.Add(closeTime))
	return nil
}

// Read reads what has arrived.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read.from(c.Conn, p)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed {
			err = net.ErrClosed
		}
	}
	return n, err
}

// buffers are for pending bytes. A connection has one while it has bytes to send.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func take() []byte { return (*buffers.Get().(*[]byte))[:0] }

// putBuffer returns a buffer to the pool, unless one large piece made it large.
func putBuffer(b []byte) {
	if cap(b) > 0 && cap(b) <= 2*maxPending {
		buffers.Put(&b)
	}
}

// ahead keeps bytes that arrived beyond those asked for. A TLS record is read in two
// steps, its header first.
type ahead struct {
	buf  []byte
	rest []byte // of buf
}

func (a *ahead) from(c net.Conn, p []byte) (int, error) {
	if len(a.rest) == 0 {
		if len(p) >= pieces {
			return c.Read(p)
		}
		if a.buf == nil {
			a.buf = make([]byte, pieces)
		}
		n, err := c.Read(a.buf)
		a.rest = a.buf[:n]
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Listener accepts connections that coalesce their writes.
type Listener struct {
	net.Listener

	mu      sync.Mutex
	changed sync.Cond // fewer are left
	ending  int       // connections that were closed and still send bytes
}

// Listen returns l with the writes of every accepted connection coalesced.
func Listen(l net.Listener) *Listener {
	g := &Listener{Listener: l}
	g.changed.L = &g.mu
	return g
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := New(c)
	g.from = l
	return g, nil
}

// Wait waits until the closed connections have sent their rest, which takes a bounded
// time. A process that ends earlier loses the rest.
func (l *Listener) Wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.ending > 0 {
		l.changed.Wait()
	}
}

// left counts the connections that end.
func (l *Listener) left(n int) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending += n
	l.changed.Broadcast()
}

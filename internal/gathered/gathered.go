// Package gathered makes connections on which what is written at nearly the same
// time leaves together.
//
// Many calls share one HTTP/2 connection, and each writes several short pieces.
// One by one every piece costs both machines a passage through their network
// stacks, which is more than what it says is worth; under load most of the work
// of carrying a message went there. A lone piece leaves at once.
//
// Like the operating system's own buffer this one holds bytes that nobody has
// received: a Write that returned says nothing about the other side. Close hands
// over what is left, for a bounded time.
package gathered

import (
	"net"
	"runtime"
	"sync"
	"time"
)

// Bounds of one connection.
const (
	maxPending = 64 << 10        // bytes that wait; beyond them Write does, too
	pieces     = 4 << 10         // bytes that one read takes from the system at the least
	closeTime  = 1 * time.Second // for what is left when it is closed
)

// Conn is a connection that gathers what is written, and reads ahead.
type Conn struct {
	net.Conn
	read ahead

	mu      sync.Mutex
	changed sync.Cond // pending shrank, or sending ended
	pending []byte
	spare   []byte
	sending bool
	err     error // of an earlier piece
}

// New returns c with its writes gathered.
func New(c net.Conn) *Conn {
	g := &Conn{Conn: c}
	g.changed.L = &g.mu
	return g
}

// Write has p sent together with what is written by others meanwhile. An error is
// that of an earlier write: nothing is sent after it.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.pending) > maxPending {
		c.changed.Wait()
	}
	if c.err != nil {
		return 0, c.err
	}
	c.pending = append(c.pending, p...)
	if !c.sending {
		c.sending = true
		go c.send()
	}
	return len(p), nil
}

// send hands over what is pending until nothing is.
func (c *Conn) send() {
	runtime.Gosched() // who is about to write something does it first
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.pending) > 0 {
		batch := c.pending
		c.pending = c.spare[:0]
		c.mu.Unlock()
		_, err := c.Conn.Write(batch)
		c.mu.Lock()
		c.spare, c.err = batch, err
		if cap(c.spare) > 2*maxPending {
			c.spare = nil
		}
		c.changed.Broadcast()
	}
	if c.err != nil {
		c.pending = nil
	}
	c.sending = false
	c.changed.Broadcast()
}

// Close sends what is left and closes the connection. Writes fail from then on.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.sending {
		// It cannot hang: what the other side does not take by then is lost.
		_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTime))
	}
	for c.sending {
		c.changed.Wait()
	}
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// Read reads what has arrived.
func (c *Conn) Read(p []byte) (int, error) { return c.read.from(c.Conn, p) }

// ahead keeps what arrived beyond what was asked for. A record of TLS is read in
// two steps, its header first.
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

// Listener returns l with every connection that it accepts gathered.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

// Accept returns the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(c), nil
}

package held

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// together is the size of a first piece that is sent in one write with the header.
const together = 4 << 10

// writing is the state of an answer.
type writing struct {
	header  http.Header
	head    []byte // that was not written yet
	begun   bool   // WriteHeader was called
	chunked bool
	left    int64 // bytes of the body that were announced and not written, unless chunked
	closes  bool  // the connection ends with this answer
	failed  bool  // a write failed
}

// Header implements http.ResponseWriter.
func (c *conn) Header() http.Header { return c.header }

// WriteHeader implements http.ResponseWriter. An answer without a Content-Length is sent
// in chunks.
func (c *conn) WriteHeader(status int) {
	if c.begun {
		return
	}
	c.begun = true
	if c.closes = c.closes || c.all.stops() || strings.EqualFold(c.header.Get("Connection"), "close"); c.closes {
		c.header.Set("Connection", "close")
	}
	length, err := strconv.ParseInt(c.header.Get("Content-Length"), 10, 64)
	if c.left = length; err != nil {
		c.chunked, c.left = true, 0
		c.header.Set("Transfer-Encoding", "chunked")
	}
	if c.header.Get("Date") == "" {
		c.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\n")
	_ = c.header.Write(&b) // a Builder takes everything
	b.WriteString("\r\n")
	c.head = []byte(b.String())
}

// Write implements http.ResponseWriter. The bytes are sent at once.
func (c *conn) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	if len(b) == 0 {
		return 0, nil
	}
	if !c.chunked {
		if int64(len(b)) > c.left {
			return 0, http.ErrContentLength
		}
		c.left -= int64(len(b))
		return c.send(b, nil)
	}
	c.head = append(strconv.AppendInt(c.head, int64(len(b)), 16), "\r\n"...)
	return c.send(b, []byte("\r\n"))
}

// send writes what is left of the header, a piece of the body and what follows it. It
// returns how many bytes of the piece were written.
func (c *conn) send(b, after []byte) (int, error) {
	before := len(c.head)
	parts := [][]byte{c.head, b, after}
	if len(b) <= together {
		parts = [][]byte{append(append(c.head, b...), after...)}
	}
	c.head = nil
	written := 0
	for _, part := range parts {
		if len(part) == 0 {
			continue // with TLS it would be a record
		}
		n, err := c.net.Write(part)
		written += n
		if err != nil {
			c.failed = true
			return min(max(0, written-before), len(b)), err
		}
	}
	return len(b), nil
}

// FlushError sends the header if no part of the body did.
func (c *conn) FlushError() error {
	c.WriteHeader(http.StatusOK)
	if len(c.head) == 0 {
		return nil
	}
	_, err := c.send(nil, nil)
	return err
}

// SetReadDeadline ends the request when its client sends nothing until then.
func (c *conn) SetReadDeadline(at time.Time) error { return c.net.SetReadDeadline(at) }

// SetWriteDeadline bounds the writes that follow.
func (c *conn) SetWriteDeadline(at time.Time) error { return c.net.SetWriteDeadline(at) }

// finish ends the answer. It reports whether another request may follow.
func (c *conn) finish() bool {
	if !c.begun || c.left > 0 {
		return false
	}
	if c.chunked {
		c.head = append(c.head, "0\r\n\r\n"...)
	}
	if len(c.head) > 0 {
		_, _ = c.send(nil, nil) // failed has its error
	}
	return !c.failed && !c.closes
}

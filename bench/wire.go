package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// A conn is one HTTP/1.1 connection that is kept alive. It costs little on purpose,
// because the server lacks the processor time that the generator uses.
type conn struct {
	net net.Conn
	buf []byte // the bytes read; those of one answer at a time
}

// An answer is the answer to a request. The body is valid until the next request.
type answer struct {
	status int
	body   []byte
	closes bool // whether the server closes the connection after it
}

// patience bounds how long one connection may be in use.
const patience = 30 * time.Minute

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &conn{net: c, buf: make([]byte, 0, 4<<10)}, nil
}

// do sends the bytes of one request and reads the whole answer.
func (c *conn) do(request []byte) (answer, error) {
	if _, err := c.net.Write(request); err != nil {
		return answer{}, err
	}
	c.buf = c.buf[:0]
	var h head
	for h.size == 0 {
		if err := c.read(1); err != nil {
			return answer{}, err
		}
		var err error
		if h, err = parseHead(c.buf); err != nil {
			return answer{}, err
		}
	}
	total := h.size + h.length
	if missing := total - len(c.buf); missing > 0 {
		if err := c.read(missing); err != nil {
			return answer{}, err
		}
	}
	if len(c.buf) > total {
		return answer{}, fmt.Errorf("%d bytes follow the answer", len(c.buf)-total)
	}
	return answer{status: h.status, body: c.buf[h.size:total], closes: h.closes}, nil
}

// read appends at least n more bytes to the buffer.
func (c *conn) read(n int) error {
	for want := len(c.buf) + n; len(c.buf) < want; {
		if free := cap(c.buf) - len(c.buf); free < max(1, want-len(c.buf)) {
			c.buf = append(make([]byte, 0, max(2*cap(c.buf), want)), c.buf...)
		}
		got, err := c.net.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+got]
		if err != nil && len(c.buf) < want {
			return err
		}
	}
	return nil
}

// A head is the part of an answer's status line and fields that the client needs.
type head struct {
	status int
	length int // of the body
	size   int // of the head itself, with its empty line; 0 while it is incomplete
	closes bool
}

var (
	endOfHead     = []byte("\r\n\r\n")
	endOfLine     = []byte("\r\n")
	contentLength = []byte("content-length")
	chunked       = []byte("transfer-encoding")
	connection    = []byte("connection")
)

// parseHead reads the head of an answer. Its size is 0 while b does not hold all of it.
// It supports only answers with a Content-Length.
func parseHead(b []byte) (head, error) {
	end := bytes.Index(b, endOfHead)
	if end < 0 {
		return head{}, nil
	}
	line, fields, _ := bytes.Cut(b[:end], endOfLine)
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return head{}, fmt.Errorf("not the status line of an answer: %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return head{}, fmt.Errorf("not a status: %q", line)
	}
	h := head{status: status, length: -1, size: end + len(endOfHead)}
	for len(fields) > 0 {
		line, fields, _ = bytes.Cut(fields, endOfLine)
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, contentLength):
			if h.length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || h.length < 0 {
				return head{}, fmt.Errorf("not a length: %q", line)
			}
		case bytes.EqualFold(name, connection):
			h.closes = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		case bytes.EqualFold(name, chunked):
			return head{}, errors.New("the answer comes in chunks; only Content-Length is understood")
		}
	}
	if h.length < 0 {
		return head{}, errors.New("the answer has no Content-Length")
	}
	return h, nil
}

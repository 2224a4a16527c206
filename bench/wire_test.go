package main

import (
	"io"
	"net"
	"strings"
	"testing"
)

func TestParseHead(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     head
	}{
		{"with a body", "HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\n\r\n{",
			head{status: 202, length: 12, size: 45}},
		{"any case, no space", "HTTP/1.1 503 Service Unavailable\r\ncONTENT-lENGTH:0\r\nRetry-After: 1\r\n\r\n",
			head{status: 503, length: 0, size: 70}},
		{"no reason", "HTTP/1.1 200 \r\nA: Content-Length: 7\r\nContent-Length: 3\r\n\r\n",
			head{status: 200, length: 3, size: 58}},
		{"the last answer", "HTTP/1.1 401 Unauthorized\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
			head{status: 401, size: 67, closes: true}},
		{"incomplete", "HTTP/1.1 202 Accepted\r\nContent-Length: 12\r\n", head{}},
		{"nothing", "", head{}},
	} {
		if got, err := parseHead([]byte(c.in)); err != nil || got != c.want {
			t.Errorf("%s: parseHead = %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseHeadRefuses(t *testing.T) {
	for _, in := range []string{
		"SMTP ready\r\n\r\n",
		"HTTP/1.1 two hundred\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
	} {
		if got, err := parseHead([]byte(in)); err == nil {
			t.Errorf("parseHead(%q) = %+v, want an error", in, got)
		}
	}
}

// pieces answers every request with the given parts, each in a separate write.
func pieces(t *testing.T, parts ...string) *conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close() })
	go func() {
		defer server.Close()
		request := make([]byte, 64)
		for {
			if _, err := server.Read(request); err != nil {
				return
			}
			for _, part := range parts {
				if _, err := io.WriteString(server, part); err != nil {
					return
				}
			}
		}
	}()
	return &conn{net: client}
}

func TestAnAnswerInPiecesIsOneAnswer(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	c := pieces(t, "HTTP/1.1 20", "0 OK\r\nContent-Length: 10003\r\n\r", "\nab", "c", long)
	for range 2 {
		got, err := c.do([]byte("GET / HTTP/1.1\r\n\r\n"))
		if err != nil || got.status != 200 || string(got.body) != "abc"+long {
			t.Fatalf("do = status %d, %d bytes, %v; want 200, 10003 bytes", got.status, len(got.body), err)
		}
	}
}

func TestBytesBeyondTheAnswerAreAnError(t *testing.T) {
	c := pieces(t, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 500")
	if got, err := c.do([]byte("POST / HTTP/1.1\r\n\r\n")); err == nil {
		t.Errorf("do = %d %q, want an error", got.status, got.body)
	}
}

func TestAClosedConnectionIsAnError(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		io.ReadFull(server, make([]byte, 5))
		io.WriteString(server, "HTTP/1.1 202 Accepted\r\n")
		server.Close()
	}()
	if got, err := (&conn{net: client}).do([]byte("POST ")); err == nil {
		t.Errorf("do = %d, want an error", got.status)
	}
}

package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/gateway"
)

// echoing is a server that answers with the body of each request, over
// connections in memory, on the clock of a bubble.
type echoing struct {
	*Server
	t     *testing.T
	http  http.Server
	short bool // its answers are short
	conns chan net.Conn
	ended sync.WaitGroup
}

const readTime, writeTime, headTime = 30 * time.Second, time.Minute, 5 * time.Second

func newEchoing(t *testing.T, maxMessage int64) *echoing {
	e := &echoing{t: t, conns: make(chan net.Conn), Server: &Server{
		MaxMessage: maxMessage, InFlight: 4 * maxMessage, Timeouts: Timeouts{Read: readTime, Write: writeTime},
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}}
	e.http = http.Server{Handler: e, ReadTimeout: readTime, ReadHeaderTimeout: headTime, WriteTimeout: writeTime}
	e.ended.Go(func() { _ = e.http.Serve(e) })
	return e
}

func (e *echoing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: e.Server, w: w, r: r, principal: gateway.Principal{Admin: true}}
	defer c.leaveRoom()
	body, refused := c.body(amtp.CodeInvalidMessage, false)
	if refused != nil {
		c.fail(refused)
		return
	}
	if e.short {
		body = body[:1]
	}
	c.write(http.StatusOK, body)
}

func (e *echoing) Accept() (net.Conn, error) {
	c, open := <-e.conns
	if !open {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (e *echoing) Close() error   { return nil }
func (e *echoing) Addr() net.Addr { return &net.TCPAddr{} }

func (e *echoing) stop() {
	close(e.conns)
	_ = e.http.Close()
	e.ended.Wait()
	time.Sleep(time.Second) // after some answers net/http waits half a second
}

// line is how a client sends and reads: a piece, then a pause.
type line struct {
	piece int
	pause time.Duration
	stops int // bytes after which it sends no more, 0 for none
}

// answered is the answer that a client got, and the time since its first byte.
type answered struct {
	status int
	close  bool
	code   amtp.Code
	body   int
	took   time.Duration
}

// send makes a request with a body of size bytes over a line, and reads the answer over
// the same line.
func (e *echoing) send(size int, l line) (a answered) {
	here, there := net.Pipe()
	e.conns <- there
	defer here.Close()
	began := time.Now()
	e.ended.Go(func() {
		fmt.Fprintf(here, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			size)
		for sent := 0; sent < size && (l.stops == 0 || sent < l.stops); {
			n, err := here.Write(bytes.Repeat([]byte("1"), min(l.piece, size-sent)))
			if err != nil {
				return
			}
			sent += n
			time.Sleep(l.pause)
		}
	})
	res, err := http.ReadResponse(bufio.NewReaderSize(here, 16), nil)
	if err != nil {
		return answered{took: time.Since(began)}
	}
	a = answered{status: res.StatusCode, close: res.Close, took: time.Since(began)}
	if res.StatusCode != http.StatusOK {
		var refused struct {
			Error amtp.Error `json:"error"`
		}
		if err := json.NewDecoder(res.Body).Decode(&refused); err != nil {
			e.t.Errorf("the answer %d is not an error: %v", a.status, err)
		}
		a.code = refused.Error.Code
		return a
	}
	for piece := make([]byte, l.piece); err == nil; {
		var n int
		n, err = io.ReadFull(res.Body, piece)
		a.body += n
		time.Sleep(l.pause)
	}
	return a
}

// TestPaceOfABody: a body is read as long as it arrives at the least rate, and its answer
// may be read as slowly. A body that is slower, or stops, is 408.
func TestPaceOfABody(t *testing.T) {
	const size = 4 << 20
	for _, c := range []struct {
		name  string
		line  line
		ends  time.Duration // when it is cut off, 0 when it is not
		about time.Duration
	}{
		{"256 kbit/s", line{32_000, time.Second, 0}, 0, 0},
		{"in large pieces", line{512 << 10, 16 * time.Second, 0}, 0, 0},
		{"at once", line{size, 0, 0}, 0, 0},
		{"a byte a second", line{1, time.Second, 0}, readTime, time.Second},
		{"half of the least rate", line{4 << 10, time.Second, 0}, 2 * readTime, 3 * time.Second},
		{"it stops after the first byte", line{1, 0, 1}, readTime, time.Second},
		{"it stops in the middle", line{2 << 20, 0, 2 << 20}, readTime, time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEchoing(t, size)
				defer e.stop()
				got := e.send(size, c.line)
				if c.ends == 0 {
					if got.status != http.StatusOK || got.body != size {
						t.Errorf("answered %+v, want 200 and the body of %d bytes", got, size)
					}
					return
				}
				if got.status != http.StatusRequestTimeout || got.code != amtp.CodeTemporaryFailure || !got.close ||
					(got.took-c.ends).Abs() > c.about {
					t.Errorf("answered %+v, want 408 TEMPORARY_FAILURE after about %v, and the end of the connection",
						got, c.ends)
				}
			})
		})
	}
}

// TestPaceOfAHeader: a header has its own time, which its bytes do not extend.
func TestPaceOfAHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEchoing(t, 1<<20)
		defer e.stop()
		here, there := net.Pipe()
		e.conns <- there
		defer here.Close()
		began := time.Now()
		e.ended.Go(func() {
			for _, err := io.WriteString(here, "POST / HTTP/1.1\r\nX: "); err == nil; _, err = here.Write([]byte("x")) {
				time.Sleep(time.Second)
			}
		})
		_, _ = io.Copy(io.Discard, here)
		if took := time.Since(began); took < headTime || took > headTime+time.Second {
			t.Errorf("a header that drips is read for %v, want %v", took, headTime)
		}
	})
}

// TestSlowBodiesMakeWay: slow bodies keep their room until another call needs it. Then the
// slowest ends. A body that came only a short time ago does not.
func TestSlowBodiesMakeWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 2 << 20
		e := newEchoing(t, size)
		e.InFlight, e.short = 0, true // there is room for one and a half of the largest bodies
		defer e.stop()
		var slow, slower, quick answered
		var all sync.WaitGroup
		all.Go(func() { slow = e.send(size/2, line{16 << 10, time.Second, 0}) })
		all.Go(func() { slower = e.send(size/2, line{10 << 10, time.Second, 0}) })
		time.Sleep(50 * time.Second)
		first := e.send(size, line{size, 0, 0})
		if first.status != http.StatusServiceUnavailable || first.code != amtp.CodeTemporaryFailure {
			t.Errorf("without room: answered %+v, want 503", first)
		}
		time.Sleep(time.Second)
		quick = e.send(size/2, line{size, 0, 0})
		all.Wait()
		if quick.status != http.StatusOK {
			t.Errorf("a second later: answered %+v, want 200", quick)
		}
		if slower.status != http.StatusRequestTimeout || slow.status != http.StatusOK {
			t.Errorf("the slowest was answered %+v and the other %+v, want 408 and 200", slower, slow)
		}
	})
}

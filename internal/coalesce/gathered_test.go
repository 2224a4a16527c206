package coalesce

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a connection whose writes wait until the test lets them through.
type gate struct {
	net.Conn
	open chan struct{}

	mu     sync.Mutex
	writes [][]byte
	fail   error
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writes = append(g.writes, bytes.Clone(p))
	return len(p), g.fail
}

func (g *gate) Close() error                     { return nil }
func (g *gate) SetReadDeadline(time.Time) error  { return nil }
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

func write(t *testing.T, c *Conn, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("Write(%.20q) = %d, %v, want %d and no error", s, n, err, len(s))
	}
}

func TestWhatIsWrittenMeanwhileLeavesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		c := New(g)
		write(t, c, "first")
		synctest.Wait() // the piece is being sent
		for i := range 10 {
			write(t, c, fmt.Sprint(i))
		}
		close(g.open)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := fmt.Sprintf("%s", g.writes); got != "[first 0123456789]" {
			t.Errorf("pieces that left = %s, want [first 0123456789]", got)
		}
	})
}

func TestAnErrorIsToldByTheNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := &gate{open: make(chan struct{}), fail: broken}
		close(g.open)
		c := New(g)
		write(t, c, "lost")
		synctest.Wait()
		if _, err := c.Write([]byte("more")); !errors.Is(err, broken) {
			t.Errorf("Write after a failed one = %v, want its error", err)
		}
		if len(g.writes) != 1 {
			t.Errorf("%d pieces were sent, want none after the one that failed", len(g.writes))
		}
	})
}

func TestWritesWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		c := New(g)
		write(t, c, "on its way")
		synctest.Wait()
		write(t, c, string(make([]byte, maxPending+1)))
		done := make(chan struct{})
		go func() {
			defer close(done)
			write(t, c, "too much")
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Error("a Write beyond the limit returned before anything was sent")
		default:
		}
		close(g.open)
		<-done
		_ = c.Close()
	})
}

// TestManyWriters sends from many goroutines at once over TCP. Every piece arrives
// whole, and the pieces of one writer arrive in order.
func TestManyWriters(t *testing.T) {
	const writers, each = 16, 500
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = Listen(l)
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		there, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer there.Close()
		all, _ := io.ReadAll(there)
		got <- all
	}()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := New(here)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				write(t, c, fmt.Sprintf("%c%04d", 'a'+w, i))
			}
		})
	}
	all.Wait()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	arrived := <-got
	if len(arrived) != 5*writers*each {
		t.Fatalf("%d bytes arrived, want %d", len(arrived), 5*writers*each)
	}
	next := map[byte]int{}
	for piece := arrived; len(piece) > 0; piece = piece[5:] {
		if want := fmt.Sprintf("%04d", next[piece[0]]); string(piece[1:5]) != want {
			t.Fatalf("writer %c sent %s, want %s", piece[0], piece[1:5], want)
		}
		next[piece[0]]++
	}
}

// TestReadsAheadOfShortReads: the first of several short reads takes from the system
// everything that has arrived. A long read goes around the buffer.
func TestReadsAheadOfShortReads(t *testing.T) {
	reads := &counting{rest: bytes.Repeat([]byte("0123456789"), 1000)}
	c := New(reads)
	head := make([]byte, 5)
	for i := range 100 {
		if _, err := io.ReadFull(c, head); err != nil || string(head) != []string{"01234", "56789"}[i%2] {
			t.Fatalf("read %d = %q, %v", i, head, err)
		}
	}
	if reads.n != 1 {
		t.Errorf("100 short reads made %d system reads, want once", reads.n)
	}
	rest, err := io.ReadAll(c)
	if err != nil || len(rest) != 10_000-500 {
		t.Errorf("the rest has %d bytes, %v, want %d", len(rest), err, 10_000-500)
	}
}

type counting struct {
	net.Conn
	rest []byte
	n    int
}

func (c *counting) Read(p []byte) (int, error) {
	c.n++
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

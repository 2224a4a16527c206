package outbound

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// line is a body that arrives over a line of a given rate, a piece at a time, until it
// has all of its bytes.
type line struct {
	rate, piece, left int
}

func (l *line) Read(b []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), l.piece, l.left)
	time.Sleep(time.Duration(n) * time.Second / time.Duration(l.rate))
	l.left -= n
	return n, nil
}

func (l *line) Close() error { return nil }

// TestPace: a call lasts as long as it makes progress, and no longer than the time that
// the moved bytes allow.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name string
		line line
		ends time.Duration // after which the call is cut off, 0 if it is not
	}{
		{"10 MiB over 256 kbit/s", line{32_000, 1400, 10 << 20}, 0},
		{"10 MiB in large pieces over 256 kbit/s", line{32_000, 512 << 10, 10 << 20}, 0},
		{"10 MiB over the slowest line", line{leastRate, 1400, 10 << 20}, 0},
		{"half as slow", line{leastRate / 2, 1400, 10 << 20}, 2 * callTime},
		{"a byte a second", line{1, 1, 10 << 20}, callTime},
		{"nothing", line{1, 1000, 10 << 20}, callTime},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, p := watch(t.Context(), callTime, leastRate)
				defer p.stop()
				r := &http.Request{Body: &c.line}
				p.sending(r)
				var ended time.Duration
				began := time.Now()
				stop := context.AfterFunc(ctx, func() { ended = time.Since(began) })
				defer stop()
				_, err := io.Copy(io.Discard, r.Body)
				synctest.Wait() // for ended
				var slow net.Error
				late := errors.As(p.errorOf(errors.New("any")), &slow) && slow.Timeout()
				if (err != nil) != late || late != (c.ends > 0) || (ended-c.ends).Abs() > 5*time.Second {
					t.Errorf("the body took %v, %v; the call was cut off after %v, want %v", time.Since(began), err,
						ended, c.ends)
				}
				if late && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the error of the body is %v, want that it was too late", err)
				}
			})
		})
	}
}

// TestPaceOfABodyThatIsSentAgain: bytes that the transport reads again count as well.
func TestPaceOfABodyThatIsSentAgain(t *testing.T) {
	_, p := watch(t.Context(), callTime, leastRate)
	defer p.stop()
	r := &http.Request{Body: http.NoBody, GetBody: func() (io.ReadCloser, error) {
		return &line{1 << 30, 100, 1000}, nil
	}}
	p.sending(r)
	again, err := r.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, again); n != 1000 || err != nil || p.moved.Load() != 1000 {
		t.Errorf("sent again: %d bytes, %v, of which %d counted; want 1000", n, err, p.moved.Load())
	}
}

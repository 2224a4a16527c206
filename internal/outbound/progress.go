package outbound

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// progress bounds the time of one call by the bytes that move. A call ends when it has
// taken longer than its basic time and the time that its bytes take at the lowest rate.
// A large body may thus take as long as it needs on a slow line, but a call that moves
// few bytes gets no more time.
type progress struct {
	began time.Time
	most  time.Duration // of a call that moves no bytes
	rate  int64         // bytes that allow another second
	moved atomic.Int64
	late  atomic.Bool
	timer *time.Timer
	end   context.CancelFunc
}

// watch returns a context that ends when the call takes too long, and the progress, which
// the caller has to stop.
func watch(ctx context.Context, most time.Duration, rate int64) (context.Context, *progress) {
	p := &progress{began: time.Now(), most: most, rate: rate}
	ctx, p.end = context.WithCancel(ctx)
	const never = 1 << 62
	p.timer = time.AfterFunc(never, p.look)
	p.timer.Reset(most)
	return ctx, p
}

// look ends the call if its time is over. Otherwise it looks again when the present time
// limit ends.
func (p *progress) look() {
	earned := time.Duration(float64(p.moved.Load()) / float64(p.rate) * float64(time.Second))
	if left := p.most + earned - time.Since(p.began); left > 0 {
		p.timer.Reset(left)
		return
	}
	p.late.Store(true)
	p.end()
}

func (p *progress) stop() {
	p.timer.Stop()
	p.end()
}

// errorOf returns the error of the call. It says if the call took too long.
func (p *progress) errorOf(err error) error {
	if err != nil && err != io.EOF && p.late.Load() {
		return late{err}
	}
	return err
}

// late is the error of a call that took too long. It implements [net.Error].
type late struct{ error }

// Timeout implements net.Error.
func (late) Timeout() bool { return true }

// Temporary implements net.Error.
func (late) Temporary() bool { return true }

func (l late) Unwrap() []error { return []error{os.ErrDeadlineExceeded, l.error} }

// sending counts the bytes of the request's body that the transport reads, however often
// it starts again.
func (p *progress) sending(r *http.Request) {
	r.Body = &countedBody{r.Body, p}
	if again := r.GetBody; again != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &countedBody{body, p}, nil
		}
	}
}

// countedBody is a body of which every byte counts.
type countedBody struct {
	io.ReadCloser
	progress *progress
}

func (m *countedBody) Read(b []byte) (int, error) {
	if m.progress.late.Load() {
		return 0, late{os.ErrDeadlineExceeded}
	}
	n, err := m.ReadCloser.Read(b)
	m.progress.moved.Add(int64(n))
	return n, m.progress.errorOf(err)
}

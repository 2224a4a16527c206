package outbound

import (
	"context"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// progress bounds the time of one call by what moves: it ends when it has taken
// longer than its time and what the bytes that went and came take at the least
// rate. So a large body may take as long as it needs on a slow line, and no call
// lasts longer because little happens.
type progress struct {
	began time.Time
	most  time.Duration // of a call that moves nothing
	rate  int64         // bytes that earn a second
	moved atomic.Int64
	late  atomic.Bool
	timer *time.Timer
	end   context.CancelFunc
}

// watch returns a context that ends when the call takes too long. What it returns
// beside it has to be stopped.
func watch(ctx context.Context, most time.Duration, rate int64) (context.Context, *progress) {
	p := &progress{began: time.Now(), most: most, rate: rate}
	ctx, p.end = context.WithCancel(ctx)
	const never = 1 << 62
	p.timer = time.AfterFunc(never, p.look)
	p.timer.Reset(most)
	return ctx, p
}

// look ends the call when its time is over, and else looks again when it would be.
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

// told returns the error of the call, which says whether it took too long.
func (p *progress) told(err error) error {
	if err != nil && err != io.EOF && p.late.Load() {
		return late{err}
	}
	return err
}

// late is the error of a call that took too long. It implements net.Error.
type late struct{ error }

// Timeout implements net.Error.
func (late) Timeout() bool { return true }

// Temporary implements net.Error.
func (late) Temporary() bool { return true }

func (l late) Unwrap() []error { return []error{os.ErrDeadlineExceeded, l.error} }

// sending has what the transport takes of the request's body counted, however
// often it begins anew.
func (p *progress) sending(r *http.Request) {
	r.Body = &moving{r.Body, p}
	if again := r.GetBody; again != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := again()
			if err != nil {
				return nil, err
			}
			return &moving{body, p}, nil
		}
	}
}

// moving is a body of which every byte counts.
type moving struct {
	io.ReadCloser
	progress *progress
}

func (m *moving) Read(b []byte) (int, error) {
	if m.progress.late.Load() {
		return 0, late{os.ErrDeadlineExceeded}
	}
	n, err := m.ReadCloser.Read(b)
	m.progress.moved.Add(int64(n))
	return n, m.progress.told(err)
}

// Package lease keeps a lease of the store for as long as some work needs it.
//
// The promise: a lease that is held is renewed until it is released or lost. The holder
// learns of a loss as soon as the store reports another owner. If the store does not
// answer, the holder learns of it when the lease would have ended. The lease of a killed
// process ends by itself. See [gateway.Leases] for what a lease cannot promise.
package lease

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// Terms say which lease is wanted, and for whom.
type Terms struct {
	Leases gateway.Leases
	Name   string
	Owner  string
	Length time.Duration // the time after which the lease of a killed owner ends
	Now    func() time.Time
	Log    *slog.Logger
}

// Each returns the time between two requests for a lease: a third of its length. So a
// request may fail twice before the lease ends.
func (t Terms) Each() time.Duration { return t.Length / 3 }

// Lease is a lease that is held.
type Lease struct {
	terms Terms
	lost  chan struct{} // closed by the goroutine that renews
	stop  context.CancelFunc
	ended chan struct{} // closed when that goroutine has ended
}

// Take requests the lease once. It returns nil and no error if another owner has the
// lease. A lease that it returns is renewed until Release, also after the end of ctx.
func (t Terms) Take(ctx context.Context) (*Lease, error) {
	sure := t.read()
	held, err := t.hold(ctx)
	if err != nil || !held {
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lease{terms: t, lost: make(chan struct{}), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		if !l.renew(renewing, sure) {
			close(l.lost)
		}
	}()
	return l, nil
}

// Lost is closed when another owner has the lease, or may have it.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release ends the lease, so that another owner need not wait for its end. It works after
// the end of ctx, and after a loss. If it fails, the lease ends by itself.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	<-l.ended
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.terms.Each())
	defer cancel()
	return l.terms.Leases.Release(ctx, l.terms.Name, l.terms.Owner)
}

// renew renews the lease until ctx ends, which it reports as true, or the lease is lost.
// The lease was certainly held at the reading sure.
func (l *Lease) renew(ctx context.Context, sure reading) bool {
	tick := time.NewTicker(l.terms.Each())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-tick.C:
		}
		asked := l.terms.read()
		held, err := l.terms.hold(ctx)
		switch {
		case ctx.Err() != nil:
			return true
		case err == nil && held:
			sure = asked
		case err == nil || l.terms.read().since(sure) >= l.terms.Length:
			return false
		}
	}
}

// hold asks the store for the lease.
func (t Terms) hold(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.Each())
	defer cancel()
	err = defect.Contain(func() error {
		var err error
		now := t.Now()
		held, err = t.Leases.Hold(ctx, t.Name, t.Owner, now, now.Add(t.Length))
		return err
	})
	if err != nil {
		t.Log.Debug("a lease was requested, and the store did not answer", "lease", t.Name, "cause", err)
		return false, err
	}
	return held, nil
}

// reading is a moment by two clocks. The clock of the gateway may be set back. The other
// one may stop while the machine sleeps.
type reading struct{ gateway, process time.Time }

func (t Terms) read() reading { return reading{gateway: t.Now(), process: time.Now()} }

// since returns the time since an earlier reading, by the clock that shows more.
func (r reading) since(earlier reading) time.Duration {
	return max(r.gateway.Sub(earlier.gateway), r.process.Sub(earlier.process))
}

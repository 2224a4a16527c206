package certificate

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// lockTime is how long a lock outlives a killed gateway. A living gateway renews its
// lock every lockRenew, and a waiting one tries every lockTry.
const (
	lockTime  = 2 * time.Minute
	lockRenew = 30 * time.Second
	lockTry   = time.Second
)

// locks are leases in the store. A caller waits for one no longer than its context
// lasts. They make the storage a certmagic.Locker.
type locks struct {
	leases gateway.Leases
	now    func() time.Time

	mu   sync.Mutex
	held map[string]func(context.Context) error // by name: releases the lock
}

// Lock waits until no other caller has the lock, in this gateway or another one on
// the same store. It holds the lock until Unlock.
func (l *locks) Lock(ctx context.Context, name string) error {
	lease, owner := kind+"/"+name, rand.Text()
	for {
		held, err := l.hold(ctx, lease, owner)
		if err != nil {
			return err
		}
		if held {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockTry):
		}
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewer sync.WaitGroup
	renewer.Go(func() { l.renew(renewing, lease, owner) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]func(context.Context) error{}
	}
	l.held[name] = func(ctx context.Context) error {
		stop()
		renewer.Wait()
		return l.leases.Release(ctx, lease, owner)
	}
	return nil
}

// Unlock releases a lock.
func (l *locks) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	release, ok := l.held[name]
	delete(l.held, name)
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("the lock %q is not held here", name)
	}
	return release(ctx)
}

func (l *locks) hold(ctx context.Context, lease, owner string) (bool, error) {
	now := l.now()
	return l.leases.Hold(ctx, lease, owner, now, now.Add(lockTime))
}

// renew keeps a lock until ctx ends. If it fails, another gateway may take the lock:
// the worst result is one certificate too many.
func (l *locks) renew(ctx context.Context, lease, owner string) {
	tick := time.NewTicker(lockRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = defect.Contain(func() error {
				_, err := l.hold(ctx, lease, owner)
				return err
			})
		}
	}
}

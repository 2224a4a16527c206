package certificate

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/lease"
)

// lockTime is how long a lock outlives a killed gateway. A waiting gateway tries every
// lockTry.
const (
	lockTime = 2 * time.Minute
	lockTry  = time.Second
)

// locks are leases in the store. A caller waits for one no longer than its context
// lasts. They make the storage a certmagic.Locker. If a lock is lost, the worst result
// is one certificate too many.
type locks struct {
	leases gateway.Leases
	now    func() time.Time
	log    *slog.Logger

	mu   sync.Mutex
	held map[string]*lease.Lease // by name
}

// Lock waits until no other caller has the lock, in this gateway or another one on
// the same store. It holds the lock until Unlock.
func (l *locks) Lock(ctx context.Context, name string) error {
	terms := lease.Terms{Leases: l.leases, Name: kind + "/" + name, Owner: rand.Text(), Length: lockTime, Now: l.now,
		Log: l.log}
	for {
		held, err := terms.Take(ctx)
		if err != nil {
			return err
		}
		if held != nil {
			l.keep(name, held)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockTry):
		}
	}
}

func (l *locks) keep(name string, held *lease.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[string]*lease.Lease{}
	}
	l.held[name] = held
}

// Unlock releases a lock.
func (l *locks) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	held, ok := l.held[name]
	delete(l.held, name)
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("the lock %q is not held here", name)
	}
	return held.Release(ctx)
}

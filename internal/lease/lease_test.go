package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/lease"
)

// length is that of all leases here.
const length = 30 * time.Second

// table is a store with one lease.
type table struct {
	mu    sync.Mutex
	owner string
	until time.Time
	fault error
	panic bool
	holds int
}

func (l *table) Hold(ctx context.Context, _, owner string, now, until time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds++
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case l.panic:
		panic("a defect of the store")
	case l.fault != nil:
		return false, l.fault
	case l.owner != owner && l.owner != "" && l.until.After(now):
		return false, nil
	}
	l.owner, l.until = owner, until
	return true, nil
}

func (l *table) Release(ctx context.Context, _, owner string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.owner == owner {
		l.owner = ""
	}
	return nil
}

func (l *table) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// ends returns who has the lease, and until when.
func (l *table) ends() (owner string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner, l.until
}

func terms(l *table, owner string) lease.Terms {
	return lease.Terms{Leases: l, Name: "part", Owner: owner, Length: length, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)}
}

// take takes the lease, which must be free.
func take(t *testing.T, terms lease.Terms) *lease.Lease {
	t.Helper()
	l, err := terms.Take(t.Context())
	if l == nil || err != nil {
		t.Fatalf("take: got %v, %v, want the lease", l, err)
	}
	return l
}

func release(t *testing.T, l *lease.Lease) {
	t.Helper()
	if err := l.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
}

func lost(l *lease.Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// TestTwoOwners: the second owner has the lease after the first one released it, and not
// while the first one holds it.
func TestTwoOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &table{}
		one, two := terms(l, "one"), terms(l, "two")
		first := take(t, one)
		for range 10 {
			time.Sleep(length)
			if second, err := two.Take(t.Context()); second != nil || err != nil {
				t.Fatalf("take what another owner holds: got %v, %v, want nothing", second, err)
			}
		}
		if lost(first) {
			t.Error("the first owner lost the lease")
		}
		release(t, first)
		release(t, take(t, two))
		holds := l.holds
		time.Sleep(10 * length)
		if l.holds != holds {
			t.Errorf("after the release: %d requests, want none", l.holds-holds)
		}
	})
}

// TestExpiry: the lease of a killed owner is free after its length.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &table{owner: "killed", until: time.Now().Add(length)}
		one := terms(l, "one")
		time.Sleep(length - time.Second)
		if early, err := one.Take(t.Context()); early != nil || err != nil {
			t.Errorf("a second before its end: got %v, %v, want nothing", early, err)
		}
		time.Sleep(time.Second)
		release(t, take(t, one))
	})
}

// TestEndOfTheContext: a lease outlives the context with which it was taken, and is
// released after the end of another one.
func TestEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &table{}
		ctx, cancel := context.WithCancel(t.Context())
		held, err := terms(l, "one").Take(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * length)
		if _, until := l.ends(); lost(held) || !until.After(time.Now()) {
			t.Errorf("the lease ended at %v with the context, want it renewed", until)
		}
		err = held.Release(ctx)
		if owner, _ := l.ends(); err != nil || owner != "" {
			t.Errorf("release: got %v, and the owner is %q, want the lease to be free", err, owner)
		}
		if _, err := terms(l, "two").Take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("take after the end of the context: got %v, want its error", err)
		}
	})
}

// TestLoss: work learns that it lost its lease, in each way in which it can be lost, and
// keeps it in each way in which it cannot.
func TestLoss(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*table)
		after  time.Duration // 0 if the lease is kept
	}{
		"nothing happens":         {func(*table) {}, 0},
		"another owner has it":    {func(l *table) { l.owner, l.until = "two", time.Now().Add(time.Hour) }, length / 3},
		"the store is down":       {func(l *table) { l.fault = errors.New("down") }, length},
		"the store has a defect":  {func(l *table) { l.panic = true }, length},
		"it ended, nobody has it": {func(l *table) { l.owner = "" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &table{}
				began := time.Now()
				held := take(t, terms(l, "one"))
				l.set(func() { c.change(l) })
				select {
				case <-held.Lost():
					if after := time.Since(began); after != c.after {
						t.Errorf("lost after %v, want %v", after, c.after)
					}
				case <-time.After(10 * length):
					if c.after != 0 {
						t.Errorf("kept, want it lost after %v", c.after)
					}
				}
				l.set(func() { l.fault, l.panic = nil, false })
				release(t, held)
				if owner, _ := l.ends(); owner == "one" {
					t.Error("after the release the lease is still the owner's")
				}
			})
		})
	}
}

// TestShortOutage: a store that is down for less than a lease's length costs nobody the
// lease.
func TestShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &table{}
		held := take(t, terms(l, "one"))
		l.set(func() { l.fault = errors.New("down") })
		time.Sleep(length - time.Second)
		l.set(func() { l.fault = nil })
		time.Sleep(10 * length)
		if lost(held) {
			t.Error("the lease is lost")
		}
		release(t, held)
	})
}

// TestClock: a clock that is set costs the owner nothing while the store answers. While
// it does not, a clock that is set back does not make the lease longer.
func TestClock(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var set time.Duration
				l := &table{}
				one := terms(l, "one")
				one.Now = func() time.Time {
					mu.Lock()
					defer mu.Unlock()
					return time.Now().Add(set)
				}
				held := take(t, one)
				move := func() {
					mu.Lock()
					defer mu.Unlock()
					set += by
				}
				move()
				time.Sleep(10 * length)
				if lost(held) {
					t.Fatal("lost while the store answers")
				}
				l.set(func() { l.fault = errors.New("down") })
				move()
				time.Sleep(length + time.Second)
				if !lost(held) {
					t.Errorf("%v after the store went down: kept, want it lost", length)
				}
				release(t, held)
			})
		})
	}
}

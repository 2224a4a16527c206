package app

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

// leases is a store that only answers requests for leases.
type leases struct {
	mu    sync.Mutex
	owner string
	until time.Time
	down  bool
}

var errDown = errors.New("down")

func (l *leases) Hold(_ context.Context, _, owner string, now, until time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return false, errDown
	}
	if l.owner != owner && l.owner != "" && l.until.After(now) {
		return false, nil
	}
	l.owner, l.until = owner, until
	return true, nil
}

func (l *leases) Release(_ context.Context, _, owner string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owner == owner {
		l.owner = ""
	}
	return nil
}

func (l *leases) set(owner string, until time.Time, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owner, l.until, l.down = owner, until, down
}

// part records the times between which it ran.
type part struct {
	mu      sync.Mutex
	began   []time.Duration
	ended   []time.Duration
	started time.Time
}

func (p *part) run(ctx context.Context) error {
	p.note(&p.began)
	<-ctx.Done()
	p.note(&p.ended)
	return nil
}

func (p *part) note(list *[]time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, time.Since(p.started))
}

func (p *part) was(t *testing.T, what string, list []time.Duration, want ...time.Duration) {
	t.Helper()
	if len(list) != len(want) {
		t.Errorf("the part %s at %v, want %v", what, list, want)
		return
	}
	for i := range want {
		if list[i] != want[i] {
			t.Errorf("the part %s at %v, want %v", what, list, want)
		}
	}
}

func newAlone(l *leases, owner string) (*alone, *part) {
	p := &part{started: time.Now()}
	return &alone{run: p.run, lease: lease.Terms{Leases: l, Name: "part", Owner: owner, Length: 30 * time.Second,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)}}, p
}

func TestAloneRunsInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		one, first := newAlone(l, "one")
		two, second := newAlone(l, "two")
		ctxOne, stopOne := context.WithTimeout(t.Context(), 65*time.Second)
		defer stopOne()
		ctxTwo, stopTwo := context.WithTimeout(t.Context(), 100*time.Second)
		defer stopTwo()
		var both sync.WaitGroup
		both.Go(func() { _ = one.Run(ctxOne) })
		synctest.Wait()
		both.Go(func() { _ = two.Run(ctxTwo) })
		both.Wait()
		first.was(t, "of the first began", first.began, 0)
		first.was(t, "of the first ended", first.ended, 65*time.Second)
		second.was(t, "of the second began", second.began, 70*time.Second)
		second.was(t, "of the second ended", second.ended, 100*time.Second)
	})
}

// TestAloneTakesOver from a gateway that was killed, when its lease ends.
func TestAloneTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		l.set("killed", time.Now().Add(25*time.Second), false)
		one, p := newAlone(l, "one")
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := one.Run(ctx); err != nil {
			t.Errorf("Run = %v, want none", err)
		}
		p.was(t, "began", p.began, 30*time.Second)
	})
}

// TestAloneStopsWhenItCannotBeSure: the part stops while it is uncertain whether the
// gateway holds the lease, and goes on when it does again.
func TestAloneStopsWhenItCannotBeSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		one, p := newAlone(l, "one")
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		time.AfterFunc(15*time.Second, func() { l.set("one", time.Now(), true) })
		time.AfterFunc(65*time.Second, func() { l.set("", time.Now(), false) })
		if err := one.Run(ctx); err != nil {
			t.Errorf("Run = %v, want none", err)
		}
		p.was(t, "began", p.began, 0, 70*time.Second)
		p.was(t, "ended", p.ended, 40*time.Second, 2*time.Minute)
	})
}

// TestAloneStopsWhenAnotherHasIt, for example after the process was suspended for a
// while.
func TestAloneStopsWhenAnotherHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		one, p := newAlone(l, "one")
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		time.AfterFunc(15*time.Second, func() { l.set("two", time.Now().Add(time.Hour), false) })
		if err := one.Run(ctx); err != nil {
			t.Errorf("Run = %v, want none", err)
		}
		p.was(t, "ended", p.ended, 20*time.Second)
		p.was(t, "began", p.began, 0)
	})
}

// TestAloneEndsWithItsPart when the part has nothing more to do.
func TestAloneEndsWithItsPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		one, _ := newAlone(l, "one")
		wrong := errors.New("wrong")
		one.run = func(context.Context) error { return wrong }
		if err := one.Run(t.Context()); !errors.Is(err, wrong) {
			t.Errorf("Run = %v, want %v", err, wrong)
		}
		if l.owner != "" {
			t.Errorf("the lease is %s's, want it to be free", l.owner)
		}
	})
}

package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// alone runs a part of the gateway in only one of the gateways on a store. When that
// gateway dies, another begins the part after the lease has ended. For a moment two may
// run, for example after a process was suspended for longer than the lease and goes on.
// That does no harm, because such a part works in separate transactions.
type alone struct {
	leases gateway.Leases
	name   string
	owner  string        // identifies this process
	length time.Duration // of the lease
	run    func(context.Context) error
	now    func() time.Time
	log    *slog.Logger
}

// alone returns the part of that name so that it runs in a single gateway.
func (a *App) alone(name string, run func(context.Context) error) *alone {
	return &alone{
		leases: a.store, name: name, owner: a.process, length: a.cfg.Queue.Lease / 4,
		run: run, now: a.store.Now, log: a.log,
	}
}

// Run waits for the lease and runs the part while it is held, until ctx ends or the
// part ends.
func (a *alone) Run(ctx context.Context) error {
	ask := time.NewTimer(0)
	defer ask.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ask.C:
		}
		if held, err := a.hold(ctx); held && err == nil {
			done, err := a.while(ctx)
			if done || err != nil {
				return err
			}
		}
		ask.Reset(a.length / 3)
	}
}

// while runs the part until it ends, which done reports, or until the lease is lost.
func (a *alone) while(ctx context.Context) (done bool, err error) {
	held, lose := context.WithCancel(ctx)
	defer lose()
	ended := make(chan error, 1)
	go func() { ended <- defect.Contain(func() error { return a.run(held) }) }()
	tick := time.NewTicker(a.length / 3)
	defer tick.Stop()
	for sure := a.now(); ; { // the last time at which the lease was certainly held
		select {
		case err := <-ended:
			a.release(ctx)
			return true, err
		case <-tick.C:
		}
		asked := a.now()
		mine, err := a.hold(held)
		switch {
		case mine && err == nil:
			sure = asked
		case ctx.Err() != nil: // the part ends as well
		case err == nil || a.now().Sub(sure) >= a.length:
			lose()
			return false, <-ended
		}
	}
}

// hold asks for the lease.
func (a *alone) hold(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, a.length/3)
	defer cancel()
	now := a.now()
	held, err := a.leases.Hold(ctx, a.name, a.owner, now, now.Add(a.length))
	if err != nil {
		a.log.Debug("the store did not say which gateway runs a part", "part", a.name, "cause", err)
	}
	return held, err
}

// release gives up the lease, so that another gateway can begin at once. It runs while
// the gateway ends and ignores an error, because the lease ends by itself.
func (a *alone) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.length/3)
	defer cancel()
	_ = a.leases.Release(ctx, a.name, a.owner)
}

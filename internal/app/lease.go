package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// alone runs a part of the gateway in one only of the gateways on a store. When
// that one dies, another goes on after the lease's length. For a moment two may
// run, as after a process was stopped for longer than that and goes on: such a
// part does no harm then, because what it does is one transaction after another.
type alone struct {
	leases gateway.Leases
	name   string
	owner  string        // of this process
	length time.Duration // of the lease
	run    func(context.Context) error
	now    func() time.Time
	log    *slog.Logger
}

// alone returns the part of that name as one that runs in a single gateway.
func (a *App) alone(name string, run func(context.Context) error) *alone {
	return &alone{
		leases: a.store, name: name, owner: a.process, length: a.cfg.Queue.Lease / 4,
		run: run, now: a.store.Now, log: a.log,
	}
}

// Run waits for the lease and runs the part while it is held, until ctx ends or
// the part does.
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

// while runs the part until it ends, which done tells, or the lease is lost.
func (a *alone) while(ctx context.Context) (done bool, err error) {
	held, lose := context.WithCancel(ctx)
	defer lose()
	ended := make(chan error, 1)
	go func() { ended <- defect.Contain(func() error { return a.run(held) }) }()
	tick := time.NewTicker(a.length / 3)
	defer tick.Stop()
	for sure := a.now(); ; { // when the lease was certainly held
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
		case ctx.Err() != nil: // and the part ends
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
		a.log.Debug("nobody says which gateway has a part", "part", a.name, "cause", err)
	}
	return held, err
}

// release lets another begin at once. It is asked for while the gateway ends, so
// an error is of no use: the lease ends by itself.
func (a *alone) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.length/3)
	defer cancel()
	_ = a.leases.Release(ctx, a.name, a.owner)
}

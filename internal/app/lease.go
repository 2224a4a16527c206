package app

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/lease"
)

// alone runs a part of the gateway in only one of the gateways on a store. When that
// gateway dies, another begins the part after the lease has ended. For a moment two may
// run, for example after a process was suspended for longer than the lease and goes on.
// That does no harm, because such a part works in separate transactions.
type alone struct {
	lease lease.Terms
	run   func(context.Context) error
}

// alone returns the part of that name so that it runs in a single gateway.
func (a *App) alone(name string, run func(context.Context) error) *alone {
	return &alone{run: run, lease: lease.Terms{
		Leases: a.store, Name: name, Owner: a.process, Length: a.cfg.Queue.Lease / 4, Now: a.store.Now, Log: a.log,
	}}
}

// Run waits for the lease and runs the part while it is held, until ctx ends or the
// part ends.
func (a *alone) Run(ctx context.Context) error {
	for {
		if held, err := a.lease.Take(ctx); err == nil && held != nil {
			done, err := a.while(ctx, held)
			if done || err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(a.lease.Each()):
		}
	}
}

// while runs the part until it ends, which done reports, or until the lease is lost.
func (a *alone) while(ctx context.Context, held *lease.Lease) (done bool, err error) {
	ctx, lose := context.WithCancel(ctx)
	defer lose()
	ended := make(chan error, 1)
	go func() { ended <- defect.Contain(func() error { return a.run(ctx) }) }()
	select {
	case err := <-ended:
		// Another gateway can begin at once. If this fails, the lease ends by itself.
		_ = held.Release(ctx)
		return true, err
	case <-held.Lost():
		lose()
		return false, <-ended
	}
}

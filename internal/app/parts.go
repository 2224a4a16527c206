package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
)

// worker is a part of the gateway that works by itself until its context ends.
type worker struct {
	run   func(context.Context) error
	vital bool // the gateway ends when this part ends
}

// parts returns the parts of the gateway that work by themselves.
func (a *App) parts() map[string]worker {
	parts := map[string]worker{
		"clock":  {run: (&watchman{store: a.store, log: a.log}).Run},
		"claim":  {run: a.watchClaim, vital: true},
		"purge":  {run: a.alone("purge", a.newPurger().Run).Run},
		"expiry": {run: a.alone("expiry", a.newExpiry().Run).Run},
		"search": {run: a.alone("search", (&indexer{store: a.store, log: a.log}).Run).Run},
		"queue":  {run: a.queue.Run, vital: true},
		"limits": {run: a.limits.Run},
		"held":   {run: a.held.Run},
	}
	if a.keys != nil {
		parts["keys"] = worker{run: (&refresher{keys: a.keys, log: a.log}).Run}
	}
	if a.certificate != nil {
		parts["certificate"] = worker{run: a.certificate.Run}
	}
	if a.challenges != nil {
		parts["challenges"] = worker{run: a.challenges.Run}
	}
	if a.echo != nil {
		parts["echo"] = worker{run: a.alone("echo", a.echo.Run).Run}
	}
	if a.receipts != nil {
		parts["receipts"] = worker{run: a.alone("receipts", a.receipts.Run).Run}
	}
	return parts
}

// keep runs a part until ctx ends. After a defect it starts a part again, unless the
// part is vital. When a vital part ends by itself, so does the gateway. A supervisor
// starts it anew, with everything that was answered.
func (a *App) keep(ctx context.Context, name string, p worker, ended chan<- error) {
	run := func() error { return p.run(ctx) }
	var err error
	if p.vital {
		err = defect.Contain(run)
	} else {
		err = defect.Keep(run, func(d *defect.Error) { a.metDefect(name, d) })
	}
	var met *defect.Error
	if errors.As(err, &met) {
		a.metDefect(name, met)
	}
	switch {
	case err == nil:
	case p.vital:
		ended <- err
	default:
		a.log.Error("a part of the gateway ended", "part", name, "cause", err)
	}
}

func (a *App) metDefect(part string, d *defect.Error) {
	a.log.Error("a part of the gateway failed because of a defect in this program",
		"part", part, "cause", d.Error(), "stack", string(d.Stack))
}

// storeFailed returns the reason for which the gateway ends when its store is no longer
// to be trusted.
func (a *App) storeFailed() error {
	why := a.store.Failure()
	a.log.Error("the store failed", "data", a.cfg.DataDir, "cause", why)
	if errors.Is(why, gateway.ErrTaken) {
		return fmt.Errorf("%w; nothing more is accepted, so the gateway stops", why)
	}
	return errors.New("the disk reported an error; nothing more is written, so the gateway stops")
}

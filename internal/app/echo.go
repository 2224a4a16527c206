package app

import (
	"context"

	"github.com/amtp-go/amtp/internal/automail"
	"github.com/amtp-go/amtp/internal/intake"
)

// openEcho registers the agent that answers by itself, or removes it, as the operator
// configured.
func (a *App) openEcho(in *intake.Intake) error {
	e := &automail.Echo{Store: a.store, Acceptor: in, Domain: a.cfg.Server.Domain, Now: a.store.Now, Log: a.log}
	if !a.cfg.Echo.Enabled {
		return e.Close(context.Background())
	}
	if err := e.Open(context.Background()); err != nil {
		return err
	}
	a.echo = e
	return nil
}

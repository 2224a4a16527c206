package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// readdress gives the agents of localhost their addresses in the domain of the
// gateway, at every start: whoever registered before there was a domain is known
// by it from now on. docs/decisions/013
func (a *App) readdress() error {
	if !a.cfg.Federated() {
		return nil
	}
	done, err := a.store.Readdress(context.Background(), gateway.Home, a.cfg.Server.Domain)
	if err != nil {
		return fmt.Errorf("give the agents of %s their addresses in %s: %w", gateway.Home, a.cfg.Server.Domain, err)
	}
	for _, address := range done.Moved {
		a.log.Info("an agent has another address; the former one stays an alias", "agent", address.String())
	}
	for _, address := range done.Stayed {
		a.log.Warn("an agent keeps its address, because its name is taken in the domain; nothing reaches it there", "agent", address.String())
	}
	return nil
}

// PrepareDomain makes a data directory ready for the domain of the configuration,
// without a gateway: it makes the first signing key and gives the agents of
// localhost their addresses in the domain. No gateway may run there. Done again
// it changes nothing. When a name is taken in the domain nothing is done, and the
// error is an [*amtp.Error].
func PrepareDomain(ctx context.Context, cfg config.Config) (done amtp.DomainPlan, err error) {
	if !cfg.Federated() {
		return done, ErrNoDomain
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return done, fmt.Errorf("make the data directory: %w", err)
	}
	claim, err := datadir.Acquire(cfg.DataDir)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, claim.Release()) }()
	s, err := sqlite.Open(sqlite.Options{Dir: cfg.DataDir})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	plan, refused := agent.Plan(s.Agents(), gateway.Home, cfg.Server.Domain)
	if refused != nil {
		return plan, refused
	}
	ring := &access.Keyring{Store: s, Domain: cfg.Server.Domain, Now: time.Now}
	if err := loadKeys(cfg.DataDir, ring); err != nil {
		return plan, err
	}
	if plan.Keys, err = ring.Keys(ctx); err != nil {
		return plan, err
	}
	_, err = s.Readdress(ctx, gateway.Home, cfg.Server.Domain)
	return plan, err
}

// PublishedKeys returns the signing keys in the data directory of a gateway that
// may be running, as far as there are any.
func PublishedKeys(ctx context.Context, cfg config.Config) ([]amtp.SigningKey, error) {
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); err != nil {
		return nil, nil // nothing was started here yet
	}
	return signingKeys(ctx, cfg)
}

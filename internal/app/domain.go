package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/agent"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// readdress gives the agents their addresses in the domain of the gateway, at
// every start: whoever registered before there was a domain is known by it from
// now on. docs/decisions/013
func (a *App) readdress() error {
	if !a.cfg.Federated() {
		return nil
	}
	to := a.cfg.Server.Domain
	for _, from := range otherDomains(a.store.Agents(), to) {
		done, err := a.store.Readdress(context.Background(), from, to)
		if err != nil {
			return fmt.Errorf("give the agents of %s their addresses in %s: %w", from, to, err)
		}
		for _, address := range done.Moved {
			a.log.Info("an agent has another address", "agent", address.String(), "before", string(from))
		}
		for _, address := range done.Stayed {
			a.log.Warn("an agent keeps its address, because its name is taken in the domain; nothing reaches it there", "agent", address.String())
		}
	}
	return nil
}

// otherDomains returns the domains of agents beside the one.
func otherDomains(agents []*gateway.Agent, but amtp.Domain) []amtp.Domain {
	var list []amtp.Domain
	for _, a := range agents {
		if d := a.Address.Domain(); d != but && !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list
}

// PrepareDomain makes the first signing key for the domain of the configuration
// in a data directory in which no gateway runs, and says what the next start in
// that domain does with the agents there. Done again it changes nothing. When a
// name is taken in the domain nothing is done, and the error is an [*amtp.Error].
func PrepareDomain(ctx context.Context, cfg config.Config) (plan amtp.DomainPlan, err error) {
	if !cfg.Federated() {
		return plan, ErrNoDomain
	}
	s, release, err := openFirst(cfg)
	if err != nil {
		return plan, err
	}
	defer func() { err = errors.Join(err, release()) }()
	plan, refused := agent.Plan(s.Agents(), cfg.Server.Domain)
	if refused != nil {
		return plan, refused
	}
	ring := &access.Keyring{Store: s, Domain: cfg.Server.Domain, Now: time.Now}
	if err := loadKeys(cfg, ring); err != nil {
		return plan, err
	}
	plan.Keys, err = ring.Keys(ctx)
	return plan, err
}

// SigningKeys returns the signing keys in the store of a gateway, which may be
// running, as far as there are any.
func SigningKeys(ctx context.Context, cfg config.Config) ([]amtp.SigningKey, error) {
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); !shared(cfg) && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing was started here yet
	}
	return signingKeys(ctx, cfg)
}

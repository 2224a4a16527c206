// Package operate does an operator's work on the data of a gateway without its help:
// backup, restore, check, move to another store, new keys, a future domain. It works
// from the configuration of the gateway, on a data directory or a PostgreSQL.
//
// It opens store, seal and keys by the same functions as the gateway itself, in package
// app. An operation that must not run beside a gateway claims the data directory first,
// and is refused while a gateway holds it. After an interruption or a crash, either
// nothing has changed or a second call completes the operation.
package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// Shared reports whether other gateways may be on the same store.
func Shared(cfg config.Config) bool { return cfg.Database.URL != "" }

// CheckLink refuses a database on another machine whose certificate would not be
// verified, unless the configuration allows that.
func CheckLink(cfg config.Config) error {
	if !Shared(cfg) || cfg.Database.Unverified {
		return nil
	}
	err := postgres.Verified(string(cfg.Database.URL))
	if unverified := new(postgres.UnverifiedError); errors.As(err, &unverified) {
		return fmt.Errorf("%w; AMTP_DATABASE_UNVERIFIED=true allows it all the same", unverified)
	}
	return nil // the code that opens an address reports one that cannot be read
}

// OpenStore opens the store that the configuration names.
func OpenStore(cfg config.Config, log *slog.Logger, clock wallclock.Clock) (gateway.Store, error) {
	if err := CheckLink(cfg); err != nil {
		return nil, err
	}
	if Shared(cfg) {
		s, err := postgres.Open(context.Background(), postgres.Options{URL: string(cfg.Database.URL), Log: log,
			Clock: clock})
		if err != nil {
			return nil, err // and no nil pointer in the interface
		}
		if err := refuseHalf(context.Background(), s); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	}
	if err := refuseMoved(cfg.DataDir); err != nil {
		return nil, err
	}
	s, err := sqlite.Open(sqlite.Options{Dir: cfg.DataDir, Log: log, Watch: true, Clock: clock})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openAlone opens the store for a command that must be alone on it. That is certain
// only for a data directory, which it claims; a shared store may have other users.
func openAlone(cfg config.Config) (gateway.Store, func() error, error) {
	log := slog.New(slog.DiscardHandler)
	if Shared(cfg) {
		s, err := OpenStore(cfg, log, wallclock.Clock{})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	return openClaimed(cfg)
}

// openClaimed claims the data directory and opens the store in it.
func openClaimed(cfg config.Config) (gateway.Store, func() error, error) {
	claim, err := datadir.Acquire(cfg.DataDir)
	if err != nil {
		return nil, nil, err
	}
	s, err := OpenStore(cfg, slog.New(slog.DiscardHandler), wallclock.Clock{})
	if err != nil {
		return nil, nil, errors.Join(err, claim.Release())
	}
	return s, func() error { return errors.Join(s.Close(), claim.Release()) }, nil
}

// openFirst is openAlone for a command that may be the first to run, and then makes the
// store.
func openFirst(cfg config.Config) (gateway.Store, func() error, error) {
	if Shared(cfg) {
		return openAlone(cfg)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	return openClaimed(cfg)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// shared reports whether other gateways may be on the same store.
func shared(cfg config.Config) bool { return cfg.Database.URL != "" }

// CheckLink refuses a database on another machine whose certificate would not be
// verified, unless the configuration says that this is meant.
func CheckLink(cfg config.Config) error {
	if !shared(cfg) || cfg.Database.Unverified {
		return nil
	}
	err := postgres.Verified(string(cfg.Database.URL))
	if unverified := new(postgres.UnverifiedError); errors.As(err, &unverified) {
		return fmt.Errorf("%w; AMTP_DATABASE_UNVERIFIED=true allows it all the same", unverified)
	}
	return nil // an address that cannot be read is named by who opens it
}

// openStore opens the store that the configuration names.
func openStore(cfg config.Config, log *slog.Logger, clock wallclock.Clock) (gateway.Store, error) {
	if err := CheckLink(cfg); err != nil {
		return nil, err
	}
	if shared(cfg) {
		s, err := postgres.Open(context.Background(), postgres.Options{URL: string(cfg.Database.URL), Log: log,
			Clock: clock})
		if err != nil {
			return nil, err // and no pointer to nothing
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

// openAlone opens the store for a command that is the only one on it, as far as
// that can be told: the data directory is claimed, a shared store may have others.
func openAlone(cfg config.Config) (gateway.Store, func() error, error) {
	log := slog.New(slog.DiscardHandler)
	if shared(cfg) {
		s, err := openStore(cfg, log, wallclock.Clock{})
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
	s, err := openStore(cfg, slog.New(slog.DiscardHandler), wallclock.Clock{})
	if err != nil {
		return nil, nil, errors.Join(err, claim.Release())
	}
	return s, func() error { return errors.Join(s.Close(), claim.Release()) }, nil
}

// openFirst is openAlone for who may be the first, and then makes the store.
func openFirst(cfg config.Config) (gateway.Store, func() error, error) {
	if shared(cfg) {
		return openAlone(cfg)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	return openClaimed(cfg)
}

// claimDir makes the data directory and claims it for this process. A gateway
// whose data is elsewhere, and whose seal key too, does without one where none
// can be made.
func (a *App) claimDir() (err error) {
	optional := shared(a.cfg) && a.cfg.SealKey != ""
	if a.cfg.DataDir == "" && optional {
		return nil
	}
	err = os.MkdirAll(a.cfg.DataDir, 0o700)
	if err == nil {
		if err := a.safe(); err != nil {
			return err
		}
		a.claim, err = datadir.Acquire(a.cfg.DataDir)
	} else {
		err = fmt.Errorf("the data directory cannot be made: %w", err)
	}
	if optional && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
		a.log.Info("there is no data directory, and none is needed", "data", a.cfg.DataDir, "cause", err)
		return nil
	}
	return err
}

// safe refuses a data directory into which others may write, unless the operator said
// that nobody else gets there.
func (a *App) safe() error {
	err := datadir.Safe(a.cfg.DataDir)
	if open := new(datadir.OpenError); errors.As(err, &open) && a.cfg.DataDirOpen {
		a.log.Warn("the data directory is not the gateway's alone, which data_dir_open allows", "why", open)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the data directory is not the gateway's alone: %w", err)
	}
	return nil
}

package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/access"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// What the commands about signing keys are refused for.
var (
	// ErrSealLost means that the key is missing, or is another one, with which
	// the signing keys in the database were sealed.
	ErrSealLost = errors.New("put back the one that belongs to this database, or make new signing keys: amtp keys reset")
	// ErrNothingLost means that a reset would throw away keys that work.
	ErrNothingLost = access.ErrNothingLost
	// ErrNoDomain means that there is nobody to sign for.
	ErrNoDomain = errors.New("this gateway has no domain of its own, so it signs nothing; name it as for amtp serve, with --domain or AMTP_DOMAIN")
)

// loadKeys gives the ring the seal of the data directory and has it read its
// keys. The first start makes both. Where keys were made and the seal is lost it
// makes neither: the operator may have the right one elsewhere.
func loadKeys(dir string, ring *access.Keyring) error {
	ctx, name := context.Background(), filepath.Join(dir, datadir.SealKeyFile)
	made, err := ring.Made(ctx)
	if err != nil {
		return err
	}
	if _, err := os.Stat(name); made && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing, and only it opens the signing keys of this database; %w", name, ErrSealLost)
	}
	if ring.Seal, err = openSeal(name); err != nil {
		return err
	}
	err = ring.Load(ctx)
	if errors.Is(err, gateway.ErrSealed) {
		return fmt.Errorf("%s does not open the signing keys of this database; %w", name, ErrSealLost)
	}
	return err
}

// openSeal reads the key that opens the sealed secrets of a directory, and makes
// it when there is none. It is not part of a backup.
func openSeal(name string) (gateway.Seal, error) {
	key, err := os.ReadFile(name)
	switch {
	case err == nil && len(key) != gateway.SealKeySize:
		return gateway.Seal{}, fmt.Errorf("%s has %d bytes and not %d, so it is no seal key; %w", name, len(key), gateway.SealKeySize, ErrSealLost)
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, gateway.SealKeySize)
		rand.Read(key) // never fails: it ends the program instead
		err = writePrivate(name, key)
	}
	if err != nil {
		return gateway.Seal{}, fmt.Errorf("read the seal key: %w", err)
	}
	return gateway.NewSeal(key)
}

// KeysReset says what ResetKeys did.
type KeysReset struct {
	Key   amtp.SigningKey `json:"key"`             // signs from now on
	Aside string          `json:"aside,omitempty"` // where a file went that was no seal key
}

// ResetKeys gives up the signing keys in a data directory that nothing opens any
// more, and makes a new one. No gateway may run there.
func ResetKeys(ctx context.Context, cfg config.Config) (done KeysReset, err error) {
	if !cfg.Federated() {
		return done, ErrNoDomain
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, sqlite.FileName)); errors.Is(err, fs.ErrNotExist) {
		return done, fmt.Errorf("%w: %w", ErrNoDatabase, err)
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
	name := filepath.Join(cfg.DataDir, datadir.SealKeyFile)
	seal, err := openSeal(name)
	if errors.Is(err, ErrSealLost) {
		done.Aside = name + ".before-reset-" + time.Now().UTC().Format("20060102T150405Z")
		if err := os.Rename(name, done.Aside); err != nil {
			return done, err
		}
		seal, err = openSeal(name)
	}
	if err != nil {
		return done, err
	}
	ring := &access.Keyring{Store: s, Seal: seal, Domain: cfg.Server.Domain, Now: time.Now}
	done.Key, err = ring.Reset(ctx)
	return done, err
}

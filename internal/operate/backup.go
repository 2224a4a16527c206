package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// The reasons for which a command that works beside a gateway is refused.
var (
	ErrOccupied   = sqlite.ErrOccupied
	ErrNoDatabase = sqlite.ErrNoDatabase
	ErrUnsound    = sqlite.ErrUnsound
	ErrNothing    = postgres.ErrNoDatabase
	ErrServed     = postgres.ErrServed
	ErrOwnFile    = datadir.ErrOwn
	ErrJournal    = sqlite.ErrJournal
)

// DatabaseFile is the name of SQLite's database in a data directory.
const DatabaseFile = sqlite.FileName

// Backup says what a backup contains. The data directory has a record of the last one.
type Backup struct {
	File string    `json:"file"`
	At   time.Time `json:"at"`
	Size int64     `json:"bytes"`
	sqlite.Facts
}

const lastBackup = "backup.json"

// MakeBackup copies the database in dir to a file. The copy is whole and verified, or
// there is none. A gateway may be running.
func MakeBackup(ctx context.Context, dir, file string, replace bool) (b Backup, err error) {
	if b.File, err = filepath.Abs(file); err != nil {
		return b, err
	}
	if err := datadir.Foreign(file); err != nil {
		return b, err
	}
	b.At = time.Now().UTC().Truncate(time.Second)
	if b.Facts, err = sqlite.Backup(ctx, dir, b.File, replace); err != nil {
		return b, err
	}
	info, err := os.Stat(b.File)
	if err != nil {
		return b, err
	}
	b.Size = info.Size()
	return b, recordBackup(dir, b)
}

// recordBackup records the backup for a later check.
func recordBackup(dir string, b Backup) error {
	doc, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := managedfile.Replace(filepath.Join(dir, lastBackup), append(doc, '\n')); err != nil {
		return fmt.Errorf("the backup is made, but not noted for amtp check: %w", err)
	}
	return nil
}

// Restored says what RestoreBackup did.
type Restored = sqlite.Restored

// RestoreBackup makes a backup the database in dir, in which no gateway may run. The
// next gateway there starts paused. An existing database is an error unless replace is
// set; then it is moved aside.
func RestoreBackup(ctx context.Context, dir, file string, replace bool) (Restored, error) {
	if _, err := os.Stat(file); err != nil {
		return Restored{}, err // first, so that no directory is made for nothing
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Restored{}, err
	}
	claim, err := datadir.Acquire(dir)
	if err != nil {
		return Restored{}, err
	}
	done, err := sqlite.Restore(ctx, dir, file, replace, time.Now())
	return done, errors.Join(err, claim.Release())
}

// RestoredDatabase says what RestoreDatabase found.
type RestoredDatabase = postgres.Restored

// RestoreDatabase prepares a PostgreSQL that was restored to an earlier moment for
// gateways, of which none may be connected. They start paused.
func RestoreDatabase(ctx context.Context, at config.DSN) (RestoredDatabase, error) {
	return postgres.Restore(ctx, string(at))
}

// Resume ends the pause of a restored store on which no gateway runs; a running gateway
// is asked to do it instead. It reports whether the store was paused.
func Resume(ctx context.Context, cfg config.Config) (was bool, err error) {
	s, release, err := openAlone(cfg)
	if err != nil {
		return false, err
	}
	was = !s.Paused().IsZero()
	return was, errors.Join(s.Resume(ctx), release())
}

// Schema is the number of the database's schema in this release.
func Schema() int64 { return sqlite.NewestSchema() }

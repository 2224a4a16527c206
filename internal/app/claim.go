package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/operate"
)

// How often the gateway checks that the files in the data directory are still its own.
// The key files, which it reads only at its next start, are checked less often.
const (
	claimEvery = 500 * time.Millisecond
	keysEach   = 20 // checks
)

// claimDir makes the data directory and claims it for this process. A gateway with its
// data and its seal key elsewhere runs without a data directory where none can be made.
func (a *App) claimDir() (err error) {
	optional := operate.Shared(a.cfg) && a.cfg.SealKey != ""
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

// safe refuses a data directory into which other users may write, unless the operator
// said that no other user can reach it.
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

// watchClaim returns the reason when the data directory is no longer this gateway's:
// its lock was deleted, or is another file. Another process may have the directory
// then. It ends with ctx.
func (a *App) watchClaim(ctx context.Context) error {
	if a.claim == nil {
		return nil
	}
	keys := a.keyFiles()
	tick := time.NewTicker(claimEvery)
	defer tick.Stop()
	for looks := 1; ; looks++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if why := a.claim.Lost(); why != nil {
			a.log.Error("the data directory was taken from the gateway", "data", a.cfg.DataDir, "cause", why)
			return fmt.Errorf("%w: %w; another process may use the directory now, so the gateway stops",
				gateway.ErrTaken, why)
		}
		a.keepRecord()
		for i := range keys {
			if looks%keysEach == 0 {
				keys[i].look(a)
			}
		}
	}
}

// keepRecord puts back the note for the commands on this machine. The note gets the
// time at which it was first made, because the gateway read its files then.
func (a *App) keepRecord() {
	if a.recorded == (datadir.Running{}) || datadir.Recorded(a.cfg.DataDir, a.recorded) {
		return
	}
	if err := datadir.Record(a.cfg.DataDir, a.recorded); err != nil {
		a.log.Debug("the note for the commands on this machine cannot be put back", "cause", err)
		return
	}
	_ = os.Chtimes(filepath.Join(a.cfg.DataDir, datadir.GatewayFile), a.began, a.began) // the time is a hint only
	a.log.Warn("the note for the commands on this machine was gone and was put back", "file", datadir.GatewayFile)
}

// keyFile is a file that the gateway read at its start and will read at its next one.
type keyFile struct {
	name string
	sum  [sha256.Size]byte
	told bool
}

// keyFiles returns the files with keys: the seal key and the admin key.
func (a *App) keyFiles() (list []keyFile) {
	for _, name := range []string{operate.SealFile(a.cfg), filepath.Join(a.cfg.DataDir, datadir.AdminKeyFile)} {
		if content, err := os.ReadFile(name); err == nil {
			list = append(list, keyFile{name: name, sum: sha256.Sum256(content)})
		}
	}
	return list
}

// look logs once that the file is gone or changed. The gateway goes on with the key
// that it read, but its next start cannot.
func (k *keyFile) look(a *App) {
	content, err := os.ReadFile(k.name)
	changed := err != nil || sha256.Sum256(content) != k.sum
	if changed && !k.told {
		a.log.Error("a key file was deleted or changed; the gateway goes on with its key, but the next start needs the file: put it back",
			"file", k.name)
	}
	k.told = changed
}

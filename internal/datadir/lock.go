package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp/internal/filelock"
)

// Claim is a process's hold on a data directory. The operating system ends it when the
// process ends, in whatever way.
type Claim struct {
	file *os.File
	name string // the name under which file was opened
}

// lockFile is the file that a claim locks. The store in the directory locks DatabaseFile as
// well: each keeps a second process off when the other file is gone.
const (
	lockFile     = "amtp.lock"
	DatabaseFile = "amtp.db"
)

// A command that asks whether the directory is claimed blocks a claim for an instant.
// So a refusal is final only after a few tries.
const (
	claimTries = 5
	claimPause = 20 * time.Millisecond
)

// errMoved means that the lock file was deleted or replaced just now.
var errMoved = errors.New("the lock file is another one meanwhile")

// Acquire claims the directory, or says which process has it. When it returns, the note of
// a gateway that crashed is gone: until [Record] the directory names no address.
func Acquire(dir string) (*Claim, error) {
	for try := 1; ; try++ {
		c, err := attempt(dir)
		taken := errors.Is(err, filelock.ErrLocked)
		switch {
		case err == nil:
			return c, nil
		case (taken || errors.Is(err, errMoved)) && try < claimTries:
			time.Sleep(claimPause)
		case taken:
			return nil,
				fmt.Errorf("the data directory %s is in use by %s. Stop that gateway first, or choose another directory with --data-dir",
					dir, holder(dir))
		default:
			return nil, fmt.Errorf("claim the data directory: %w", err)
		}
	}
}

// attempt locks the file of that name, checks that no other process has the database,
// and removes the record of a crashed gateway.
func attempt(dir string) (*Claim, error) {
	name := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	c := &Claim{f, name}
	if err = filelock.Exclusively(f); err == nil && c.Lost() != nil {
		err = errMoved
	}
	if err == nil {
		err = databaseFree(filepath.Join(dir, DatabaseFile))
	}
	if err == nil {
		if err = os.Remove(filepath.Join(dir, GatewayFile)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// databaseFree returns filelock.ErrLocked while another process has the database.
func databaseFree(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = filelock.Database(f)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Lost says why the claim no longer holds: its file was deleted, or another file has its
// name. It is nil while the claim holds, and where the system cannot tell.
func (c *Claim) Lost() error {
	was, err := c.file.Stat()
	if err != nil {
		return nil
	}
	now, err := os.Stat(c.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s was deleted", c.name)
	case err == nil && !os.SameFile(was, now):
		return fmt.Errorf("%s was replaced by another file", c.name)
	}
	return nil
}

// Release ends the claim.
func (c *Claim) Release() error { return c.file.Close() }

// held reports whether some process has the claim. Processes that ask the same at the same
// time do not count.
func held(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close() // the claim was only a test
	return errors.Is(filelock.Shared(f), filelock.ErrLocked)
}

// holder names the gateway that runs in the directory, as its record says.
func holder(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, GatewayFile))
	var r Running
	if err != nil || json.Unmarshal(b, &r) != nil {
		return "another process"
	}
	return fmt.Sprintf("the gateway at %s (process %d)", r.URL, r.PID)
}

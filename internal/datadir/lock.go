package datadir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Claim is a process's hold on a data directory. The operating system ends it
// with the process, however that dies.
type Claim struct{ file *os.File }

const lockFile = "amtp.lock"

// errLocked is what the operating system's part answers when another process
// has the claim.
var errLocked = errors.New("locked")

// A command that asks whether the directory is held keeps a claim off for an
// instant, so a refusal is final only after a few tries.
const (
	claimTries = 5
	claimPause = 20 * time.Millisecond
)

// Acquire claims the directory, or says who has it. What a gateway that crashed
// recorded there is gone when it returns: until [Record], no address is ours.
func Acquire(dir string) (*Claim, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the data directory: %w", err)
	}
	for try := 1; ; try++ {
		if err = lockExclusively(f); err == nil {
			err = os.Remove(filepath.Join(dir, GatewayFile))
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				return &Claim{f}, nil
			}
			break
		}
		if try == claimTries || !errors.Is(err, errLocked) {
			break
		}
		time.Sleep(claimPause)
	}
	err = errors.Join(err, f.Close())
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("the data directory %s is in use by %s. Stop that gateway first, or choose another directory with --data-dir", dir, holder(dir))
	}
	return nil, fmt.Errorf("claim the data directory: %w", err)
}

// Release ends the claim.
func (c *Claim) Release() error { return c.file.Close() }

// held reports whether some process has the claim. Others who ask at the same
// time do not count.
func held(dir string) bool {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close() // it was only tried
	return errors.Is(lockShared(f), errLocked)
}

// holder names the gateway that runs in the directory, as it wrote it down.
func holder(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, GatewayFile))
	var r Running
	if err != nil || json.Unmarshal(b, &r) != nil {
		return "another process"
	}
	return fmt.Sprintf("the gateway at %s (process %d)", r.URL, r.PID)
}

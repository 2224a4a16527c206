package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp/internal/datadir"
)

// lock is a process's claim on a data directory. The operating system ends it
// with the process, however that dies.
type lock struct{ file *os.File }

const lockFile = "amtp.lock"

// errLocked is what the operating system's part answers when another process
// has the claim.
var errLocked = errors.New("locked")

// acquire claims the directory, or says who has it.
func acquire(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the data directory: %w", err)
	}
	err = lockExclusively(f)
	if err == nil {
		return &lock{f}, nil
	}
	err = errors.Join(err, f.Close())
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("the data directory %s is in use by %s. Stop that gateway first, or choose another directory with --data-dir", dir, holder(dir))
	}
	return nil, fmt.Errorf("claim the data directory: %w", err)
}

// holder names the gateway that runs in the directory, as it wrote it down.
func holder(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, datadir.GatewayFile))
	var r datadir.Running
	if err != nil || json.Unmarshal(b, &r) != nil {
		return "another process"
	}
	return fmt.Sprintf("the gateway at %s (process %d)", r.URL, r.PID)
}

func (l *lock) release() error { return l.file.Close() }

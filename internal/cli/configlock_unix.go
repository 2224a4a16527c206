//go:build !windows

package cli

import (
	"os"
	"syscall"
)

// lockConfig keeps other commands from changing the config file until it is
// unlocked. The lock is on the file itself, which a change replaces: who waited
// for a file that is not the one any more begins again.
func lockConfig(name string) (unlock func(), err error) {
	name = behindLinks(name)
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			f.Close()
			return nil, err
		}
		locked, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(locked, there) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

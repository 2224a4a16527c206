//go:build !windows

package datadir

import (
	"errors"
	"os"
	"syscall"
)

// lockExclusively claims an open file for this process.
func lockExclusively(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

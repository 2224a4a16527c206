//go:build !windows

package datadir

import (
	"errors"
	"os"
	"syscall"
)

// lockExclusively claims an open file for this process.
func lockExclusively(f *os.File) error { return lock(f, syscall.LOCK_EX) }

// lockShared locks an open file against a claim, beside others who do the same.
func lockShared(f *os.File) error { return lock(f, syscall.LOCK_SH) }

func lock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

//go:build !windows

package filelock

import (
	"errors"
	"os"
	"syscall"
)

func exclusively(f *os.File) error { return lock(f, syscall.LOCK_EX) }

func shared(f *os.File) error { return lock(f, syscall.LOCK_SH) }

func wait(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func lock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

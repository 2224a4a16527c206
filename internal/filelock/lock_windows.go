package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func exclusively(f *os.File) error { return lock(f, windows.LOCKFILE_EXCLUSIVE_LOCK, 0) }

func shared(f *os.File) error { return lock(f, 0, 0) }

func database(f *os.File) error { return lock(f, windows.LOCKFILE_EXCLUSIVE_LOCK, mark) }

// lock locks the byte at an offset.
func lock(f *os.File, how uint32, at uint64) error {
	where := &windows.Overlapped{Offset: uint32(at & 0xffffffff), OffsetHigh: uint32(at >> 32)}
	err := windows.LockFileEx(windows.Handle(f.Fd()), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, where)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// alone requests an exclusive lock, and atOnce an answer without waiting.
const (
	alone  = windows.LOCKFILE_EXCLUSIVE_LOCK
	atOnce = windows.LOCKFILE_FAIL_IMMEDIATELY
)

func exclusively(f *os.File) error { return lock(f, alone|atOnce, 0) }

func wait(f *os.File) error { return lock(f, alone, 0) }

func shared(f *os.File) error { return lock(f, atOnce, 0) }

func database(f *os.File) error { return lock(f, alone|atOnce, mark) }

// lock locks the byte at an offset.
func lock(f *os.File, how uint32, at uint64) error {
	where := &windows.Overlapped{Offset: uint32(at & 0xffffffff), OffsetHigh: uint32(at >> 32)}
	err := windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, where)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

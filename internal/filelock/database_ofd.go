//go:build linux || darwin

package filelock

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// database takes a lock that belongs to the open file. A POSIX lock belongs to the
// process, and would end when SQLite closes any of its connections.
func database(f *os.File) error {
	err := unix.FcntlFlock(f.Fd(), setLock, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart,
		Start: mark, Len: 1})
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		return ErrLocked
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP),
		errors.Is(err, unix.ENOLCK):
		return errors.ErrUnsupported
	}
	return err
}

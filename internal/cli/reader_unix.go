//go:build unix

package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readerGone waits until nobody can read any more what is written to f, a pipe or a socket,
// and returns true. It returns false when ctx has ended, or when that cannot be known.
func readerGone(ctx context.Context, f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	for ctx.Err() == nil {
		var closed bool
		var failed error
		err := raw.Control(func(fd uintptr) {
			// No event is asked for: what is reported is that the other end has gone.
			watched := []unix.PollFd{{Fd: int32(fd)}}
			_, failed = unix.Poll(watched, int(pollTime/time.Millisecond))
			closed = watched[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		})
		switch {
		case err != nil, failed != nil && !errors.Is(failed, unix.EINTR):
			return false
		case failed == nil && closed:
			return true
		}
	}
	return false
}

// pollTime is how long one look at a pipe lasts.
const pollTime = time.Second

package filelock

import "golang.org/x/sys/unix"

// setLock asks for a lock that belongs to the open file, and does not wait.
const setLock = unix.F_OFD_SETLK

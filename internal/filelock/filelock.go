// Package filelock locks open files against other processes.
//
// The promise: the operating system ends a lock when the process that has it ends, also
// when that is killed. A lock is on the file that was opened, whatever file has the
// name later, and no other open file of the same process has it. SQLite neither takes
// nor releases any of these locks. ADR 042 says why this is no library.
package filelock

import (
	"errors"
	"os"
)

// ErrLocked means that another process, or another open file of this process, has the
// lock.
var ErrLocked = errors.New("locked")

// Exclusively locks a file for this open file alone, or fails with [ErrLocked].
func Exclusively(f *os.File) error { return exclusively(f) }

// Wait is [Exclusively], but waits until no other open file has the lock. It may wait
// without end.
func Wait(f *os.File) error { return wait(f) }

// Shared locks a file together with others that do the same, or fails with [ErrLocked].
func Shared(f *os.File) error { return shared(f) }

// mark is the byte by which a database is locked. It is far beyond the last byte that
// the database will have, and beyond the bytes that SQLite locks.
const mark = 1 << 62

// Database marks a file as one that this process has, in addition to the locks that SQLite
// takes in it for each transaction. It is errors.ErrUnsupported where the system or the
// file system has no lock that belongs to an open file. A lock that belongs to the process
// is no substitute: the process would give it up by closing any other file of the same
// name.
func Database(f *os.File) error { return database(f) }

// Package filelock locks open files against other processes.
//
// The promise: the operating system ends a lock with the process that has it,
// however that dies, and a lock is one on the file that was opened, whatever has its
// name by now. None of these locks is one that SQLite takes or gives up.
package filelock

import (
	"errors"
	"os"
)

// ErrLocked is met when another process has the lock, or another open file of this
// one.
var ErrLocked = errors.New("locked")

// Exclusively locks a file for this process alone.
func Exclusively(f *os.File) error { return exclusively(f) }

// Shared locks a file beside others who do the same.
func Shared(f *os.File) error { return shared(f) }

// mark is the byte by which a database is locked, far behind any that it will have
// and behind those that SQLite locks.
const mark = 1 << 62

// Database marks a file as one that this process has, beside the locks that SQLite
// takes in it for each transaction. It is errors.ErrUnsupported where the system or
// the file system has no lock that belongs to an open file: closing any other file
// of the same name would give up one that belongs to the process.
func Database(f *os.File) error { return database(f) }

//go:build !windows

package sqlite

import "os"

// syncHandle makes the entries of an open directory durable.
func syncHandle(d *os.File) error { return d.Sync() }

//go:build !linux && !darwin && !freebsd && !windows

package sqlite

import (
	"errors"
	"os"
)

// freeSpace returns false: the free space is not known. Then the reserve is created if
// its writes succeed.
func freeSpace(string) (int64, bool) { return 0, false }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

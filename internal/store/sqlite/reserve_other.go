//go:build !linux && !darwin && !freebsd && !windows

package sqlite

import (
	"errors"
	"os"
)

// freeSpace cannot tell: then the reserve is made if that succeeds.
func freeSpace(string) (int64, bool) { return 0, false }

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

//go:build !linux && !darwin && !windows

package operate

import "errors"

// diskRoom is not known on this system.
func diskRoom(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }

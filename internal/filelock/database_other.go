//go:build !linux && !darwin && !windows

package filelock

import (
	"errors"
	"os"
)

func database(*os.File) error { return errors.ErrUnsupported }

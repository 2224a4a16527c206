//go:build !linux

package crashtest

import (
	"errors"
	"os/exec"
)

// This system has no mounts without privilege that end with the process.

func apart(*exec.Cmd) error { return errors.ErrUnsupported }

func mount(string, int) error { return errors.ErrUnsupported }

func unmount(string) error { return errors.ErrUnsupported }

func isFull(error) bool { return false }

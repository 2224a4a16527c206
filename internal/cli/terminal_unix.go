//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalWidth returns how many columns the terminal has, and whether f is one.
func terminalWidth(f *os.File) (columns int, is bool) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}
	var size *unix.Winsize
	var failed error
	err = raw.Control(func(fd uintptr) { size, failed = unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ) })
	if err != nil || failed != nil {
		return 0, false
	}
	return int(size.Col), true
}

//go:build unix

package cli

import (
	"os"
	"strconv"
	"strings"

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

// terminalSession names the session of the terminal from which the command was started:
// by its leader and, if the system says it, by the start of the leader, because the
// number of a process is used again. It is "" for a command without a terminal.
func terminalSession() string {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY, 0)
	if err != nil {
		return ""
	}
	tty.Close()
	leader, err := unix.Getsid(0)
	if err != nil {
		return ""
	}
	name := strconv.Itoa(leader)
	if stat, err := os.ReadFile("/proc/" + name + "/stat"); err == nil {
		_, rest, _ := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); len(fields) > 19 {
			name += " " + fields[19] // starttime, field 22 of all
		}
	}
	return name
}

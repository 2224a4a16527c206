package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminalWidth returns how many columns the console has, and whether f is one.
func terminalWidth(f *os.File) (columns int, is bool) {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0, false
	}
	return int(info.Window.Right-info.Window.Left) + 1, true
}

// terminalSession finds no sessions on this system.
func terminalSession() string { return "" }

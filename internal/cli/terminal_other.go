//go:build !unix && !windows

package cli

import "os"

// terminalWidth finds no terminals on this system.
func terminalWidth(*os.File) (columns int, is bool) { return 0, false }

// terminalSession finds no sessions on this system.
func terminalSession() string { return "" }

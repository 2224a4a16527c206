// Package service lets a service manager run a gateway: systemd, for the user or for the
// machine, and launchd, for the user. It makes the files and the commands for that.
//
// The promise: a file starts exactly the program with exactly the arguments it was given,
// whatever characters they have; a gateway that it runs may do what a gateway needs, and
// little else; and a file that somebody else wrote or changed is kept, see package
// managedfile. An installation that was interrupted is repeated as a whole. ADR 041 says
// why this is no library.
package service

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Gateway is what the service manager shall run.
type Gateway struct {
	Program string   // absolute
	Args    []string // behind "serve"
	DataDir string
	System  bool // for the machine, not for the user who asks
	// For launchd, which keeps no log of its own.
	Log     string // the file that gets the log
	PIDFile string // the file that gets the process's number
}

// ErrText is returned for a text that no such file can hold safely.
var ErrText = errors.New("a path or setting has a control character, or is not UTF-8")

// check refuses texts that cannot be written into the files.
func (g Gateway) check() error {
	for _, s := range append([]string{g.Program, g.DataDir, g.Log, g.PIDFile}, g.Args...) {
		if strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
			return ErrText
		}
	}
	return nil
}

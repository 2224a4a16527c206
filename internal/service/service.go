// Package service lets a service manager run a gateway: systemd, for the user or for the
// machine, and launchd, for the user. It makes the files and the commands for that.
//
// The promise: a file starts exactly the given program with exactly the given
// arguments, whatever characters they have. The gateway gets the rights that a gateway
// needs, and few others. A file that was written or changed by others is kept, see
// package managedfile. An interrupted installation is repeated as a whole. ADR 041 says
// why this is no library.
package service

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Gateway describes the gateway that the service manager runs.
type Gateway struct {
	Program string   // absolute
	Args    []string // after "serve"
	DataDir string
	System  bool // for the machine, and not for the user who installs it
	// For launchd, which keeps no log of its own.
	Log     string // the file that gets the log
	PIDFile string // the file that gets the process's number
}

// ErrText means that a text cannot be written safely into such a file.
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

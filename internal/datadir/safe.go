package datadir

import (
	"fmt"
	"path/filepath"
)

// OpenError says that other users can use a data directory or a file in it. A user who can
// write there could plant keys, or take the gateway's place.
type OpenError struct {
	Path string // the file or directory that others can use
	Why  string
	Mend string // a command, "" if there is none
}

func (e *OpenError) Error() string {
	text := e.Path + " " + e.Why
	if e.Mend != "" {
		text += "; to go on: " + e.Mend
	}
	return text
}

// guarded are the files in a data directory that only its owner may write, and whether only
// the owner may read them. Users may make other files there by hand; those hold no secret.
var guarded = []struct {
	pattern string
	secret  bool
}{
	{AdminKeyFile, true}, {SealKeyFile, true}, {"gateway.key", true},
	{DatabaseFile, false}, {DatabaseFile + "-wal", false}, {DatabaseFile + "-journal", false},
	{DatabaseFile + "-search", false}, {DatabaseFile + "-search-wal", false},
	{ConfigFile, false}, {GatewayFile, false}, {lockFile, false}, {MovedFile, false},
}

// Safe refuses a directory that other users may write, or in which they may read keys or
// messages, and one that belongs to another user, as sshd does. The user who runs this
// process and root do not count as others. A directory that does not exist is safe. On
// Windows it refuses nothing: rights are inherited from the user's directory.
func Safe(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	list, err := unsafe(dir)
	if err != nil || len(list) == 0 {
		return err
	}
	return &list[0]
}

// Unsafe lists everything for which Safe would refuse the directory.
func Unsafe(dir string) ([]OpenError, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return unsafe(dir)
}

func open(path, mend, why string, args ...any) OpenError {
	return OpenError{Path: path, Why: fmt.Sprintf(why, args...), Mend: mend}
}

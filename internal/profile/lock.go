package profile

import (
	"os"
	"runtime"

	"github.com/amtp-go/amtp/internal/filelock"
	"github.com/amtp-go/amtp/internal/managedfile"
)

// lock keeps other commands from changing the config file until it is unlocked. The lock is
// on the file itself, which a change replaces: a command that waited for a file which was
// replaced begins again. On Windows there is no lock, because an open file cannot be
// replaced there: two commands that change the file at the same instant may undo each other.
func lock(name string) (unlock func(), err error) {
	if runtime.GOOS == "windows" {
		return func() {}, nil
	}
	name = managedfile.Target(name)
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := filelock.Wait(f); err != nil {
			f.Close()
			return nil, err
		}
		locked, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(locked, there) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

package managedfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Replace writes a file that only its owner can read, mode 0600, in place of whatever has
// the name. A reader finds the former file or the new one, whole, also after a crash: the
// content is on the disk before the file gets its name. After an error the former file is
// there. A symbolic link is replaced, not followed; [Target] says where one leads.
func Replace(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// ReplaceDurably is [Replace], and the name is on the disk too once it returns: after a crash
// the new file is there.
func ReplaceDurably(name string, content []byte) error {
	if err := Replace(name, content); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// syncDir makes the names in a directory durable, where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Target returns the file to which a symbolic link leads, and the name itself when it is no
// link or leads nowhere.
func Target(name string) string {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	return name
}

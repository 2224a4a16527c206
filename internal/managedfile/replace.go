package managedfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace writes a file that only its owner can read, mode 0600, in place of whatever has
// the name: after a crash the former file is there or the new one, whole. A symbolic link
// is replaced as well; [Target] says where one leads. The content is on the disk before
// the file gets its name.
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

// Target returns the file to which a symbolic link leads, and the name itself when it is
// no link or leads nowhere.
func Target(name string) string {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		return target
	}
	return name
}

package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/amtp-go/amtp/internal/gateway"
)

// ownAdminKey reads the administrator's key, or makes it if there is none. The
// file is readable by its owner only.
func ownAdminKey(name string) (string, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return makeAdminKey(name)
	}
	if err != nil {
		return "", fmt.Errorf("read the admin key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsAny(key, " \n") {
		return "", fmt.Errorf("the admin key file %s does not hold one key; delete it and start again to make a new key", name)
	}
	return key, nil
}

// makeAdminKey writes a new key.
func makeAdminKey(name string) (key string, err error) {
	key = gateway.NewAdminKey()
	if err := writePrivate(name, []byte(key+"\n")); err != nil {
		return "", fmt.Errorf("make the admin key: %w", err)
	}
	return key, nil
}

// writePrivate writes a file that its owner only can read. It appears whole, on
// the disk, or not at all.
func writePrivate(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
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

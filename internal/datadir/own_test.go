package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestForeign: a name or a link that leads to a file of a data directory is refused.
// Other files, in it and elsewhere, are allowed.
func TestForeign(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	write(t, dir, DatabaseFile, "")
	write(t, dir, AdminKeyFile, "secret")
	for name, want := range map[string]bool{
		DatabaseFile: true, DatabaseFile + "-wal": true, DatabaseFile + "-shm": true, DatabaseFile + "-journal": true,
		lockFile: true, AdminKeyFile: true, SealKeyFile: true, GatewayFile: true, MovedFile: true, ConfigFile: true,
		"amtp.reserve": true, "backup.json": true, "AMTP.DB": true, "sub/../" + AdminKeyFile: true,
		"amtp.db.bak": false, "amtp-2026.db": false, "agent.json": false,
	} {
		if err := Foreign(filepath.Join(dir, name)); errors.Is(err, ErrOwn) != want {
			t.Errorf("%s in a data directory: %v, want refused: %t", name, err, want)
		}
		if err := Foreign(filepath.Join(other, name)); err != nil {
			t.Errorf("%s elsewhere: %v, want no error", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	links := filepath.Join(other, "links")
	err := errors.Join(os.Symlink(dir, links), os.Symlink(filepath.Join(dir, AdminKeyFile),
		filepath.Join(other, "key")),
		os.Symlink(filepath.Join(dir, SealKeyFile), filepath.Join(other, "not-there")),
		os.Link(filepath.Join(dir, AdminKeyFile), filepath.Join(dir, "hard")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(links, DatabaseFile), filepath.Join(other, "key"),
		filepath.Join(other, "not-there"), filepath.Join(dir, "hard")} {
		if err := Foreign(name); !errors.Is(err, ErrOwn) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
}

package sqlite_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// TestOpenAnywhere opens databases in directories whose names have a meaning in a URI,
// and through a symbolic link.
func TestOpenAnywhere(t *testing.T) {
	root := t.TempDir()
	plain := filepath.Join(root, "plain")
	if err := os.Mkdir(plain, 0o755); err != nil {
		t.Fatal(err)
	}
	names := []string{"Application Support", "a+b", "100%", "what#is", "ä"}
	if runtime.GOOS != "windows" {
		names = append(names, "really?")
		if err := os.Symlink(plain, filepath.Join(root, "link")); err != nil {
			t.Fatal(err)
		}
		names = append(names, "link/data")
	}
	for _, name := range names {
		dir := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s, err := sqlite.Open(sqlite.Options{Dir: dir})
		if err != nil {
			t.Errorf("open in %q: %v", name, err)
			continue
		}
		if err := s.Probe(t.Context(), time.Now()); err != nil {
			t.Errorf("write in %q: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(dir, sqlite.FileName)); err != nil {
			t.Errorf("open in %q: the database is not there: %v", name, err)
		}
		private(t, dir)
		if err := s.Close(); err != nil {
			t.Errorf("close in %q: %v", name, err)
		}
	}
}

// private checks that no other user can open the files. They hold the mail of all
// agents, and a process that can open the index can stop every write.
func private(t *testing.T, dir string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // its files take their permissions from the directory
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(filepath.Join(dir, sqlite.FileName+suffix))
		if err != nil {
			t.Error(err)
		} else if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", info.Name(), mode)
		}
	}
}

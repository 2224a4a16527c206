package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/amtp-go/amtp/internal/filelock"
)

// openTwice opens one file twice.
func openTwice(t *testing.T, name string) (one, two *os.File) {
	t.Helper()
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files[i] = f
	}
	return files[0], files[1]
}

// TestLocks: a lock is one on the file that was opened, ends when that is closed,
// and not when another one of it is.
func TestLocks(t *testing.T) {
	locks := map[string]func(*os.File) error{"exclusively": filelock.Exclusively, "database": filelock.Database}
	for name, lock := range locks {
		file := filepath.Join(t.TempDir(), "file")
		one, two := openTwice(t, file)
		if err := lock(one); errors.Is(err, errors.ErrUnsupported) {
			t.Logf("%s: this system has no such lock", name)
			continue
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := lock(two); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("%s: the second lock = %v, want ErrLocked", name, err)
		}
		if err := two.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file, file+".moved"); err != nil {
			t.Logf("%s: an open file cannot be moved here: %v", name, err)
			continue
		}
		moved, _ := openTwice(t, file+".moved")
		if err := lock(moved); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("%s: under another name = %v, want ErrLocked", name, err)
		}
		fresh, _ := openTwice(t, file)
		if err := lock(fresh); err != nil {
			t.Errorf("%s: another file of the name = %v, want no error", name, err)
		}
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if err := lock(moved); err != nil {
			t.Errorf("%s: after it was given up = %v, want no error", name, err)
		}
	}
}

// TestWait: a lock that is waited for comes when the other open file is closed, and keeps
// others off then.
func TestWait(t *testing.T) {
	one, two := openTwice(t, filepath.Join(t.TempDir(), "file"))
	if err := filelock.Wait(one); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() { got <- filelock.Wait(two) }()
	select {
	case err := <-got:
		t.Fatalf("the lock was had beside another one: %v", err)
	default:
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	three, _ := openTwice(t, two.Name())
	if err := filelock.Exclusively(three); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("beside a lock that was waited for = %v, want ErrLocked", err)
	}
}

// TestShared: locks that are shared do not keep each other off.
func TestShared(t *testing.T) {
	one, two := openTwice(t, filepath.Join(t.TempDir(), "file"))
	if err := errors.Join(filelock.Shared(one), filelock.Shared(two)); err != nil {
		t.Fatal(err)
	}
	three, _ := openTwice(t, one.Name())
	if err := filelock.Exclusively(three); !errors.Is(err, filelock.ErrLocked) {
		t.Errorf("alone beside two = %v, want ErrLocked", err)
	}
}

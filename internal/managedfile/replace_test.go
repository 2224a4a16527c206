package managedfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/managedfile"
)

// replaces are the two ways to write a file whole.
var replaces = map[string]func(string, []byte) error{
	"Replace": managedfile.Replace, "ReplaceDurably": managedfile.ReplaceDurably,
}

// TestReplace: the file has the content and is its owner's only, whatever was there, and
// nothing else is left in the directory.
func TestReplace(t *testing.T) {
	for what, replace := range replaces {
		name := filepath.Join(t.TempDir(), "file")
		for _, content := range []string{"first", "", "longer than the first"} {
			if err := replace(name, []byte(content)); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got, err := os.ReadFile(name)
			if err != nil || string(got) != content {
				t.Errorf("%s: the file has %q, %v; want %q", what, got, err, content)
			}
			info, err := os.Stat(name)
			if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v; want 0600", what, info.Mode(), err)
			}
			if err := os.Chmod(name, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		alone(t, what, name)
	}
}

// alone fails when there is anything in the directory beside the file.
func alone(t *testing.T, what, name string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(name) {
		t.Errorf("%s: in the directory are %v, %v; want the file alone", what, left, err)
	}
}

// TestReplaceThatFails: what was there is there, and the temporary file is gone.
func TestReplaceThatFails(t *testing.T) {
	for what, replace := range replaces {
		name := filepath.Join(t.TempDir(), "name")
		if err := os.MkdirAll(filepath.Join(name, "inside"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := replace(name, []byte("x")); err == nil {
			t.Errorf("%s: a directory was replaced", what)
		}
		if _, err := os.Stat(filepath.Join(name, "inside")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		alone(t, what, name)
		if err := replace(filepath.Join(filepath.Dir(name), "absent", "name"), []byte("x")); err == nil {
			t.Errorf("%s: a file was written into a directory that is not there", what)
		}
	}
}

// TestReplaceAtOnce: who reads while others write finds one of the contents, whole.
func TestReplaceAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("NOT VERIFIED: on Windows a file that is being read cannot be replaced")
	}
	name := filepath.Join(t.TempDir(), "file")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<12)}
	if err := managedfile.Replace(name, contents[0]); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, content := range contents {
		writers.Go(func() {
			for range 50 {
				if err := managedfile.Replace(name, content); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Errorf("a reader found %d bytes, %v", len(got), err)
			break
		}
	}
	writers.Wait()
	alone(t, "at once", name)
}

// TestReplaceAndLinks: a link is replaced, and the file that it led to stays as it is.
// Through Target the link stays one.
func TestReplaceAndLinks(t *testing.T) {
	real, link := filepath.Join(t.TempDir(), "real"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(real, []byte("former"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Skipf("NOT VERIFIED: no symbolic links here: %v", err)
	}
	is := func(name, content string, mode os.FileMode) {
		t.Helper()
		got, err := os.ReadFile(name)
		info, failed := os.Lstat(name)
		if err != nil || failed != nil || string(got) != content || info.Mode().Type() != mode {
			t.Errorf("%s: %q, %v, %v; want %q and %v", filepath.Base(name), got, err, info.Mode(), content, mode)
		}
	}
	if err := managedfile.Replace(managedfile.Target(link), []byte("behind")); err != nil {
		t.Fatal(err)
	}
	is(link, "behind", os.ModeSymlink)
	is(real, "behind", 0)
	if err := managedfile.Replace(link, []byte("instead")); err != nil {
		t.Fatal(err)
	}
	is(link, "instead", 0)
	is(real, "behind", 0)
	absent := filepath.Join(t.TempDir(), "absent")
	if got := managedfile.Target(absent); got != absent {
		t.Errorf("Target of a name that nothing has = %s, want %s", got, absent)
	}
}

//go:build unix

package datadir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSafe: what sshd would refuse is refused, with the file and the way out.
func TestSafe(t *testing.T) {
	type file struct {
		name string
		mode os.FileMode
	}
	for _, c := range []struct {
		name  string
		dir   os.FileMode
		files []file
		want  string // "" is safe
	}{
		{"as the gateway makes it", 0o700, []file{{AdminKeyFile, 0o600}, {SealKeyFile, 0o600}, {DatabaseFile, 0o600}, {ConfigFile, 0o644}}, ""},
		{"a directory that others may read", 0o755, []file{{AdminKeyFile, 0o600}, {DatabaseFile, 0o600}, {ConfigFile, 0o644}, {GatewayFile, 0o644}}, ""},
		{"open to everybody", 0o777, nil, "may be written by others (mode 0777); to go on: chmod go-w "},
		{"open to the group", 0o770, nil, "may be written by others (mode 0770)"},
		{"a key for all", 0o700, []file{{AdminKeyFile, 0o644}}, AdminKeyFile + " is a key that others may open (mode 0644); to go on: chmod 600 "},
		{"a key for the group", 0o700, []file{{SealKeyFile, 0o640}}, SealKeyFile + " is a key that others may open"},
		{"settings that others write", 0o755, []file{{ConfigFile, 0o664}}, ConfigFile + " may be written by others"},
		{"a database that others write", 0o755, []file{{DatabaseFile, 0o620}}, DatabaseFile + " may be written by others"},
		{"messages for all", 0o755, []file{{DatabaseFile + "-wal", 0o644}}, DatabaseFile + "-wal may be read by everybody"},
		{"messages that nobody reaches", 0o700, []file{{DatabaseFile, 0o644}}, ""},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range c.files {
			name := filepath.Join(dir, f.name)
			if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(name, f.mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		err := Safe(dir)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Safe = %v, want an error with %q", c.name, err, c.want)
		}
	}
	if err := Safe(filepath.Join(t.TempDir(), "not", "there")); err != nil {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestSafeAbove: whoever may rename the directory has it.
func TestSafeAbove(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	dir := filepath.Join(above, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for mode, safe := range map[os.FileMode]bool{0o755: true, 0o777: false, 0o777 | os.ModeSticky: true, 0o775: true} {
		if err := os.Chmod(above, mode); err != nil {
			t.Fatal(err)
		}
		if err := Safe(dir); (err == nil) != safe {
			t.Errorf("below a directory of mode %v: Safe = %v", mode, err)
		}
	}
}

// TestSafeOwners: what another user put there is refused.
func TestSafeOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT VERIFIED: only root can give files to others, so nothing here belongs to a stranger")
	}
	for _, name := range []string{".", AdminKeyFile, SealKeyFile, DatabaseFile, ConfigFile, GatewayFile} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if name != "." {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(path, 65533, 65533); err != nil {
			t.Fatal(err)
		}
		if err := Safe(dir); err == nil || !strings.Contains(err.Error(), "belongs to the user 65533") {
			t.Errorf("%s of another user: Safe = %v", name, err)
		}
		if uid, one := Owner(dir); name != "." && name != ConfigFile && name != DatabaseFile && name != SealKeyFile && one || name == "." && (!one || uid != 65533) {
			t.Errorf("%s of another user: Owner = %d, %v", name, uid, one)
		}
	}
}

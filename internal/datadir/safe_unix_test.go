//go:build unix

package datadir

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// TestSafe: rights that sshd would refuse are refused, and the error names the file and
// a way out.
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
		group bool   // a case about the group, which is safe if the group is the user's alone
	}{
		{"as the gateway makes it", 0o700, []file{{AdminKeyFile, 0o600}, {SealKeyFile, 0o600}, {DatabaseFile, 0o600},
			{ConfigFile, 0o644}}, "", false},
		{"a directory that others may read", 0o755, []file{{AdminKeyFile, 0o600}, {DatabaseFile, 0o600},
			{ConfigFile, 0o644}, {GatewayFile, 0o644}}, "", false},
		{"open to everybody", 0o777, nil, "may be written by others (mode 0777); to go on: chmod go-w ", false},
		{"open to the group", 0o770, nil, "may be written by others (mode 0770)", true},
		{"a key for all", 0o700, []file{{AdminKeyFile, 0o644}},
			AdminKeyFile + " is a key that others may open (mode 0644); to go on: chmod 600 ", false},
		{"a key for the group", 0o700, []file{{SealKeyFile, 0o640}},
			SealKeyFile + " is a key that others may open", false},
		{"settings that others write", 0o755, []file{{ConfigFile, 0o664}},
			ConfigFile + " may be written by others", true},
		{"a database that others write", 0o755, []file{{DatabaseFile, 0o620}},
			DatabaseFile + " may be written by others", true},
		{"messages for all", 0o755, []file{{DatabaseFile + "-wal", 0o644}},
			DatabaseFile + "-wal may be read by everybody", false},
		{"messages that nobody reaches", 0o700, []file{{DatabaseFile, 0o644}}, "", false},
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
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if c.group && foreign(info) == 0o002 { // where this runs, each user has a group
			c.want = ""
		}
		err = Safe(dir)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Safe = %v, want an error with %q", c.name, err, c.want)
		}
	}
	if err := Safe(filepath.Join(t.TempDir(), "not", "there")); err != nil {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestOwnGroup: a group with one user as its only member gives no other user the right
// to write, as where files are made with umask 002.
func TestOwnGroup(t *testing.T) {
	const groups = "root:x:0:\nusers:x:100:\nann:x:1000:\nben:x:1001:ben\ncarl:x:1002:carl,eve\nold:x:1003:\n\nbroken\n"
	for _, c := range []struct {
		name, gid string
		want      bool
	}{
		{"root", "0", true}, {"ann", "1000", true}, {"ben", "1001", true}, {"carl", "1002", false},
		{"dora", "100", false}, {"fred", "1003", false}, {"gina", "1004", false},
	} {
		if got := hasOnly([]byte(groups), &user.User{Username: c.name, Gid: c.gid}); got != c.want {
			t.Errorf("the group %s is that of %s alone: %v, want %v", c.gid, c.name, got, c.want)
		}
	}
	if ownGroup(0, 1) || ownGroup(4_000_000_000, 4_000_000_000) {
		t.Error("a group other than a user's first, or the group of an unknown user, counts as the user's own")
	}
}

// TestSafeAbove: a user who may rename the directory controls it.
func TestSafeAbove(t *testing.T) {
	above := filepath.Join(t.TempDir(), "above")
	dir := filepath.Join(above, "data")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for mode, safe := range map[os.FileMode]bool{0o755: true, 0o777: false, 0o777 | os.ModeSticky: true, 0o775: true} {
		if err := os.Chmod(above, mode); err != nil {
			t.Fatal(err)
		}
		if err := Safe(dir); (err == nil) != safe {
			t.Errorf("below a directory of mode %v: Safe = %v", mode, err)
		}
		if err := Safe(link); (err == nil) != safe {
			t.Errorf("a link to what is below a directory of mode %v: Safe = %v", mode, err)
		}
	}
}

// TestSafeOwners: files of another user are refused.
func TestSafeOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT VERIFIED: only root can give files to others, so nothing here belongs to a stranger")
	}
	for _, name := range []string{".", AdminKeyFile, SealKeyFile, DatabaseFile, ConfigFile, GatewayFile} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
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
		if uid, one := Owner(dir); name != "." && name != ConfigFile && name != DatabaseFile && name != SealKeyFile &&
			one || name == "." && (!one || uid != 65533) {
			t.Errorf("%s of another user: Owner = %d, %v", name, uid, one)
		}
	}
}

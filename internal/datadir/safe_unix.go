//go:build unix

package datadir

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// unsafe checks the directory, the directories above it, and the files in it.
func unsafe(dir string) (list []OpenError, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mode := info.Mode()
	if owner := stranger(info); owner != "" {
		list = append(list, open(dir, "",
			"belongs to the user %s: run the gateway as that user, or give the directory to yours with chown", owner))
	}
	if mode.Perm()&foreign(info) != 0 {
		list = append(list, open(dir, "chmod go-w "+dir, "may be written by others (mode %#o)", mode.Perm()))
	}
	list = append(list, above(dir, dir)...)
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir { // dir is a link to real
		for _, o := range above(real, dir) {
			if !slices.Contains(list, o) {
				list = append(list, o)
			}
		}
	}
	for _, g := range guarded {
		name := filepath.Join(dir, g.pattern)
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		owner, rights := stranger(info), info.Mode().Perm()
		switch {
		case owner != "":
			list = append(list,
				open(name, "",
					"belongs to the user %s: remove it if you did not put it there, else give it to yours with chown",
					owner))
		case g.secret && rights&0o077 != 0 && !byGroup(info):
			list = append(list, open(name, "chmod 600 "+name, "is a key that others may open (mode %#o)", rights))
		case rights&foreign(info) != 0:
			list = append(list, open(name, "chmod go-w "+name, "may be written by others (mode %#o)", rights))
		case !g.secret && g.pattern != ConfigFile && g.pattern != GatewayFile && rights&0o004 != 0 &&
			mode.Perm()&0o001 != 0:
			list = append(list, open(name, "chmod o-r "+name, "may be read by everybody (mode %#o)", rights))
		}
	}
	return list, nil
}

// byGroup reports whether a key belongs to root, and root lets the group of this process
// read it and no one else.
func byGroup(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && os.Geteuid() != 0 && info.Mode().Perm()&0o037 == 0
}

// above lists the directories over a path in which any user could put another directory in
// the place of dir.
func above(path, dir string) (list []OpenError) {
	for at := filepath.Dir(path); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			list = append(list, open(at, "chmod o-w "+at,
				"may be written by everybody (mode %#o), who could put another directory in the place of %s",
				info.Mode().Perm(), dir))
		}
		if at == filepath.Dir(at) {
			return list
		}
	}
}

// foreign returns the rights by which users other than the owner could write a file. Where
// every user has a group with no other member, files are made writable by that group (umask
// 002).
func foreign(info fs.FileInfo) fs.FileMode {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && ownGroup(s.Uid, s.Gid) {
		return 0o002
	}
	return 0o022
}

// ownGroup reports whether a group belongs to one user alone: it has that user's name,
// and the list of groups names no other member.
func ownGroup(uid, gid uint32) bool {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil || u.Gid != strconv.FormatUint(uint64(gid), 10) {
		return false
	}
	groups, err := os.ReadFile("/etc/group")
	return err == nil && hasOnly(groups, u)
}

// hasOnly reports whether the user's group has that user's name and no other member, in
// a list of groups in the form of group(5).
func hasOnly(groups []byte, u *user.User) bool {
	for line := range strings.Lines(string(groups)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) == 4 && f[2] == u.Gid {
			return f[0] == u.Username && (f[3] == "" || f[3] == u.Username)
		}
	}
	return false
}

// stranger returns the owner of a file, "" if that is the user of this process or root.
func stranger(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || s.Uid == 0 || int(s.Uid) == os.Geteuid() {
		return ""
	}
	id := strconv.FormatUint(uint64(s.Uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// Owner returns the user who owns a directory and the files that a gateway wrote in it.
// It is false when these are several users, or when others may write there.
func Owner(dir string) (uid int, one bool) {
	for i, name := range []string{".", AdminKeyFile, GatewayFile, lockFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && i > 0 {
			continue
		}
		if err != nil || info.Mode().Perm()&foreign(info) != 0 {
			return 0, false
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || i > 0 && int(s.Uid) != uid {
			return 0, false
		}
		uid = int(s.Uid)
	}
	return uid, true
}

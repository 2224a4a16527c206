//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody returns the user as whom the server runs when we are root. The server refuses
// to run as root.
func nobody() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid := 65534, 65534
	if u, err := user.Lookup("nobody"); err == nil {
		if n, err := strconv.Atoi(u.Uid); err == nil {
			uid = n
		}
		if n, err := strconv.Atoi(u.Gid); err == nil {
			gid = n
		}
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// giveAway makes the server's user the owner of a directory.
func giveAway(dir string) error {
	if as := nobody(); as != nil {
		return os.Chown(dir, int(as.Uid), int(as.Gid))
	}
	return nil
}

// asAnother makes cmd run as the server's user, and in a process group of its own, so
// that it gets no signals of our terminal.
func asAnother(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: nobody()}
}

// hasEnded reports whether the process has ended.
func hasEnded(cmd *exec.Cmd) bool {
	pid, err := unix.Wait4(cmd.Process.Pid, nil, unix.WNOHANG, nil)
	return err == nil && pid == cmd.Process.Pid
}

func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * int64(s.Bsize)
}

package crashtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// apart has a command run in a mount namespace of its own: what it mounts nobody
// else sees, and it is gone with the last of its processes, however they end.
// Who is not root becomes somebody who may mount there, and nowhere else.
func apart(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	return nil
}

// mount makes a directory a disk of so many megabytes, into which everybody may
// write.
func mount(dir string, megabytes int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm,mode=1777", megabytes))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// isFull reports whether a write failed for want of room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) }

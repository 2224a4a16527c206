package crashtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// apart makes a command run in a mount namespace of its own. No other process sees its
// mounts, and they end with the last of its processes, in whatever way. A user other
// than root becomes one who may mount there, and nowhere else.
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

// mount makes a directory a disk of that many megabytes, into which every user may
// write.
func mount(dir string, megabytes int) error {
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%dm,mode=1777", megabytes))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

// isFull reports whether a write failed because the disk is full.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) }

//go:build linux || darwin

package operate

import "syscall"

// diskRoom returns how much the owner of the directory can still write, and how large
// its disk is.
func diskRoom(dir string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

//go:build linux || darwin

package operate

import "syscall"

// diskRoom returns how many bytes the owner of the directory can still write, and the
// size of its disk.
func diskRoom(dir string) (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

//go:build darwin || freebsd

package sqlite

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace returns by how many bytes a file in dir can still grow.
func freeSpace(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

func allocate(*os.File, int64) error { return errors.ErrUnsupported }

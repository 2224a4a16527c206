//go:build unix

package cli

import (
	"os"
	osuser "os/user"
	"strconv"
	"syscall"
)

// foreignOwner returns the user to whom a directory belongs; "" if that is the user of this
// process, or if there is no directory.
func foreignOwner(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return "" // an error of making it says what is wrong
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return ""
	}
	id := strconv.FormatUint(uint64(owner.Uid), 10)
	if u, err := osuser.LookupId(id); err == nil {
		return u.Username
	}
	return `\#` + id // the form that sudo accepts
}

//go:build unix

package cli

import (
	"fmt"
	"os"
	osuser "os/user"
	"strconv"
	"syscall"
)

// foreignOwner refuses a data directory that belongs to another user: files that
// are made there would not be the gateway's. One that is not there is no error.
func foreignOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // who makes it says what is wrong with it
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	name := strconv.FormatUint(uint64(owner.Uid), 10)
	if u, err := osuser.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("the data directory %s belongs to the user %s, and the gateway could not use what this command makes there; run it as that user: sudo -u %s amtp domain setup", dir, name, name)
}

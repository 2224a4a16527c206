package operate

import "golang.org/x/sys/windows"

// diskRoom returns how much the owner of the directory can still write, and how large
// its disk is.
func diskRoom(dir string) (free, size uint64, err error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err == nil {
		err = windows.GetDiskFreeSpaceEx(name, &free, &size, nil)
	}
	return free, size, err
}

package operate

import "github.com/amtp-go/amtp/internal/config"

// The space that must be free for messages from strangers if no setting says otherwise.
const (
	usualFree = 1 << 30
	diskPart  = 10 // of a smaller disk, a tenth
)

// DiskRoom returns a function that reads the free space for messages. It is nil where
// the data is not on a disk of this machine.
func DiskRoom(cfg config.Config) func() (free, least uint64, known bool) {
	if Shared(cfg) {
		return nil
	}
	return func() (free, least uint64, known bool) {
		free, size, err := diskRoom(cfg.DataDir)
		if err != nil {
			return 0, 0, false
		}
		if least = uint64(cfg.Limits.FreeSpace); least == 0 {
			least = min(usualFree, size/diskPart)
		}
		return free, least, true
	}
}

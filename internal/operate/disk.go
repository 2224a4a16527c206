package operate

import "github.com/amtp-go/amtp/internal/config"

// What must be free for strangers where nobody says otherwise.
const (
	usualFree = 1 << 30
	diskPart  = 10 // of a disk on which that is much, a tenth
)

// DiskRoom returns what looks at the disk for messages, nil where it is not ours.
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

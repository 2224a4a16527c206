package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/plaintext"
	"github.com/amtp-go/amtp/internal/store/sqlite"
)

// Finding is the result of one part of a check.
type Finding = sqlite.Finding

// Check examines a data directory and its database without changing them. A gateway may
// be running there.
func Check(ctx context.Context, dir string, now time.Time) []Finding {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return []Finding{{Name: "directory", Text: dir + " is not a directory",
			Mend: "name the data directory: amtp check DIR"}}
	}
	return append(Glance(dir, now), sqlite.Check(ctx, dir)...)
}

// Glance examines a data directory without its database.
func Glance(dir string, now time.Time) []Finding {
	return []Finding{checkHolder(dir), checkModes(dir), checkDisk(dir), checkBackup(dir, now)}
}

func checkHolder(dir string) Finding {
	f := Finding{Name: "gateway", OK: true, Text: "none runs here"}
	if running, claimed := datadir.Holder(dir); claimed && running.URL != "" {
		f.Text = fmt.Sprintf("runs at %s (process %d)", running.URL, running.PID)
	} else if claimed {
		f.Text = "another process holds the directory"
	}
	return f
}

// checkModes checks whether other users of this machine can read private files, or
// write files that the gateway trusts. In the second case a gateway does not start.
func checkModes(dir string) Finding {
	f := Finding{Name: "files", OK: true, Text: "are private to their owner"}
	if runtime.GOOS == "windows" {
		f.Text = "are as private as their directory"
		return f
	}
	open, err := datadir.Unsafe(dir)
	if err != nil {
		f.OK, f.Text, f.Mend = false, "cannot be checked: "+err.Error(), "run it as the user of the gateway"
		return f
	}
	var texts, mends []string
	for _, o := range open {
		if texts = append(texts, o.Path+" "+o.Why); o.Mend != "" {
			mends = append(mends, o.Mend)
		}
	}
	if names := readable(dir); len(texts) == 0 && len(names) > 0 { // a gateway starts nevertheless
		texts, mends = []string{"others may open " + strings.Join(names, ", ")},
			[]string{"chmod 600 " + strings.Join(names, " ")}
	}
	if len(texts) > 0 {
		f.OK, f.Text, f.Mend = false, strings.Join(texts, "; "), strings.Join(mends, " && ")
	}
	return f
}

// readable lists private files that other users could open if the directory let them
// in.
func readable(dir string) (open []string) {
	for _, pattern := range []string{sqlite.FileName + "*", datadir.AdminKeyFile} {
		names, _ := filepath.Glob(filepath.Join(dir, pattern)) // the pattern is well formed
		for _, name := range names {
			if strings.HasSuffix(name, "-shm") {
				continue // the file holds page numbers, and no content of pages
			}
			if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
				open = append(open, name)
			}
		}
	}
	return open
}

// leastFree is the space that the journal, a checkpoint and a day of messages need.
const leastFree = 256 << 20

func checkDisk(dir string) Finding {
	f := Finding{Name: "disk"}
	free, _, err := diskRoom(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		f.OK, f.Text = true, "this system does not say how much is free"
	case err != nil:
		f.Text, f.Mend = "cannot be checked: "+err.Error(), "look at the disk"
	default:
		f.OK, f.Text = free >= leastFree, plaintext.Size(int64(free))+" free"
		if !f.OK {
			f.Mend = "make room: " + plaintext.Size(leastFree) + " should be free"
		}
	}
	return f
}

func checkBackup(dir string, now time.Time) Finding {
	f := Finding{Name: "backup", OK: true, Text: "none by amtp backup is known"}
	doc, err := os.ReadFile(filepath.Join(dir, lastBackup))
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	var b Backup
	if err == nil {
		err = json.Unmarshal(doc, &b)
	}
	if err != nil {
		f.Text = "the note of the last one cannot be read"
		return f
	}
	f.Text = fmt.Sprintf("the last was made %s ago: %s", now.Sub(b.At).Round(time.Minute), b.File)
	if _, err := os.Stat(b.File); err != nil {
		f.Text += ", which no longer exists"
	}
	return f
}

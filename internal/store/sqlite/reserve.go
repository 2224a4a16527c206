package sqlite

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ReserveName is the name of the reserve in the data directory.
const ReserveName = "amtp.reserve"

// The reserve is as large as some thousand acknowledgements need. Messages are
// taken again when it and as much again has room, and while they are refused
// that is looked at once in a while.
const (
	reserveSize = 16 << 20
	lookEvery   = time.Second
)

// shortWAL is how long the WAL gets while room is short: then it is copied and
// begun anew, in the place that it has on the disk already.
const shortWAL = 1 << 20

// reserve is a file that holds nothing but room. When the disk is full it is
// given up, so that acknowledgements and the purge, which make room, can still
// be written. From then on nothing new is accepted until it has room again.
// Only the writer's goroutine uses it.
type reserve struct {
	path   string
	size   int64
	free   func(dir string) (bytes int64, known bool)
	now    func() time.Time
	log    *slog.Logger
	short  bool      // there is no reserve
	looked time.Time // when room was last looked for
}

// openReserve makes the reserve unless it is there. Without room for it the
// store begins as if it had met a full disk.
func openReserve(o Options) (*reserve, error) {
	r := &reserve{path: filepath.Join(o.Dir, ReserveName), size: cmp.Or(o.Reserve, reserveSize), free: o.free,
		now: o.now, log: o.Log}
	if r.free == nil {
		r.free = freeSpace
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	made, err := r.make()
	r.looked = r.now()
	if err != nil {
		return nil, fmt.Errorf("make the disk reserve: %w", err)
	}
	r.set(!made)
	return r, nil
}

// refuses reports whether there is no room for anything new. It looks for room
// at most once every lookEvery: also while there is a reserve, which somebody may
// have deleted, and which is made again then.
func (r *reserve) refuses() bool {
	if now := r.now(); now.Sub(r.looked).Abs() >= lookEvery {
		r.looked = now
		made, _ := r.make() // whatever the reason, there is no reserve
		r.set(!made)
	}
	return r.short
}

// set notes whether room is short. A change is logged, for all the requests
// that it will have refused.
func (r *reserve) set(short bool) {
	switch {
	case short && !r.short:
		r.log.Error("the disk is full: no message is accepted until there is room", "data", filepath.Dir(r.path),
			"needed", 2*r.size)
	case !short && r.short:
		r.log.Info("there is room again: messages are accepted", "data", filepath.Dir(r.path))
	}
	r.short = short
}

// met begins the transaction that follows one that failed with err. If the disk
// was full, acknowledgements go on from here and messages are refused. When it
// was the sync of a commit that failed, that commit stands in the WAL whole, and
// a crash would bring back what was refused: a first row takes its place.
func (r *reserve) met(w *writer, err error) error {
	if !isFull(err) {
		return nil
	}
	r.release()
	_, err = w.exec(`INSERT INTO setting (name, value) VALUES ('full', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1`,
		r.looked.Format(time.RFC3339Nano))
	return err
}

// release gives the reserve up: the disk is full.
func (r *reserve) release() {
	r.set(true)
	r.looked = r.now()
	_ = os.Remove(r.path) // what cannot be removed gives no room, and the write fails again
}

// make makes the reserve if it is not there and there is room. It is false
// without an error when there is not.
func (r *reserve) make() (bool, error) {
	info, err := os.Stat(r.path)
	if err == nil && info.Size() >= r.size {
		return true, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if free, known := r.free(filepath.Dir(r.path)); known && free < 2*r.size {
		return false, nil
	}
	err = r.write()
	if err == nil {
		return true, nil
	}
	err = errors.Join(err, os.Remove(r.path))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return false, nil
	}
	return false, err
}

// write takes the room, really: where the system cannot be told to, with bytes
// that no file system makes smaller.
func (r *reserve) write() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = allocate(f, r.size)
	if errors.Is(err, errors.ErrUnsupported) {
		err = fill(f, r.size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func fill(f *os.File, size int64) error {
	noise := rand.NewChaCha8([32]byte{})
	block := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(block)) {
		_, _ = noise.Read(block) // never fails
		if _, err := f.WriteAt(block[:min(size-at, int64(len(block)))], at); err != nil {
			return err
		}
	}
	return nil
}

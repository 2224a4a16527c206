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

// The reserve has room for some thousand acknowledgements. Messages are accepted again
// when there is room for the reserve and as much again. While they are refused, this is
// checked every lookEvery.
const (
	reserveSize = 16 << 20
	lookEvery   = time.Second
)

// shortWAL is the size of the WAL, in bytes, while room is short. Then it is copied and
// restarted, in the space that it already has on the disk.
const shortWAL = 1 << 20

// reserve is a file that only occupies space. When the disk is full it is deleted, so
// that acknowledgements and the purge, which free space, can still be written. From
// then on no message is accepted until there is room for the reserve again. Only the
// writer's goroutine uses it.
type reserve struct {
	path   string
	size   int64
	free   func(dir string) (bytes int64, known bool)
	now    func() time.Time
	log    *slog.Logger
	short  bool      // the reserve does not exist
	looked time.Time // when free space was last checked
}

// openReserve creates the reserve unless it exists. Without room for it, the store
// starts as it is after a full disk.
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

// refuses reports whether new messages are refused. It checks for room at most once
// every lookEvery. It does so even while the reserve exists: if somebody deleted the
// file, it is created again.
func (r *reserve) refuses() bool {
	if now := r.now(); now.Sub(r.looked).Abs() >= lookEvery {
		r.looked = now
		made, _ := r.make() // whatever the error is, there is no reserve
		r.set(!made)
	}
	return r.short
}

// set notes whether room is short. Only a change is logged, not every request that is
// refused.
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

// met begins the transaction after one that failed with err. If the disk was full, from
// now on messages are refused, and acknowledgements use the reserve. If the sync of a
// commit failed, that commit is complete in the WAL, and a crash would restore the
// refused writes. Therefore met writes a row in its place.
func (r *reserve) met(w *writer, err error) error {
	if !isFull(err) {
		return nil
	}
	r.release()
	_, err = w.exec(`INSERT INTO setting (name, value) VALUES ('full', ?1) ON CONFLICT (name) DO UPDATE SET value = ?1`,
		r.looked.Format(time.RFC3339Nano))
	return err
}

// release deletes the reserve, because the disk is full.
func (r *reserve) release() {
	r.set(true)
	r.looked = r.now()
	_ = os.Remove(r.path) // if this fails it frees no space, and the write fails again
}

// make creates the reserve if it does not exist and there is room. It returns false
// without an error when there is no room.
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

// write occupies the space on the disk. Where the system has no call for that, it
// writes bytes that no file system can compress.
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

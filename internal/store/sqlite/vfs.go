package sqlite

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// filesystem is the VFS through which all connections of a store access their files. It
// adds three things to the VFS below it. It passes writes to the WAL to the operating
// system in one piece. It reports a full disk as such. It notes the last writes, so
// that writes of another program are found.
type filesystem struct {
	vfs.VFS
	written *imprints // nil over a VFS other than the system's
}

// stores counts the stores that were opened over the system's VFS.
var stores atomic.Int64

// useFilesystem registers the filesystem over the VFS named below ("" is the system's).
// It returns the name under which SQLite finds it.
func useFilesystem(below string) (name string, written *imprints, err error) {
	inner := vfs.Find(below)
	if inner == nil {
		return "", nil, fmt.Errorf("there is no VFS %q", below)
	}
	name = "amtp+" + below
	if below == "" {
		written = new(imprints)
		name += strconv.FormatInt(stores.Add(1), 10)
	}
	vfs.Register(name, filesystem{inner, written})
	return name, written, nil
}

// OpenFilename opens a file of the database.
func (f filesystem) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := f.openBelow(name, flags)
	if err != nil {
		return nil, flags, err
	}
	switch {
	case f.written != nil && flags&vfs.OPEN_WAL != 0:
		return &walFile{File: &notedFile{file, &f.written.wal}}, flags, nil
	case flags&vfs.OPEN_WAL != 0:
		return &walFile{File: file}, flags, nil
	case f.written != nil && flags&vfs.OPEN_MAIN_DB != 0:
		return &plainFile{file, &f.written.database}, flags, nil
	}
	return &plainFile{File: file}, flags, nil
}

func (f filesystem) openBelow(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if below, ok := f.VFS.(vfs.VFSFilename); ok {
		return below.OpenFilename(name, flags)
	}
	return f.Open(name.String(), flags)
}

// plainFile is any file but the WAL. It is synced by checkpoints. A sync that failed
// because the disk is full is as bad as any other failure. The next checkpoint does not
// copy the same pages again, and which of them are on the disk is not known.
type plainFile struct {
	vfs.File
	written *imprint // nil for a file whose writes are not noted
}

func (f *plainFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.written.note(p, off, f.File.WriteAt)
	return n, diskFull(err)
}

func (f *plainFile) Truncate(size int64) error {
	return diskFull(f.written.noteSize(size, f.File.Truncate))
}

// SharedMemory is the index of the WAL, which the connections share.
func (f *plainFile) SharedMemory() vfs.SharedMemory {
	if below, ok := f.File.(vfs.FileSharedMemory); ok {
		return below.SharedMemory()
	}
	return nil
}

// notedFile is a file whose writes are noted.
type notedFile struct {
	vfs.File
	written *imprint
}

func (f *notedFile) WriteAt(p []byte, off int64) (int, error) {
	return f.written.note(p, off, f.File.WriteAt)
}

func (f *notedFile) Truncate(size int64) error { return f.written.noteSize(size, f.File.Truncate) }

// walBuffer is the most bytes of the WAL that are held back. A batch of 64 messages of
// 1 KiB writes about half a megabyte.
const walBuffer = 1 << 20

// walFile collects the frames of a transaction, which SQLite writes in order and in two
// pieces each. It writes them together when they are to be synced. Other connections
// read frames only after that, because the index names them later.
type walFile struct {
	vfs.File
	held  []byte
	start int64 // where held begins
}

func (f *walFile) WriteAt(p []byte, off int64) (int, error) {
	if len(f.held) > 0 && (off != f.start+int64(len(f.held)) || len(f.held)+len(p) > walBuffer) {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	if len(f.held) == 0 {
		f.start = off
	}
	f.held = append(f.held, p...)
	return len(p), nil
}

func (f *walFile) flush() error {
	if len(f.held) == 0 {
		return nil
	}
	_, err := f.File.WriteAt(f.held, f.start)
	// After an error SQLite rolls back and writes these frames again.
	f.held = f.held[:0]
	return diskFull(err)
}

func (f *walFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return diskFull(f.File.Sync(flags))
}

func (f *walFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *walFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *walFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return diskFull(f.File.Truncate(size))
}

func (f *walFile) Close() error { return errors.Join(f.flush(), f.File.Close()) }

// diskFull reports a full disk to SQLite as such. Then the transaction is rolled back
// and the file is sound.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

package faultfs

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// InMemory returns a disk like that of New with its files in memory. It begins with the
// given files, by their names in dir. dir itself holds only the index of the WAL, and
// other files that the store keeps beside the database. Tests that turn the power off
// often use Left instead of Restore.
func InMemory(t testing.TB, dir string, files map[string][]byte) *Disk {
	m := &memory{VFSFilename: vfs.Find("").(vfs.VFSFilename), files: make(map[string]*memoryFile)}
	for name, data := range files {
		m.files[filepath.Join(dir, name)] = &memoryFile{data: slices.Clone(data)}
	}
	d := &Disk{below: m, there: m.there, files: make(map[string]*content)}
	d.Name = fmt.Sprintf("faultfs-%p", d)
	vfs.Register(d.Name, d)
	t.Cleanup(d.Unplug)
	return d
}

// Unplug ends the use of the disk. SQLite no longer finds it.
func (d *Disk) Unplug() { vfs.Unregister(d.Name) }

// Left turns the power off and returns the surviving content of each file, by its name
// in the directory. chance decides what survives.
func (d *Disk) Left(loss Loss, chance *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	files := make(map[string][]byte)
	for _, path := range d.paths() {
		if left, ok := d.files[path].left(loss, chance); ok {
			files[filepath.Base(path)] = left
		}
	}
	return files
}

// memory is a VFS of files in memory. Files without a name are the system's.
type memory struct {
	vfs.VFSFilename
	mu    sync.Mutex
	files map[string]*memoryFile // by path
}

// there returns the content of a file.
func (m *memory) there(path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[path]
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Clone(f.data), nil
}

// OpenFilename opens a file, and makes it if it does not exist.
func (m *memory) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	path := name.String()
	if path == "" {
		return m.VFSFilename.OpenFilename(name, flags)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[path]
	if f == nil {
		if flags&vfs.OPEN_CREATE == 0 {
			return nil, flags, sqlite3.CANTOPEN
		}
		f = &memoryFile{}
		m.files[path] = f
	}
	return &openMemory{memoryFile: f, shm: vfs.NewSharedMemory(path+"-shm", flags)}, flags, nil
}

// Delete removes a file. A connection that has it open can still use it.
func (m *memory) Delete(path string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[path] == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	delete(m.files, path)
	return nil
}

// Access reports whether a file exists.
func (m *memory) Access(path string, _ vfs.AccessFlag) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.files[path] != nil, nil
}

// memoryFile is one file.
type memoryFile struct {
	mu   sync.RWMutex
	data []byte

	locks    sync.Mutex
	shared   int  // the connections with a lock of any level
	reserved bool // held by one of them, as are the next two
	pending  bool
	whole    bool
}

// openMemory is a file that one connection has open.
type openMemory struct {
	*memoryFile
	shm   vfs.SharedMemory
	level vfs.LockLevel
}

// ReadAt implements vfs.File.
func (f *openMemory) ReadAt(p []byte, off int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (f *openMemory) WriteAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = change{data: p, off: off}.apply(f.data)
	return len(p), nil
}

// Truncate implements vfs.File.
func (f *openMemory) Truncate(size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.data = change{off: size, truncate: true}.apply(f.data)
	return nil
}

// Size implements vfs.File.
func (f *openMemory) Size() (int64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return int64(len(f.data)), nil
}

// Lock implements vfs.File.
func (f *openMemory) Lock(level vfs.LockLevel) error {
	if f.level >= level {
		return nil
	}
	f.locks.Lock()
	defer f.locks.Unlock()
	switch level {
	case vfs.LOCK_SHARED:
		if f.pending || f.whole {
			return sqlite3.BUSY
		}
		f.shared++
	case vfs.LOCK_RESERVED:
		if f.reserved {
			return sqlite3.BUSY
		}
		f.reserved = true
	case vfs.LOCK_EXCLUSIVE:
		if f.level < vfs.LOCK_PENDING {
			if f.pending {
				return sqlite3.BUSY
			}
			f.pending, f.level = true, vfs.LOCK_PENDING
		}
		if f.shared > 1 {
			return sqlite3.BUSY
		}
		f.whole = true
	}
	f.level = level
	return nil
}

// Unlock implements vfs.File.
func (f *openMemory) Unlock(level vfs.LockLevel) error {
	if f.level <= level {
		return nil
	}
	f.locks.Lock()
	defer f.locks.Unlock()
	if f.level >= vfs.LOCK_RESERVED {
		f.reserved = false
	}
	if f.level >= vfs.LOCK_PENDING {
		f.pending = false
	}
	if f.level >= vfs.LOCK_EXCLUSIVE {
		f.whole = false
	}
	if level < vfs.LOCK_SHARED {
		f.shared--
	}
	f.level = level
	return nil
}

// CheckReservedLock implements vfs.File.
func (f *openMemory) CheckReservedLock() (bool, error) {
	f.locks.Lock()
	defer f.locks.Unlock()
	return f.reserved, nil
}

// LockState implements vfs.FileLockState.
func (f *openMemory) LockState() vfs.LockLevel { return f.level }

// Sync implements vfs.File. The Disk decides what a sync makes durable.
func (f *openMemory) Sync(vfs.SyncFlag) error { return nil }

// SectorSize implements vfs.File.
func (f *openMemory) SectorSize() int { return 4096 }

// DeviceCharacteristics implements vfs.File, as the system's files do.
func (f *openMemory) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_POWERSAFE_OVERWRITE
}

// SharedMemory implements vfs.FileSharedMemory.
func (f *openMemory) SharedMemory() vfs.SharedMemory { return f.shm }

// Close implements vfs.File.
func (f *openMemory) Close() error {
	if f.shm != nil {
		if err := f.shm.Close(); err != nil {
			return err
		}
	}
	return f.Unlock(vfs.LOCK_NONE)
}

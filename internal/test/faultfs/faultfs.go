// Package faultfs is a disk for tests of a store. It is an SQLite VFS over the system's
// VFS, or over memory, that fails a chosen call, runs full, and loses power.
//
// It remembers for every file what was synced and what was written since. When the
// power is off, nothing more is written. Restore then writes what a disk would still
// have: everything that was synced, and of the rest nothing, everything, or a random
// choice of sectors. A sync that fails loses the data that it should have synced, as on
// Linux. The error goes once to each program that has the file open, and a second try
// that succeeds proves nothing.
package faultfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3/vfs"
)

// Op is a kind of call that changes a file.
type Op uint8

// The calls that are counted. Any is all of them.
const (
	Write Op = 1 << iota
	Sync
	Truncate
	Delete

	Any = Write | Sync | Truncate | Delete
)

// A Call is one call that changes a file.
type Call struct {
	Op   Op
	File string // the base name of the file
	Off  int64  // the offset of the write, or the size after a truncation
	Data []byte // the written bytes; the callee must not keep them
}

// A Fault says which calls fail, and how.
type Fault struct {
	Ops     Op     // which calls are counted
	File    string // only files whose name ends with it; "" means all
	N       int    // the first call that fails, from 1
	Err     error  // its error
	Lasting bool   // all later calls fail as well, until Heal
	Cut     bool   // instead of an error, the power goes off just before the call
}

// Disk is one disk. Its methods may be called while the store works.
type Disk struct {
	Name string // of the VFS

	// Done is called after each call that succeeded, one at a time. It is set
	// before the disk is used.
	Done func(Call)

	below  vfs.VFSFilename
	there  func(path string) ([]byte, error) // the content of a file of below
	mu     sync.Mutex
	files  map[string]*content // by path
	fault  Fault
	seen   int    // calls that the fault counted
	hits   int    // the number of calls that failed
	failed []Call // those calls
	calls  int
	off    bool
	room   func() int64 // bytes that the files may still grow by; nil is no limit
}

// New returns a disk that SQLite finds by its name until the test ends.
func New(t testing.TB) *Disk {
	d := &Disk{below: vfs.Find("").(vfs.VFSFilename), there: os.ReadFile, files: make(map[string]*content)}
	d.Name = fmt.Sprintf("faultfs-%p", d)
	vfs.Register(d.Name, d)
	t.Cleanup(d.Unplug)
	return d
}

// Fail sets a fault in place of the one before.
func (d *Disk) Fail(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault, d.seen, d.hits, d.failed = f, 0, 0, nil
}

// Heal ends the fault. Calls succeed again unless the power is off. Hits and Failed
// still report earlier failures.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = Fault{}
}

// Hits returns how many calls have failed since Fail.
func (d *Disk) Hits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hits
}

// Failed reports whether a call of that kind on the file of that name has failed since
// Fail.
func (d *Disk) Failed(op Op, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.failed, func(c Call) bool { return c.Op == op && c.File == name })
}

// Calls returns the number of calls so far that change a file.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Limit makes the disk full for writes that would make a file grow by more than room
// returns. nil means no limit.
func (d *Disk) Limit(room func() int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = room
}

// Cut turns the power off.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// Off reports whether the power is off.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.off
}

var errOff = fmt.Errorf("the power is off: %w", syscall.EIO)

// begin counts a call and returns the error with which it fails. The caller holds the
// lock.
func (d *Disk) begin(op Op, path string) error {
	if d.off {
		return errOff
	}
	d.calls++
	f := &d.fault
	if f.N == 0 || f.Ops&op == 0 || !strings.HasSuffix(path, f.File) {
		return nil
	}
	d.seen++
	if d.seen < f.N || d.seen > f.N && !f.Lasting {
		return nil
	}
	d.hits++
	d.failed = append(d.failed, Call{Op: op, File: filepath.Base(path)})
	if f.Cut {
		d.off = true
		return errOff
	}
	return f.Err
}

func (d *Disk) done(op Op, path string, off int64, data []byte) {
	if d.Done != nil {
		d.Done(Call{Op: op, File: filepath.Base(path), Off: off, Data: data})
	}
}

// Open opens a file without a name.
func (d *Disk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return d.below.Open(name, flags)
}

// OpenFilename opens a file of the database.
func (d *Disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := name.String()
	if path != "" && d.off {
		return nil, flags, errOff
	}
	inner, flags, err := d.below.OpenFilename(name, flags)
	if err != nil || path == "" {
		return inner, flags, err
	}
	c := d.files[path]
	if c == nil || c.deleted {
		there, err := d.there(path)
		if err != nil {
			return nil, flags, errors.Join(err, inner.Close())
		}
		c = &content{before: c, durable: there, named: len(there) > 0 || flags&vfs.OPEN_MAIN_DB != 0}
		d.files[path] = c
	}
	return &file{File: inner, disk: d, path: path, content: c, told: c.failed}, flags, nil
}

// Delete removes a file. Until the directory is synced the file may come back.
func (d *Disk) Delete(name string, syncDir bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.begin(Delete, name); err != nil {
		return err
	}
	err := d.below.Delete(name, syncDir)
	if err != nil {
		return err
	}
	if c := d.files[name]; c != nil {
		c.deleted, c.gone = true, syncDir
	}
	d.done(Delete, name, 0, nil)
	return nil
}

// Access reports whether a file exists.
func (d *Disk) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return d.below.Access(name, flags)
}

// FullPathname returns the path of a file.
func (d *Disk) FullPathname(name string) (string, error) { return d.below.FullPathname(name) }

// file is an open file.
type file struct {
	vfs.File
	disk    *Disk
	path    string
	content *content
	told    int // how many failed syncs it has reported
}

// SharedMemory is the index of the WAL. It does not survive a power cut.
func (f *file) SharedMemory() vfs.SharedMemory {
	if below, ok := f.File.(vfs.FileSharedMemory); ok {
		return below.SharedMemory()
	}
	return nil
}

// WriteAt writes. When it fails, half of the sectors were written.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	err := f.disk.begin(Write, f.path)
	if err == nil {
		err = f.fits(off + int64(len(p)))
	}
	if err != nil {
		if f.disk.off {
			return 0, err
		}
		half := p[:len(p)/2/sector*sector]
		n, failed := f.File.WriteAt(half, off)
		f.content.wrote(half, off)
		return n, errors.Join(err, failed)
	}
	n, err := f.File.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	f.content.wrote(p, off)
	f.disk.done(Write, f.path, off, p)
	return n, nil
}

// fits reports whether the disk has room for the file to end at end.
func (f *file) fits(end int64) error {
	if f.disk.room == nil {
		return nil
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	if more := end - size; more > 0 && more > f.disk.room() {
		f.disk.hits++
		return syscall.ENOSPC
	}
	return nil
}

// Sync makes all writes to the file durable, whoever made them.
func (f *file) Sync(vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.begin(Sync, f.path); err != nil {
		if !f.disk.off {
			f.content.pending = nil // lost, although it can still be read
			f.content.failed++
			f.content.err, f.told = err, f.content.failed
		}
		return err
	}
	if f.told < f.content.failed {
		f.told = f.content.failed
		return f.content.err
	}
	if !f.content.named {
		f.disk.syncNames()
	}
	f.content.sync()
	f.disk.done(Sync, f.path, 0, nil)
	return nil
}

// syncNames makes the names of the files durable: the first sync of a new journal also
// syncs the directory.
func (d *Disk) syncNames() {
	for _, c := range d.files {
		c.named, c.gone = true, c.deleted
	}
}

// Truncate cuts the file.
func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.begin(Truncate, f.path); err != nil {
		return err
	}
	if err := f.File.Truncate(size); err != nil {
		return err
	}
	f.content.pending = append(f.content.pending, change{off: size, truncate: true})
	f.disk.done(Truncate, f.path, size, nil)
	return nil
}

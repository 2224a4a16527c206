package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/filelock"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/ncruces/go-sqlite3"
)

// house is a store on real files, with letters that it has confirmed.
type house struct {
	*testing.T
	dir   string
	store *Store
	l     *ledger
}

func newHouse(t *testing.T) *house {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: on Windows an open file cannot be deleted or replaced")
	}
	h := &house{T: t, dir: fresh(t, t.TempDir()), l: newLedger()}
	h.store = h.open()
	h.post("first")
	return h
}

func (h *house) open() *Store {
	h.Helper()
	s, err := Open(Options{Dir: h.dir, Watch: true})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { s.Close() }) // a second Close if the test closed it
	return s
}

func (h *house) post(name string) {
	h.Helper()
	alice, bob := cast(h.T, h.store)
	if err := h.l.post(h.store, alice, bob, name); err != nil {
		h.Fatal(err)
	}
}

func (h *house) file(suffix string) string { return filepath.Join(h.dir, FileName+suffix) }

func (h *house) do(errs ...error) {
	h.Helper()
	if err := errors.Join(errs...); err != nil {
		h.Fatal(err)
	}
}

// copied copies a file in its directory, and returns the name of the copy.
func (h *house) copied(name string) string {
	h.Helper()
	content, err := os.ReadFile(name)
	h.do(err, os.WriteFile(name+".copy", content, 0o600))
	return name + ".copy"
}

// over writes the content of a file over another, as cp does.
func (h *house) over(from, to string) {
	h.Helper()
	content, err := os.ReadFile(from)
	h.do(err, os.WriteFile(to, content, 0o600))
}

// checkpoint moves the journal into the database.
func (h *house) checkpoint() {
	h.Helper()
	h.do(h.store.write(h.Context(), 0, func(w *writer) error { return nil }))
	h.store.keeper.wake <- struct{}{}
	for deadline := time.Now().Add(time.Minute); ; {
		h.store.keeper.mu.Lock()
		done := h.store.keeper.copied
		h.store.keeper.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			h.Fatal("nothing was copied")
		}
		runtime.Gosched()
	}
}

// TestTakenFiles: whatever another program does with the files of a running store, it
// accepts no further message and reports what happened. It leaves no file that would
// destroy other data. Everything confirmed is there at the next start, unless the file
// with it was destroyed.
func TestTakenFiles(t *testing.T) {
	slow.Test(t, "it waits for the store to look at its files")
	t.Parallel()
	for name, tt := range map[string]struct {
		before func(*house) // runs while the store is open
		take   func(*house)
		why    string
		next   string // the error of the next start, "" for none
		kept   bool   // everything confirmed is there after the next start
		aside  int    // files that were set aside
	}{
		"the database is deleted": {take: func(h *house) { h.do(os.Remove(h.file(""))) },
			why: "amtp.db was deleted", next: "its journal"},
		"the database is replaced by a copy": {take: func(h *house) {
			h.do(os.Rename(h.copied(h.file("")), h.file("")))
		}, why: "amtp.db was replaced", aside: 2},
		"the database is moved and put back": {take: func(h *house) {
			h.do(os.Rename(h.file(""), h.file(".moved")))
		}, why: "amtp.db was deleted", next: "its journal"},
		"an older copy is written over the database": {
			before: func(h *house) { h.copied(h.file("")) },
			take:   func(h *house) { h.over(h.file(".copy"), h.file("")) }, why: "amtp.db was written to", aside: 2},
		"an older copy of the same length, after a checkpoint": {
			take: func(h *house) {
				copied := h.copied(h.file(""))
				h.post("second")
				h.checkpoint()
				h.over(copied, h.file(""))
			}, why: "amtp.db was written to", aside: 2},
		"the database is cut": {take: func(h *house) { h.do(os.Truncate(h.file(""), 0)) },
			why: "amtp.db was written to", aside: 2},
		"the journal is deleted": {take: func(h *house) { h.do(os.Remove(h.file("-wal"))) },
			why: "amtp.db-wal was deleted", kept: true},
		"the journal is replaced by a copy": {take: func(h *house) {
			copied := h.copied(h.file("-wal"))
			h.post("second")
			h.do(os.Rename(copied, h.file("-wal")))
		}, why: "amtp.db-wal was replaced", kept: true, aside: 1},
		"an older copy is written over the journal": {take: func(h *house) {
			copied := h.copied(h.file("-wal"))
			h.post("second")
			h.over(copied, h.file("-wal"))
		}, why: "amtp.db-wal was written to", aside: 2},
		"the journal is cut": {take: func(h *house) {
			h.do(os.Truncate(h.file("-wal"), 0))
		}, why: "amtp.db-wal was written to", aside: 1},
		"the index is deleted": {take: func(h *house) { h.do(os.Remove(h.file("-shm"))) },
			why: "amtp.db-shm was deleted", kept: true},
		"the index is replaced": {take: func(h *house) {
			h.do(os.Rename(h.copied(h.file("-shm")), h.file("-shm")))
		}, why: "amtp.db-shm was replaced", kept: true},
		"the directory is replaced": {take: func(h *house) {
			h.do(os.Rename(h.dir, h.dir+".moved"), os.Mkdir(h.dir, 0o700))
		}, why: "amtp.db was deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.before == nil {
				tt.before = func(*house) {}
			}
			h := newHouse(t)
			if name == "an older copy is written over the database" {
				h.do(h.store.Close())
				tt.before(h)
				h.store = h.open()
				h.post("first-again")
			}
			tt.take(h)
			select {
			case <-h.store.Failed():
			case <-time.After(time.Minute):
				t.Fatal("the store goes on")
			}
			why := h.store.Failure()
			if !errors.Is(why, gateway.ErrTaken) || !strings.Contains(why.Error(), tt.why) {
				t.Errorf("Failure = %v, want ErrTaken: %s", why, tt.why)
			}
			alice, bob := gateway.Agent{ID: 1, Address: mustAddress(t, "alice")},
				gateway.Agent{ID: 2, Address: mustAddress(t, "bob")}
			if _, err := h.store.Accept(t.Context(), note(alice, bob, "late")); !errors.Is(err, gateway.ErrClosed) {
				t.Errorf("Accept = %v, want ErrClosed", err)
			}
			if err := h.store.Close(); err != nil {
				t.Logf("close: %v", err) // the files are gone
			}
			aside, err := filepath.Glob(h.file("-*.set-aside-*"))
			if err != nil || len(aside) != tt.aside {
				t.Errorf("files that were set aside: %v, %v; want %d", aside, err, tt.aside)
			}
			h.nextStart(tt.next, tt.kept)
		})
	}
}

func mustAddress(t *testing.T, name string) (a amtp.Address) {
	t.Helper()
	if err := a.UnmarshalText([]byte(name + "@shop.example")); err != nil {
		t.Fatal(err)
	}
	return a
}

// nextStart opens the store again.
func (h *house) nextStart(refused string, kept bool) {
	h.Helper()
	s, err := Open(Options{Dir: h.dir})
	if refused != "" {
		if err == nil || !strings.Contains(err.Error(), refused) {
			h.Errorf("the next start = %v, want an error about %s", err, refused)
		}
		return
	}
	if err != nil {
		if !kept {
			h.Logf("the next start: %v", err) // the file there is not a database
			return
		}
		h.Fatal(err)
	}
	defer s.Close()
	sound(h.T, s)
	if kept {
		h.l.check(h.T, s)
	}
}

// TestOwnFilesAreNotTaken: allowed access by other programs, and the store's own
// writes, do not make it fail.
func TestOwnFilesAreNotTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, do := range map[string]func(){
		"touched":             func() { h.do(os.Chtimes(h.file(""), day, day), os.Chtimes(h.file("-wal"), day, day)) },
		"another mode":        func() { h.do(os.Chmod(h.file(""), 0o640)) },
		"another name beside": func() { h.do(os.Link(h.file(""), h.file(".link"))) },
		"a message":           func() { h.post("a-message") },
		"a checkpoint":        func() { h.post("before-a-checkpoint"); h.checkpoint(); h.post("behind-a-checkpoint") },
		"a backup": func() {
			_, err := Backup(h.Context(), h.dir, filepath.Join(h.TempDir(), "backup.db"), false)
			h.do(err)
		},
		"a check": func() {
			for _, f := range Check(h.Context(), h.dir) {
				if !f.OK {
					h.Errorf("%+v", f)
				}
			}
		},
		"another reader": func() {
			c, err := sqlite3.Open(h.file(""))
			h.do(err, c.Exec(`SELECT count(*) FROM message`), c.Close())
		},
		"a row of its own content": func() { h.over(h.copied(h.file("")), h.file("")) },
	} {
		do()
		for range 3 {
			if got := h.store.files.look(); got != nil {
				t.Fatalf("%s: %+v, want nothing", name, got)
			}
		}
	}
	if err := h.store.Failure(); err != nil {
		t.Errorf("Failure = %v", err)
	}
}

// TestFirstStartIsNotTaken: the writes with which the first start creates the database
// do not make it fail.
func TestFirstStartIsNotTaken(t *testing.T) {
	t.Parallel()
	h := &house{T: t, dir: t.TempDir(), l: newLedger()}
	h.store = h.open()
	for i := range 3 {
		h.post(fmt.Sprint("letter", i))
		if got := h.store.files.look(); got != nil {
			t.Fatalf("%+v, want nothing", got)
		}
	}
}

// TestSecondStore: a second store does not open the database, not even under another
// name of the file, or when the lock file of the process is gone.
func TestSecondStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	other := t.TempDir()
	h.do(os.Link(h.file(""), filepath.Join(other, FileName)))
	for _, dir := range []string{h.dir, other} {
		if s, err := Open(Options{Dir: dir}); !errors.Is(err, filelock.ErrLocked) {
			t.Errorf("a second store in %s = %v, %v; want ErrLocked", dir, s, err)
		}
	}
	h.post("still")
	h.do(h.store.Close())
	h.store = h.open()
	h.l.check(t, h.store)
}

// TestDefectOfOneWrite: a defect in one write is an error of that write only, not of
// writes in the same batch or after it.
func TestDefectOfOneWrite(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	started, go1 := make(chan struct{}), make(chan struct{})
	go func() {
		_ = h.store.write(h.Context(), 0, func(*writer) error {
			close(started)
			<-go1
			return nil
		})
	}()
	<-started // the next writes are one batch
	errs := make(chan error, 3)
	for i := range 3 {
		go func() {
			errs <- h.store.write(h.Context(), 0, func(w *writer) error {
				_, err := w.exec(`INSERT INTO setting (name, value) VALUES (?, 'x')`, fmt.Sprint("row", i))
				if i == 1 {
					panic("of one write")
				}
				return err
			})
		}()
	}
	close(go1)
	failed := 0
	for range 3 {
		if err := <-errs; err != nil {
			failed++
			if !strings.Contains(err.Error(), "of one write") {
				t.Errorf("write = %v, want the defect", err)
			}
		}
	}
	rows := 0
	h.do(h.store.read(h.Context(), func(r *reader) error {
		return r.query(`SELECT count(*) FROM setting WHERE name LIKE 'row%'`, func(s *sqlite3.Stmt) error {
			rows = s.ColumnInt(0)
			return nil
		})
	}))
	if failed != 1 || rows != 2 {
		t.Errorf("%d writes failed and %d rows are there, want 1 and 2", failed, rows)
	}
	h.post("afterwards")
	h.l.check(t, h.store)
}

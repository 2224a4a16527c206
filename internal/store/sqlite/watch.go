package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/amtp-go/amtp/internal/filelock"
	"github.com/amtp-go/amtp/internal/gateway"
)

// watchEvery is how often the store checks that the files of the database are still the
// ones that it opened. After every commit it also checks that they still have their
// names, before the caller gets its result.
const watchEvery = 500 * time.Millisecond

// watch holds the open files of the database, whatever files have their names now. A
// store whose files another program deleted, replaced or wrote to fails, as after an
// I/O error.
type watch struct {
	database, wal, shm guarded
	looking            sync.Mutex // held by look, which notes the state of the files
}

// guarded is a file that was opened under its name.
type guarded struct {
	name     string
	file     *os.File // nil for a file that is not watched
	was      os.FileInfo
	written  *imprint // nil where writes are not noted
	seen     int64    // number of writes at the last look
	size     int64
	modified time.Time
}

// taken is what another program did to a file of the database.
type taken struct {
	text     string
	database bool // the database itself is gone; its journal belongs to no other database
	journal  bool // the journal no longer holds the writes of this store
}

// lockTries and lockPause give a command that checks whether the database is free time
// to finish.
const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// hold opens the database and locks it for this process. The lock is on the database
// file itself, so it keeps out a second process whatever happened to other files.
func hold(name string) (*os.File, error) {
	for try := 1; ; try++ {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		err = filelock.Database(f)
		if err == nil || errors.Is(err, errors.ErrUnsupported) {
			return f, nil
		}
		err = errors.Join(err, f.Close())
		if try == lockTries || !errors.Is(err, filelock.ErrLocked) {
			return nil, fmt.Errorf("another process has the database %s: %w", name, err)
		}
		time.Sleep(lockPause)
	}
}

// open begins to watch a file in its present state.
func (w *guarded) open(name string, f *os.File, written *imprint) (err error) {
	w.name, w.file, w.written = name, f, written
	if f == nil {
		if w.file, err = os.Open(name); err != nil {
			return err
		}
	}
	if w.was, err = w.file.Stat(); err != nil {
		return err
	}
	w.size, w.modified = w.was.Size(), w.was.ModTime()
	if written != nil {
		err = written.begins(w.file)
	}
	return err
}

func (w *guarded) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// named describes what has the name of the file instead, "" while the file has it, and
// when that cannot be found out.
func (w *guarded) named() string {
	if w.file == nil {
		return ""
	}
	now, err := os.Stat(w.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.name + " was deleted"
	case err == nil && !os.SameFile(w.was, now):
		return w.name + " was replaced by another file"
	}
	return ""
}

// content describes how another program changed the content of the file, "" for not at
// all.
func (w *guarded) content() string {
	if w.file == nil {
		return ""
	}
	if w.written == nil { // only its size is checked
		now, err := w.file.Stat()
		if err == nil && now.Size() < w.size {
			return w.name + " was truncated by another program"
		}
		if err == nil {
			w.size = now.Size()
		}
		return ""
	}
	page, quiet := w.written.read()
	if !quiet {
		return "" // the next look checks it
	}
	now, err := w.file.Stat()
	if err != nil {
		return ""
	}
	text := ""
	if page.size >= 0 && now.Size() != page.size {
		text = w.name + " was written to by another program"
	} else if page.at != w.seen || !now.ModTime().Equal(w.modified) {
		if ok, err := page.says(w.file); err == nil && !ok {
			text = w.name + " was written to by another program"
		}
	}
	if text != "" && !w.written.stillAt(page) {
		return ""
	}
	w.seen, w.modified = page.at, now.ModTime()
	return text
}

// names checks that the files have their names. It returns nil when they do.
func (w *watch) names() *taken {
	if text := w.database.named(); text != "" {
		return &taken{text: text, database: true}
	}
	for _, f := range []*guarded{&w.wal, &w.shm} {
		if text := f.named(); text != "" {
			return &taken{text: text}
		}
	}
	return nil
}

// look is names, and also checks the content of the files.
func (w *watch) look() *taken {
	w.looking.Lock()
	defer w.looking.Unlock()
	if t := w.names(); t != nil {
		return t
	}
	if text := w.database.content(); text != "" {
		return &taken{text: text, database: true, journal: w.wal.content() != ""}
	}
	if text := w.wal.content(); text != "" {
		return &taken{text: text, journal: true}
	}
	if text := w.shm.content(); text != "" {
		return &taken{text: text}
	}
	return nil
}

// openWatch begins to watch the files, which all connections have opened. A row with a
// random word and a checkpoint make the database different from every copy that was
// made before.
func (s *Store) openWatch(dir string, written *imprints) error {
	name := filepath.Join(dir, FileName)
	if err := s.files.wal.open(name+"-wal", nil, &written.wal); err != nil {
		return err
	}
	if err := s.files.shm.open(name+"-shm", nil, nil); err != nil {
		return err
	}
	if err := s.files.database.open(name, s.files.database.file, &written.database); err != nil {
		return err
	}
	return s.writer.sign()
}

// keepWatch looks at the files until Close.
func (s *Store) keepWatch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if t := s.files.look(); t != nil {
				_ = s.lose(t)
				return
			}
		case <-s.closed:
			return
		}
	}
}

// lose makes the store fail, and returns the reason.
func (s *Store) lose(t *taken) error {
	why := fmt.Errorf("%w: %s", gateway.ErrTaken, t.text)
	if s.taken.CompareAndSwap(nil, t) {
		s.keeper.end(why)
		s.fail(why)
	}
	return why
}

// guard is called between a commit and its answer. A write to a file that has lost its
// name is not durable.
func (s *Store) guard() error {
	if t := s.files.names(); t != nil {
		return s.lose(t)
	}
	return nil
}

// asideTime is the format of the time in the name of a file that is set aside.
const asideTime = "20060102T150405.000Z"

// setAside renames a file next to the database, so that SQLite does not find it. A
// journal of another database would destroy this one.
func (s *Store) setAside(name string) {
	aside := name + ".set-aside-" + time.Now().UTC().Format(asideTime)
	err := os.Rename(name, aside)
	switch {
	case err == nil:
		s.log.Error("a file that does not belong to the database was set aside", "file", aside)
	case !errors.Is(err, fs.ErrNotExist):
		s.log.Error("a file that does not belong to the database could not be set aside; move it away before the next start",
			"file", name, "cause", err)
	}
}

// beforeEnd prepares the files for the closing of the connections. SQLite would treat a
// foreign journal with the name of ours as ours, and delete it.
func (s *Store) beforeEnd(t *taken) error {
	err := errors.Join(s.files.wal.close(), s.files.shm.close())
	if t == nil || t.database || t.journal {
		return err
	}
	if now, failed := os.Stat(s.files.wal.name); failed == nil && !os.SameFile(now, s.files.wal.was) {
		s.setAside(s.files.wal.name)
	}
	return err
}

// afterEnd sets aside files that SQLite would mix with another database at the next
// start: the journal of a database that was replaced, or a journal that another program
// wrote.
func (s *Store) afterEnd(t *taken) {
	if t == nil || !t.database && !t.journal {
		return
	}
	if _, err := os.Stat(s.files.database.name); err != nil {
		return // the database may be put back, and then needs its journal
	}
	for _, f := range []*guarded{&s.files.wal, &s.files.shm} {
		now, err := os.Stat(f.name)
		if err != nil || !os.SameFile(now, f.was) || now.Size() == 0 || t.database && t.journal {
			continue
		}
		s.setAside(f.name)
	}
}

// saves reports whether the journal of a failed store may be moved into the database.
// It may if both files hold what this store wrote, and only a name was taken.
func (t *taken) saves() bool { return t != nil && !t.database && !t.journal }

// refuseOrphan refuses a journal whose database is gone, because SQLite would delete
// it.
func refuseOrphan(dir string) error {
	name := filepath.Join(dir, FileName)
	journal, err := os.Stat(name + "-wal")
	if err != nil || journal.Size() == 0 {
		return nil
	}
	if database, err := os.Stat(name); err == nil && database.Size() > 0 {
		return nil
	}
	return fmt.Errorf("%s is gone, and its journal %s-wal is there: put the database back, or restore a backup with amtp restore; to start with an empty database, move the journal away",
		name, name)
}

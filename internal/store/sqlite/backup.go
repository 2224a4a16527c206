package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// Facts are counts of a database, which show whether a copy is complete.
type Facts struct {
	Schema     int64 `json:"schema"`
	Agents     int64 `json:"agents"`
	Messages   int64 `json:"messages"`
	Deliveries int64 `json:"deliveries"`
}

// Reasons to refuse a copy, besides faults.
var (
	ErrNoDatabase = errors.New("there is no database")
	ErrOccupied   = errors.New("exists already")
	ErrUnsound    = errors.New("is not a sound database of a gateway")
	ErrJournal    = errors.New("has a journal next to it, so it is a database in use and no backup; make one with amtp backup")
)

// Backup copies the database in dir to a file, as it is at one moment, while a gateway
// may be writing to it. The file appears complete and verified, or not at all. An
// existing file is replaced only if replace is set. The database is opened only for
// reading: nothing in it changes, not even when it is closed.
func Backup(ctx context.Context, dir, file string, replace bool) (facts Facts, err error) {
	if err := mayWrite(dir, file, replace); err != nil {
		return facts, err
	}
	temp, err := tempBeside(file, ".amtp-backup-*.tmp")
	if err != nil {
		return facts, err
	}
	defer removeTemp(temp)
	before, err := copying{pinned: maxPinned, piece: pieceSize}.run(ctx, filepath.Join(dir, FileName), temp)
	if err != nil {
		return facts, err
	}
	if err := alone(temp, ""); err != nil {
		return facts, err
	}
	if facts, err = Examine(ctx, temp); err == nil {
		err = before.reached(ctx, temp)
	}
	if err != nil {
		return facts, fmt.Errorf("verify the backup: %w", err)
	}
	return facts, appear(temp, file, replace)
}

// mayWrite refuses an existing target unless replace is set, and always the database
// itself.
func mayWrite(dir, file string, replace bool) error {
	there, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if own, err := os.Stat(filepath.Join(dir, FileName)); err == nil && os.SameFile(own, there) {
		return fmt.Errorf("%s is the database itself", file)
	}
	if !there.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", file)
	}
	if !replace {
		return fmt.Errorf("%s %w", file, ErrOccupied)
	}
	return nil
}

// openToRead opens a database of ours without the right to change it.
func openToRead(name string, options url.Values) (*statements, error) {
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	path := filepath.ToSlash(name)
	if options == nil {
		options = url.Values{"modeof": {path}} // a journal that is created gets the same file mode
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: options.Encode()}
	conn, err := sqlite3.OpenFlags(u.String(), sqlite3.OPEN_READONLY|sqlite3.OPEN_URI)
	if err != nil {
		return nil, err
	}
	c := &statements{conn: conn}
	if err := conn.Exec(`PRAGMA busy_timeout = 10000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY`); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *statements) facts() (f Facts, err error) {
	err = c.query(`SELECT (SELECT max(version_id) FROM goose_db_version WHERE is_applied), (SELECT count(*) FROM agent WHERE removed IS NULL),
			(SELECT count(*) FROM message), (SELECT count(*) FROM delivery)`, func(s *sqlite3.Stmt) error {
		f = Facts{Schema: s.ColumnInt64(0), Agents: s.ColumnInt64(1), Messages: s.ColumnInt64(2),
			Deliveries: s.ColumnInt64(3)}
		return nil
	})
	return f, err
}

// Examine verifies a file to which no process writes: it is a sound database of a
// gateway, with a schema that this release knows.
func Examine(ctx context.Context, file string) (facts Facts, err error) {
	return examine(ctx, file, file)
}

// examine is Examine, with another name for the file in its errors.
func examine(ctx context.Context, file, name string) (facts Facts, err error) {
	c, err := openToRead(file, url.Values{"immutable": {"1"}})
	if err != nil {
		return facts, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	faults, err := c.integrity()
	if err != nil {
		return facts, fmt.Errorf("%s %w: %w", name, ErrUnsound, err)
	}
	if len(faults) > 0 {
		return facts, fmt.Errorf("%s %w: %s", name, ErrUnsound, strings.Join(faults, "; "))
	}
	if facts, err = c.facts(); err != nil {
		return facts, fmt.Errorf("%s %w: %w", name, ErrUnsound, err)
	}
	if newest := NewestSchema(); facts.Schema > newest {
		return facts,
			fmt.Errorf("%s has schema %d and this release knows %d: use the release that wrote it, or a newer one",
				name, facts.Schema, newest)
	}
	return facts, nil
}

// maxFaults is the most faults of a damaged file that are reported.
const maxFaults = 5

// integrity returns the faults that SQLite finds in the file.
func (c *statements) integrity() (faults []string, err error) {
	err = c.query(`PRAGMA integrity_check(`+strconv.Itoa(maxFaults)+`)`, func(s *sqlite3.Stmt) error {
		if text := s.ColumnText(0); text != "ok" {
			faults = append(faults, text)
		}
		return nil
	})
	return faults, err
}

// NewestSchema returns the number of the last migration. It is the schema that this
// release writes, and the newest that it reads.
func NewestSchema() (newest int64) {
	names, _ := fs.Glob(migrations, "migrations/*.sql") // the pattern is well formed
	for _, name := range names {
		number, _, _ := strings.Cut(filepath.Base(name), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// alone runs sql in the file, and then makes the file complete without a journal next
// to it.
func alone(file, sql string) error {
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(file)}
	conn, err := sqlite3.OpenFlags(u.String(), sqlite3.OPEN_READWRITE|sqlite3.OPEN_URI)
	if err != nil {
		return err
	}
	err = conn.Exec(`PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; ` + sql)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	if left, err := os.Stat(file + "-wal"); err == nil && left.Size() > 0 {
		return fmt.Errorf("the journal of %s could not be moved into it", file)
	}
	for _, suffix := range []string{"-wal", "-shm"} { // an empty journal and its index
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// tempBeside creates an empty file that only its owner can read, in the directory in
// which file is to appear.
func tempBeside(file, pattern string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), pattern) // mode 0600
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// removeTemp removes the rest of a temporary database. A file that cannot be removed
// does no harm.
func removeTemp(name string) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		_ = os.Remove(name + suffix)
	}
}

// appear makes a complete temporary file durable, and gives it its final name.
func appear(temp, file string, replace bool) error {
	f, err := os.OpenFile(temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if !replace {
		if err := os.Link(temp, file); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s %w", file, ErrOccupied)
		} else if err == nil {
			return syncDir(filepath.Dir(file))
		} // a filesystem without hard links; the file did not exist a moment ago
	}
	if err := os.Rename(temp, file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// Restored says what a Restore did.
type Restored struct {
	Facts
	Aside string // the new name of the former database, "" when there was none
}

// floorStep is how many inbox sequences and job ids are skipped at a restore. Readers
// hold cursors from the time that the restore lost, and reports were made from its
// jobs. New numbers have to be higher than all of these.
const floorStep = 1 << 30

// Restore replaces the database in dir, which the caller has locked, by a backup. The
// store that is opened there later is paused. An existing database is moved aside if
// replace is set, and refused otherwise. At every moment one complete database is in
// place, the old or the new one.
func Restore(ctx context.Context, dir, file string, replace bool, now time.Time) (done Restored, err error) {
	name := filepath.Join(dir, FileName)
	there, err := os.Stat(name)
	occupied := err == nil && there.Size() > 0
	if occupied && !replace {
		return done, fmt.Errorf("%s %w", name, ErrOccupied)
	}
	if journal, err := os.Stat(file + "-wal"); err == nil && journal.Size() > 0 {
		return done, fmt.Errorf("%s %w", file, ErrJournal)
	}
	temp, err := tempBeside(name, ".amtp-restore-*.tmp")
	if err != nil {
		return done, err
	}
	defer removeTemp(temp)
	if err := copyFile(ctx, file, temp); err != nil {
		return done, err
	}
	if done.Facts, err = examine(ctx, temp, file); err != nil {
		return done, err
	}
	if err := alone(temp, pausing(now)); err != nil {
		return done, err
	}
	if err := removeIndex(dir); err != nil { // it is of the former messages
		return done, err
	}
	if occupied {
		if done.Aside, err = setAside(name, now); err != nil {
			return done, fmt.Errorf("move the former database aside: %w", err)
		}
	} else if err := asideJournal(name, asideName(name, now)); err != nil { // a journal whose database is gone
		return done, fmt.Errorf("move the former journal aside: %w", err)
	}
	return done, appear(temp, name, true)
}

// removeIndex removes the search index of a directory that no store uses. The next one makes
// it again.
func removeIndex(dir string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Remove(filepath.Join(dir, SearchName) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// pausing returns the statements that make the store in a copy start paused.
func pausing(now time.Time) string {
	return fmt.Sprintf(`BEGIN;
		INSERT INTO setting (name, value) VALUES ('%s', '%d') ON CONFLICT (name) DO UPDATE SET value = excluded.value;
		INSERT INTO setting (name, value) SELECT '%s', %d + max(coalesce((SELECT max(seq) FROM delivery), 0),
			coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = '%[3]s'), 0))
			WHERE true ON CONFLICT (name) DO UPDATE SET value = excluded.value;
		INSERT INTO sqlite_sequence (name, seq) SELECT 'job', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'job');
		UPDATE sqlite_sequence SET seq = seq + %[4]d WHERE name = 'job';
		COMMIT;`, pauseRow, now.UnixMicro(), floorRow, floorStep)
}

func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	for err == nil {
		if _, err = io.CopyN(out, in, 16<<20); err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, out.Close())
}

// looksSound reports whether the file begins as a database does. SQLite treats any
// other file as an empty database, and deletes the journal next to it.
func looksSound(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close() // it was only read
	head := make([]byte, pageSize)
	_, err = io.ReadFull(f, head)
	return err == nil && strings.HasPrefix(string(head), "SQLite format 3\x00")
}

// setAside gives the database a second name, which it keeps when the new one takes its
// place. First its journal is moved into it. If that is not possible because it is
// damaged, the journal is moved aside as well.
func setAside(name string, now time.Time) (string, error) {
	aside := asideName(name, now)
	if mendable := looksSound(name) && alone(name, "") == nil; !mendable { // else alone has removed the journal
		if err := asideJournal(name, aside); err != nil {
			return "", err
		}
	}
	if err := os.Link(name, aside); err != nil {
		if err := os.Rename(name, aside); err != nil { // a filesystem without hard links
			return "", err
		}
	}
	return aside, syncDir(filepath.Dir(name))
}

func asideName(name string, now time.Time) string {
	return name + ".before-restore-" + now.UTC().Format(asideTime)
}

// asideJournal moves the journal files of the former database aside. Next to another
// database, SQLite would use them as its journal.
func asideJournal(name, aside string) error {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Rename(name+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"

	"github.com/amtp-go/amtp/internal/store"
)

// location returns the URI with which every connection opens the file.
func location(dir, vfs string) string {
	name := filepath.ToSlash(filepath.Join(dir, FileName))
	q := url.Values{"vfs": {vfs}, "modeof": {name}} // the journal gets the file mode of the database
	// In SQLite's URIs a plus sign does not mean a space.
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	u := url.URL{Scheme: "file", OmitHost: true, Path: name, RawQuery: query}
	return u.String()
}

func (s *Store) open(o Options) error {
	if s.written != nil {
		if err := refuseOrphan(o.Dir); err != nil {
			return err
		}
	}
	if err := makePrivate(filepath.Join(o.Dir, FileName)); err != nil {
		return err
	}
	if s.written != nil {
		f, err := hold(filepath.Join(o.Dir, FileName))
		if err != nil {
			return err
		}
		s.files.database.file = f
	}
	conn, err := s.first(filepath.Join(o.Dir, FileName+"-shm"))
	if err != nil {
		return err
	}
	if err := syncDir(o.Dir); err != nil {
		return errors.Join(err, conn.Close())
	}
	s.writer = newWriter(conn, s.fail)
	if s.writer.reserve, err = openReserve(o); err != nil {
		return err
	}
	for range cap(s.readers) {
		conn, err := connect(s.path, readerCache)
		if err != nil {
			return err
		}
		s.readers <- &reader{statements{conn: conn}}
		s.opened++
	}
	if s.keeper, err = newCheckpointer(s.path, s.writer, o); err != nil {
		return err
	}
	s.dir, err = loadDirectory(&s.writer.statements, s.log)
	if err != nil {
		return err
	}
	s.keeper.quiesce = s.quiesce
	if err := s.writer.start(s.dir, s.bells, s.keeper); err != nil {
		return err
	}
	if err := s.loadPause(); err != nil {
		return err
	}
	if err := s.writer.lapse(); err != nil {
		return err
	}
	if err := s.openClock(); err != nil {
		return err
	}
	if s.written != nil {
		if err := s.openWatch(o.Dir, s.written); err != nil {
			return err
		}
		s.writer.guard = s.guard
	}
	s.batcher = store.NewBatcher(s.writer.commit)
	return nil
}

// first opens the first connection, the writer's, and brings the schema up to date. At
// most starts it is up to date already.
func (s *Store) first(index string) (*sqlite3.Conn, error) {
	// A process that can open the index can hold its locks and stop every write. The
	// index is created before anything is open, because closing a file may release
	// locks that others have on it.
	if err := makePrivate(index); err != nil {
		return nil, err
	}
	conn, err := connect(s.path, writerCache)
	if err != nil {
		return nil, err
	}
	current, err := isCurrent(conn)
	if err == nil && current {
		if err = checkColumns(conn); err == nil {
			return conn, nil
		}
	}
	if err := errors.Join(err, conn.Close()); err != nil {
		return nil, err
	}
	if err := migrate(s.path); err != nil {
		return nil, err
	}
	if err := makePrivate(index); err != nil {
		return nil, err
	}
	return connect(s.path, writerCache)
}

// makePrivate makes the database readable by its owner only, before SQLite writes the
// first byte, because it holds the mail of all agents.
func makePrivate(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// syncDir makes the entries of new files in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncHandle(d), d.Close())
}

// Page cache of a connection, in KiB, as PRAGMA cache_size counts it. The operating
// system caches the file as well; these caches keep the pages of the B-trees that are
// used most.
const (
	writerCache = 16 << 10
	readerCache = 2 << 10
)

// connect opens one connection and checks that its commits are durable.
func connect(path string, cacheKiB int) (*sqlite3.Conn, error) {
	conn, err := sqlite3.OpenFlags(path,
		sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE|sqlite3.OPEN_URI|sqlite3.OPEN_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	if err := configure(conn, cacheKiB); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func configure(conn *sqlite3.Conn, cacheKiB int) error {
	settings := fmt.Sprintf(`
		PRAGMA busy_timeout = 10000;
		PRAGMA page_size = 8192;
		PRAGMA journal_mode = WAL;
		PRAGMA synchronous = FULL;
		PRAGMA wal_autocheckpoint = 0;
		PRAGMA journal_size_limit = 67108864;
		PRAGMA temp_store = MEMORY;
		PRAGMA cache_size = -%d;`, cacheKiB)
	if err := conn.Exec(settings); err != nil {
		return err
	}
	return checkDurable(conn)
}

// checkDurable reads back the settings on which durability depends. Some builds of
// SQLite silently use a weaker setting.
func checkDurable(conn *sqlite3.Conn) error {
	for pragma, want := range map[string]string{"synchronous": "2", "journal_mode": "wal"} {
		stmt, _, err := conn.Prepare("PRAGMA " + pragma)
		if err != nil {
			return err
		}
		got := ""
		if stmt.Step() {
			got = stmt.ColumnText(0)
		}
		if err := errors.Join(stmt.Err(), stmt.Close()); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("PRAGMA %s is %q and not %q: a message could be lost in a power cut, so the database is not opened",
				pragma, got, want)
		}
	}
	return nil
}

// migrate brings the schema up to date.
func migrate(path string) (err error) {
	db, err := driver.Open(path, func(c *sqlite3.Conn) error { return configure(c, readerCache) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return err
	}
	if err := refuseNewer(db, provider); err != nil {
		return err
	}
	_, err = provider.Up(context.Background())
	return err
}

// isCurrent reports whether the database has exactly the migrations of this release.
func isCurrent(conn *sqlite3.Conn) (_ bool, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return false, err
	}
	missing := make(map[int64]bool, len(files))
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return false, err
		}
		missing[version] = true
	}
	c := statements{conn: conn}
	defer func() { err = errors.Join(err, c.forget()) }()
	is := false
	err = c.query(`SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version'`, func(*sqlite3.Stmt) error {
		is = true
		return nil
	})
	if err != nil || !is {
		return false, err
	}
	err = c.query(`SELECT version_id, is_applied FROM goose_db_version WHERE version_id > 0 ORDER BY id`,
		func(s *sqlite3.Stmt) error {
			version, applied := s.ColumnInt64(0), s.ColumnBool(1)
			is = is && missing[version] && applied
			delete(missing, version)
			return nil
		})
	return is && len(missing) == 0, err
}

// checkColumns refuses a database whose tables lack a column of this release.
func checkColumns(conn *sqlite3.Conn) (err error) {
	c := statements{conn: conn}
	defer func() { err = errors.Join(err, c.forget()) }()
	table, column, err := store.MissingColumn(func(table string) (list []string, err error) {
		err = c.query(`SELECT name FROM pragma_table_info(?)`, func(s *sqlite3.Stmt) error {
			list = append(list, s.ColumnText(0))
			return nil
		}, table)
		return list, err
	})
	if err == nil && column != "" {
		err = fmt.Errorf("the database has no column %s in its table %s: it was written by a build from before the first release; run that build, or start with an empty database",
			column, table)
	}
	return err
}

func refuseNewer(db *sql.DB, p *goose.Provider) error {
	ctx := context.Background()
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	if current > newest {
		return fmt.Errorf("the database has schema %d and this release knows %d: it was written by a newer release, or by a build from before the first one; run that one, or restore a backup made before the upgrade",
			current, newest)
	}
	return nil
}

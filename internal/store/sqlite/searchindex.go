package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/ext/fts5"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// SearchName is the name of the search index in the directory of the database. It has no
// content that is not in the database, and is made again when it is missing or damaged.
const SearchName = FileName + "-search"

// searchVersion is the version of the index file. A file of another version is replaced.
const searchVersion = 2

// searchers is how many searches run at once, each on a connection of its own. The one of
// an agent that takes long delays no other agent's.
const searchers = 3

// searchIndex is the words of the messages, in a database file of its own: its writes do not
// wait for those of the store, its syncs are not the store's, and backups do not copy it. One
// connection fills it and others search. A commit may be lost in a power cut, which
// the place of the index notices, because both are in one transaction.
type searchIndex struct {
	dir  string
	vfs  string
	room func() error // refuses writes while the disk is short

	filling sync.Mutex // held while the index is opened, filled or closed
	writer  *statements

	finding sync.Mutex // held while these change; no search holds it
	readers *searchReaders
	why     error // why there are no readers, nil before the first call that fills the index

	damaged atomic.Bool // a search found damage
}

// searchPlace is how far the index has come: it has all deliveries up to Seq, the last of
// which is of the message with the id UUID.
type searchPlace struct {
	seq  int64
	uuid []byte
}

func newSearchIndex(o Options) *searchIndex {
	free := o.free
	if free == nil {
		free = freeSpace
	}
	least := 2 * cmp.Or(o.Reserve, reserveSize)
	return &searchIndex{dir: o.Dir, vfs: o.VFS, room: func() error {
		if bytes, known := free(o.Dir); known && bytes < least {
			return gateway.ErrFull
		}
		return nil
	}}
}

// open opens the index, or makes it, unless it is open. known reports whether the place of
// the index is one of the store's messages. An index of other messages is made again.
func (x *searchIndex) open(known func(searchPlace) (bool, error)) error {
	if x.writer != nil && x.damaged.Swap(false) {
		if err := x.remove(); err != nil {
			return err
		}
	}
	if x.writer != nil {
		return nil
	}
	if err := x.room(); err != nil {
		return errors.Join(err, x.close(err))
	}
	err := x.connect()
	if err == nil {
		var place searchPlace
		var is bool
		if place, err = x.writer.searchPlace(); err == nil {
			if is, err = known(place); err == nil && !is {
				err = errOtherIndex
			}
		}
	}
	if errors.Is(err, errOtherIndex) || isDamaged(err) {
		if err = x.remove(); err == nil {
			err = x.connect()
		}
	}
	if err != nil {
		return errors.Join(err, x.close(err))
	}
	return nil
}

// errOtherIndex is the reason to make an index again that is not damaged.
var errOtherIndex = errors.New("the search index is of another version, or of other messages")

// isDamaged reports whether a file is no sound database.
func isDamaged(err error) bool {
	return errors.Is(err, sqlite3.CORRUPT) || errors.Is(err, sqlite3.NOTADB)
}

// connect opens both connections. It makes the tables in a new file.
func (x *searchIndex) connect() (err error) {
	name := filepath.Join(x.dir, SearchName)
	if x.vfs == "" {
		if err := makePrivate(name); err != nil {
			return err
		}
	}
	if x.writer, err = x.connection(name); err != nil {
		return err
	}
	if err := x.writer.makeIndex(); err != nil {
		return err
	}
	reader, err := x.connection(name)
	if err != nil {
		return err
	}
	r := &searchReaders{free: make(chan *statements, searchers), gone: make(chan struct{})}
	r.free <- reader
	for range searchers - 1 {
		r.free <- nil // opened by the first search that needs it
	}
	x.finding.Lock()
	defer x.finding.Unlock()
	x.readers, x.why = r, nil
	return nil
}

// searchReaders are the connections that search. One that is not open yet is nil.
type searchReaders struct {
	free chan *statements
	gone chan struct{} // closed when the connections are to be closed
}

// close waits for the searches that run, and closes the connections.
func (r *searchReaders) close() error {
	close(r.gone)
	var errs []error
	for range cap(r.free) {
		if c := <-r.free; c != nil {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(errs...)
}

// connection opens one connection.
func (x *searchIndex) connection(name string) (*statements, error) {
	path := filepath.ToSlash(name)
	q := url.Values{"modeof": {path}} // the journal gets the file mode of the index
	if x.vfs != "" {
		q.Set("vfs", x.vfs)
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	conn, err := sqlite3.OpenFlags(u.String(),
		sqlite3.OPEN_READWRITE|sqlite3.OPEN_CREATE|sqlite3.OPEN_URI|sqlite3.OPEN_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	err = conn.Exec(fmt.Sprintf(`
		PRAGMA busy_timeout = 10000;
		PRAGMA page_size = 8192;
		PRAGMA journal_mode = WAL;
		PRAGMA synchronous = NORMAL;
		PRAGMA journal_size_limit = 16777216;
		PRAGMA temp_store = MEMORY;
		PRAGMA cache_size = -%d;`, searchCache))
	if err == nil {
		err = fts5.Register(conn)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &statements{conn: conn}, nil
}

// searchCache is the page cache of each connection, in KiB.
const searchCache = 4 << 10

// makeIndex makes the tables unless they are there. The words of an entry are text between
// spaces, with the marks of agents and schemas (store.SearchDocument); the row is the number
// of the message.
func (c *statements) makeIndex() error {
	version := int64(0)
	err := c.query(`PRAGMA user_version`, func(s *sqlite3.Stmt) error {
		version = s.ColumnInt64(0)
		return nil
	})
	switch {
	case err != nil || version == searchVersion:
		return err
	case version != 0:
		return errOtherIndex
	}
	return c.conn.Exec(`BEGIN IMMEDIATE;
		CREATE VIRTUAL TABLE entry USING fts5 (words, content = '', contentless_delete = 1,
			prefix = ` + strconv.Itoa(gateway.MinPrefix) + `,
			tokenize = "ascii tokenchars '` + store.OwnerMark + store.SchemaMark + noWord + `'");
		CREATE TABLE place (seq INTEGER NOT NULL, uuid BLOB NOT NULL) STRICT;
		INSERT INTO place VALUES (0, x'');
		PRAGMA user_version = ` + strconv.Itoa(searchVersion) + `;
		COMMIT;`)
}

// noWord stands for store.NoWord in the text of an entry.
const noWord = "_"

func (c *statements) searchPlace() (p searchPlace, err error) {
	err = c.query(`SELECT seq, uuid FROM place`, func(s *sqlite3.Stmt) error {
		p = searchPlace{seq: s.ColumnInt64(0), uuid: s.ColumnBlob(1, nil)}
		return nil
	})
	return p, err
}

// close closes all connections. why is the error of searches until the index is open again.
func (x *searchIndex) close(why error) error {
	var errs []error
	if x.writer != nil {
		errs = append(errs, x.writer.close())
		x.writer = nil
	}
	x.finding.Lock()
	r := x.readers
	x.readers, x.why = nil, why
	x.finding.Unlock()
	if r != nil {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// end closes the index for good.
func (x *searchIndex) end() error {
	x.filling.Lock()
	defer x.filling.Unlock()
	return x.close(gateway.ErrClosed)
}

// remove removes the files of the index.
func (x *searchIndex) remove() error {
	_ = x.close(errOtherIndex) // the file is deleted
	fs := vfs.Find(x.vfs)
	if fs == nil {
		return fmt.Errorf("there is no VFS %q", x.vfs)
	}
	for _, suffix := range []string{"-wal", "-shm", ""} {
		name := filepath.Join(x.dir, SearchName) + suffix
		if there, err := fs.Access(name, vfs.ACCESS_EXISTS); err == nil && !there {
			continue
		}
		if err := fs.Delete(name, false); err != nil {
			return err
		}
	}
	return nil
}

// fill writes entries, and the place of the index after them, in one transaction.
func (x *searchIndex) fill(list []store.SearchDocument, gone []int64, place searchPlace) error {
	err := x.writer.conn.Exec("BEGIN IMMEDIATE")
	if err == nil {
		if err = x.writer.fill(list, gone, place); err == nil {
			err = x.writer.conn.Exec("COMMIT")
		}
	}
	if err == nil {
		return nil
	}
	if !x.writer.conn.GetAutocommit() {
		err = errors.Join(err, x.writer.conn.Exec("ROLLBACK"))
	}
	return x.failed(err)
}

// failed closes an index whose file met an error, so that the next call opens it again. A
// damaged one is removed first.
func (x *searchIndex) failed(err error) error {
	switch {
	case isFull(err):
		return gateway.ErrFull
	case isDamaged(err):
		return errors.Join(err, x.remove())
	case isIO(err):
		return errors.Join(err, x.close(err))
	}
	return err
}

func (c *statements) fill(list []store.SearchDocument, gone []int64, place searchPlace) error {
	for _, row := range gone {
		if _, err := c.exec(`DELETE FROM entry WHERE rowid = ?`, row); err != nil {
			return err
		}
	}
	for i := range list {
		if _, err := c.exec(`REPLACE INTO entry (rowid, words) VALUES (?, ?)`, list[i].Message,
			searchEntry(&list[i])); err != nil {
			return err
		}
	}
	_, err := c.exec(`UPDATE place SET seq = ?, uuid = ?`, place.seq, place.uuid)
	return err
}

// searchEntry returns the words of a document as a text.
func searchEntry(d *store.SearchDocument) string {
	var b strings.Builder
	for _, owner := range d.Owners {
		b.WriteString(ownerWord(owner) + " ")
	}
	b.WriteString(store.SchemaWord(d.Schema))
	for _, word := range d.Words {
		b.WriteString(" " + cmp.Or(word, noWord))
	}
	return b.String()
}

func ownerWord(agent int64) string { return store.OwnerMark + strconv.FormatInt(agent, 10) }

// matching returns the terms of a search as an expression of FTS5. Its words have no
// character that means anything between quotation marks.
func matching(owner gateway.AgentID, f *gateway.SearchFilter) string {
	var b strings.Builder
	b.WriteString(`"` + ownerWord(int64(owner)) + `"`)
	terms := f.Query
	if f.Schema != "" {
		terms = append(terms[:len(terms):len(terms)], store.SchemaTerm(f.Schema))
	}
	for _, t := range terms {
		b.WriteString(` AND "` + strings.Join(t.Words, " ") + `"`)
		if t.Prefix {
			b.WriteString(" *")
		}
	}
	return b.String()
}

// find calls fn with a connection that searches, and with the place of the index before
// the search. An index that was not filled yet finds nothing: then fn gets no connection.
func (x *searchIndex) find(ctx context.Context, fn func(c *statements, place searchPlace) error) error {
	x.finding.Lock()
	r, why := x.readers, x.why
	x.finding.Unlock()
	switch {
	case why != nil:
		return fmt.Errorf("%w: the search index cannot be used: %w", gateway.ErrBusy, why)
	case r == nil:
		return fn(nil, searchPlace{})
	}
	var c *statements
	select {
	case c = <-r.free:
	case <-r.gone:
		return fmt.Errorf("%w: the search index is being closed", gateway.ErrBusy)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { r.free <- c }()
	if c == nil {
		opened, err := x.connection(filepath.Join(x.dir, SearchName))
		if err != nil {
			return x.unreadable(ctx, err)
		}
		c = opened
	}
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	place, err := c.searchPlace()
	if err != nil {
		return x.unreadable(ctx, err)
	}
	return fn(c, place)
}

// unreadable returns the error of a search that could not read the index.
func (x *searchIndex) unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
		return context.Cause(ctx)
	}
	if isDamaged(err) {
		x.damaged.Store(true)
	}
	return fmt.Errorf("%w: the search index cannot be read: %w", gateway.ErrBusy, err)
}

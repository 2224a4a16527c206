package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// maxPinned is how many bytes a running gateway may write to the journal while another
// process reads one snapshot. While the snapshot is held, the journal cannot restart at
// its beginning. Beyond maxPinned the reader ends its snapshot.
const maxPinned = 1 << 30

// copyTries is how often a copy starts when it held the journal for too long.
const copyTries = 3

// ErrPinned is returned when a gateway wrote too much while its database was read.
var ErrPinned = errors.New("the gateway wrote more than a gibibyte while its database was read; try again when it has less to do")

// copying copies a database and its journal, file by file, while a gateway may be
// writing to them. It reads large pieces in order.
//
// The copy is of one moment for this reason. While a snapshot is held, the part of the
// journal that it needs cannot be overwritten, and only that part may be moved into the
// database. Therefore everything that is moved while the database is copied is also in
// the journal, which is copied after it. A program that opens the copy applies the
// journal to the database, up to the last complete commit.
type copying struct {
	pinned int64  // bytes, see maxPinned
	piece  int64  // bytes that are copied before each check whether to go on
	beside func() // for tests: called after each piece
}

// newest are the highest numbers of rows in a database. They never get smaller.
type newest struct{ message, delivery int64 }

const pieceSize = 16 << 20

// run copies the database to an existing empty file, and its journal next to it. It
// returns the highest numbers at the beginning of the copy.
func (k copying) run(ctx context.Context, name, to string) (n newest, err error) {
	for range copyTries {
		if n, err = k.once(ctx, name, to); !errors.Is(err, ErrPinned) {
			break
		}
	}
	return n, err
}

func (k copying) once(ctx context.Context, name, to string) (n newest, err error) {
	// Some systems release the locks of SQLite when this file is closed, so it is
	// closed after SQLite has closed it.
	in, err := os.Open(name)
	if err != nil {
		return n, fmt.Errorf("%w: %w", ErrNoDatabase, err)
	}
	defer in.Close() // it was only read
	source, err := openToRead(name, nil)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if _, err := source.exec("BEGIN"); err != nil {
		return n, err
	}
	defer func() {
		_, end := source.exec("ROLLBACK")
		err = errors.Join(err, end)
	}()
	if n, err = source.newest(); err != nil { // this begins the snapshot
		return n, err
	}
	j := watchJournal(name)
	if err := k.file(ctx, in, to, j); err != nil {
		return n, err
	}
	return n, k.journal(ctx, name, to, j)
}

// file copies a file up to its present length: the snapshot needs nothing after it.
func (k copying) file(ctx context.Context, in *os.File, to string, j journal) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for left := info.Size(); left > 0 && err == nil; left -= k.piece {
		if _, err = io.CopyN(out, in, min(left, k.piece)); err == nil {
			err = ctx.Err()
		}
		if k.beside != nil {
			k.beside()
		}
		if err == nil && j.grown() > k.pinned {
			err = ErrPinned
		}
	}
	if errors.Is(err, io.EOF) { // the file was truncated, which happens only to a journal that restarts
		err = nil
	}
	return errors.Join(err, out.Close())
}

// journal copies the journal. If the snapshot needs none of it, the journal may restart
// once during the copy. Then the copy contains parts of two journals, and is made
// again.
func (k copying) journal(ctx context.Context, name, to string, j journal) error {
	for {
		in, err := os.Open(name + "-wal")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the gateway was shut down cleanly, or the database is not in WAL mode
		}
		if err != nil {
			return err
		}
		before, err := journalHead(name)
		if err == nil {
			err = k.file(ctx, in, to+"-wal", j)
		}
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		after, err := journalHead(name)
		if err != nil || bytes.Equal(before, after) {
			return err
		}
	}
}

// journalHead returns the header of the journal. It contains two salts, which change
// whenever the journal restarts.
func journalHead(name string) ([]byte, error) {
	f, err := os.Open(name + "-wal")
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	head := make([]byte, 32)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

func (c *statements) newest() (n newest, err error) {
	err = c.query(`SELECT (SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(seq), 0) FROM delivery)`,
		func(s *sqlite3.Stmt) error {
			n = newest{s.ColumnInt64(0), s.ColumnInt64(1)}
			return nil
		})
	return n, err
}

// reached checks that a copy has the rows that the database had at its beginning.
func (n newest) reached(ctx context.Context, file string) (err error) {
	c, err := openToRead(file, url.Values{"immutable": {"1"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	defer c.conn.SetInterrupt(c.conn.SetInterrupt(ctx))
	there, err := c.newest()
	if err == nil && (there.message < n.message || there.delivery < n.delivery) {
		err = fmt.Errorf("the copy ends with %+v, and the database had %+v before", there, n)
	}
	return err
}

// journal measures how much is written to the journal of a database.
type journal struct {
	name  string
	start int64
}

func watchJournal(name string) journal {
	j := journal{name: name + "-wal"}
	j.start = j.size()
	return j
}

func (j journal) size() int64 {
	info, err := os.Stat(j.name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// grown returns by how many bytes the journal has grown.
func (j journal) grown() int64 { return j.size() - j.start }

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Export reads everything in a database to which no process writes, as it is at one
// moment. It changes nothing.
type Export struct{ c *statements }

// OpenExport opens the database in dir, which must have the schema of this release.
func OpenExport(dir string) (*Export, error) {
	c, err := openToRead(filepath.Join(dir, FileName), nil)
	if err != nil {
		return nil, err
	}
	e := &Export{c: c}
	if err := e.begin(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return e, nil
}

func (e *Export) begin() error {
	if _, err := e.c.exec("BEGIN"); err != nil {
		return err
	}
	facts, err := e.c.facts()
	if err != nil {
		return err
	}
	if newest := NewestSchema(); facts.Schema != newest {
		return fmt.Errorf("the database has schema %d and this release works with %d: start its gateway once with this release",
			facts.Schema, newest)
	}
	return nil
}

// Close closes the database.
func (e *Export) Close() error { return e.c.close() }

// Count returns how many rows a table has.
func (e *Export) Count(t *store.Table) (n int64, err error) {
	err = e.c.query(`SELECT count(*) FROM `+t.Name, func(s *sqlite3.Stmt) error {
		n = s.ColumnInt64(0)
		return nil
	})
	return n, err
}

// Each calls fn for every row after the row with the key, or for all rows when after is
// nil. It goes in the order of the key, until fn returns an error.
func (e *Export) Each(ctx context.Context, t *store.Table, after []any, fn func(row []any) error) error {
	names := t.Names()
	key := strings.Join(names[:t.Key], ", ")
	sql := `SELECT ` + strings.Join(names, ", ") + ` FROM ` + t.Name
	var args []any
	if after != nil {
		sql += ` WHERE (` + key + `) > (?` + strings.Repeat(", ?", t.Key-1) + `)`
		for i, v := range after {
			args = append(args, stored(t, i, v))
		}
	}
	defer e.c.conn.SetInterrupt(e.c.conn.SetInterrupt(ctx))
	return e.c.query(sql+` ORDER BY `+key, func(s *sqlite3.Stmt) error {
		row := make([]any, len(t.Columns))
		for i, c := range t.Columns {
			row[i] = value(s, i, c.Kind)
		}
		return fn(row)
	}, args...)
}

// stored returns a value of a key in the type of this database. An id that both stores
// order by its bytes may be text here.
func stored(t *store.Table, column int, v any) any {
	if b, ok := v.([]byte); ok && t.Name == "alias" && t.Columns[column].Name == "id" {
		return string(b)
	}
	return v
}

// value reads a column. An absent value is nil, and an absent bool is false.
func value(s *sqlite3.Stmt, i int, kind store.ColumnKind) any {
	switch {
	case kind == store.Truth:
		return s.ColumnInt64(i) != 0
	case s.ColumnType(i) == sqlite3.NULL:
		return nil
	case kind == store.Number:
		return s.ColumnInt64(i)
	case kind == store.Text:
		return s.ColumnText(i)
	}
	return s.ColumnBlob(i, []byte{})
}

// Counters returns the last numbers that were given out.
func (e *Export) Counters() (c store.Counters, err error) {
	err = e.c.query(`SELECT (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'agent'),
			(SELECT coalesce(max(id), 0) FROM message),
			max((SELECT coalesce(max(seq), 0) FROM delivery), coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = '`+floorRow+`'), 0)),
			(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'job'),
			coalesce((SELECT CAST(value AS INTEGER) FROM setting WHERE name = '`+pauseRow+`'), 0)`, func(s *sqlite3.Stmt) error {
		c = store.Counters{Agent: s.ColumnInt64(0), Message: s.ColumnInt64(1), Delivery: s.ColumnInt64(2),
			Job:    s.ColumnInt64(3),
			Paused: store.FromMicros(s.ColumnInt64(4))}
		return nil
	})
	return c, err
}

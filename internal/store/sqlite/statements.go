package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// statements is a connection with its prepared statements, by their SQL text.
type statements struct {
	conn     *sqlite3.Conn
	prepared map[string]*sqlite3.Stmt
}

// stmt returns the prepared statement for sql, reset and ready for its parameters.
func (c *statements) stmt(sql string) (*sqlite3.Stmt, error) {
	if s := c.prepared[sql]; s != nil {
		return s, nil
	}
	s, _, err := c.conn.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %.60q: %w", sql, err)
	}
	if c.prepared == nil {
		c.prepared = make(map[string]*sqlite3.Stmt)
	}
	c.prepared[sql] = s
	return s, nil
}

// query binds args to sql and calls row for every row of the result. It ends when row
// returns an error, and returns that error.
func (c *statements) query(sql string, row func(*sqlite3.Stmt) error, args ...any) (err error) {
	s, err := c.stmt(sql)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Reset()) }()
	if err := bind(s, args); err != nil {
		return err
	}
	for s.Step() {
		if err := row(s); err != nil {
			return err
		}
	}
	return s.Err()
}

// exec runs a statement that returns no rows, and returns how many rows it changed.
func (c *statements) exec(sql string, args ...any) (int64, error) {
	s, err := c.stmt(sql)
	if err != nil {
		return 0, err
	}
	if err := bind(s, args); err != nil {
		return 0, err
	}
	s.Step()
	err = s.Err()
	if reset := s.Reset(); err == nil {
		err = reset
	}
	return c.conn.Changes(), err
}

// null is an absent value. Its own type keeps bind a type switch.
type null struct{}

// optional returns v, or null for the zero value.
func optional[T comparable](v T) any {
	var zero T
	if v == zero {
		return null{}
	}
	return v
}

func bind(s *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case int64:
			err = s.BindInt64(i+1, v)
		case int:
			err = s.BindInt64(i+1, int64(v))
		case string:
			err = s.BindText(i+1, v)
		case []byte:
			err = s.BindBlob(i+1, v)
		case bool:
			err = s.BindBool(i+1, v)
		case null:
			err = s.BindNull(i + 1)
		default:
			err = fmt.Errorf("cannot bind a %T", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *statements) close() error { return errors.Join(c.forget(), c.conn.Close()) }

// forget closes the prepared statements.
func (c *statements) forget() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	c.prepared = nil
	return errors.Join(errs...)
}

// reader is a connection that only reads.
type reader struct{ statements }

// snapshot runs fn in one read transaction, which is interrupted when ctx ends.
func (r *reader) snapshot(ctx context.Context, fn func(*reader) error) (err error) {
	if _, err := r.exec("BEGIN"); err != nil {
		return err
	}
	old := r.conn.SetInterrupt(ctx)
	defer func() {
		r.conn.SetInterrupt(old)
		_, end := r.exec("COMMIT")
		if err == nil {
			err = end
		}
		if ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
			err = context.Cause(ctx)
		}
	}()
	return fn(r)
}

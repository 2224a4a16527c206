package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/defect"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// How long one read or one transaction may take, with the wait for a connection. If it
// takes longer, the database has a problem.
const (
	readTime  = 5 * time.Second
	writeTime = 20 * time.Second
)

// begin begins a transaction that holds locks while this process computes. If the
// process stops there, or its machine is gone, other transactions must not wait for it.
// The server ends such a transaction after three seconds.
const begin = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = 3000`

// tries is how often a transaction is run after a conflict or a broken connection.
const tries = 8

// conn is a connection, in a transaction or not.
type conn struct {
	*pgx.Conn
	key *actingKey
}

// query calls row for every row of the result, after it has scanned the row into into.
func (c conn) query(ctx context.Context, sql string, args []any, into []any, row func() error) error {
	if c.key.isUnchecked() {
		b := &pgx.Batch{}
		queue(b, sql, args, into, row)
		return c.SendBatch(ctx, b).Close()
	}
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	return each(rows, into, row)
}

func each(rows pgx.Rows, into []any, row func() error) error {
	_, err := pgx.ForEachRow(rows, into, row)
	return err
}

// change runs a statement, and returns how many rows it changed.
func (c conn) change(ctx context.Context, sql string, args ...any) (int64, error) {
	if c.key.isUnchecked() {
		b, n := &pgx.Batch{}, int64(0)
		b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
			n = tag.RowsAffected()
			return nil
		})
		err := c.SendBatch(ctx, b).Close()
		return n, err
	}
	tag, err := c.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

// undo rolls back a transaction that failed with err, and returns err. If that fails
// too, it closes the connection.
func (c conn) undo(ctx context.Context, err error) error {
	if _, rollback := c.Exec(ctx, "ROLLBACK"); rollback != nil {
		return errors.Join(err, c.Close(ctx))
	}
	return err
}

// tx is a transaction that writes, with the effects that it has after its commit.
type tx struct {
	conn
	dir   *store.Directory
	rings []store.Entry               // inbox entries whose bells ring
	work  []gateway.Destination       // destinations with a job that is due at once
	dead  int                         // rows of the queue that were changed or deleted
	after func(context.Context) error // runs before the caller gets the result of the commit
}

// broken is the error of a statement whose connection ended. For a commit, it leaves
// open whether the commit was made.
type broken struct{ error }

func (b broken) Unwrap() error { return b.error }

// borrow runs fn with a connection.
func (s *Store) borrow(ctx context.Context, fn func(conn) error) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return broken{err}
	}
	defer c.Release()
	err = fn(conn{Conn: c.Conn()})
	if err != nil && unreachable(err) { // the connection is useless: a server that became a standby stays one
		err = errors.Join(err, c.Conn().Close(ctx))
	}
	if err != nil && c.Conn().IsClosed() && ctx.Err() == nil {
		return broken{err}
	}
	return err
}

// unreachable reports whether the server itself says that it is not available.
func unreachable(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (strings.HasPrefix(e.Code, "57P") || strings.HasPrefix(e.Code, "08") ||
		e.Code == "25006")
}

// isConflict reports whether the transaction conflicted with another and has to run
// again.
func isConflict(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "23505", "40001", "40P01", "55P03": // unique, serialization, deadlock, lock
		return true
	}
	return false
}

// fault returns the error for the caller.
func (s *Store) fault(err error) error {
	var b broken
	var e *pgconn.PgError
	switch {
	case err == nil:
		s.back()
		return nil
	case errors.As(err, &b), errors.Is(err, context.DeadlineExceeded) && s.life.Err() == nil:
		s.lost(err)
		return fmt.Errorf("%w: %w", gateway.ErrAway, err)
	case errors.As(err, &e) && e.Code == "53100":
		return gateway.ErrFull
	// or an operator's time limit
	case errors.As(err, &e) && (strings.HasPrefix(e.Code, "53") || e.Code == "57014"), isConflict(err):
		return fmt.Errorf("%w: %w", gateway.ErrBusy, err)
	}
	return err
}

// lost and back log once that the database is unreachable, and once that it is back.
func (s *Store) lost(err error) {
	if !s.away.Swap(true) {
		s.log.Warn("the database cannot be reached; requests are answered with 503 until it is back", "cause", err)
	}
}

func (s *Store) back() {
	if s.away.Load() && s.away.Swap(false) {
		s.log.Info("the database is back")
	}
}

// read runs fn on a connection that only reads. It runs fn once more when the
// connection turns out to be dead; fn has to start from the beginning.
func (s *Store) read(ctx context.Context, fn func(context.Context, conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	limited, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	select {
	case s.reads <- struct{}{}:
		defer func() { <-s.reads }()
	case <-limited.Done():
		return limited.Err()
	}
	var err error
	for range 2 {
		err = s.borrow(limited, func(c conn) error { return fn(limited, c) })
		var b broken
		if !errors.As(err, &b) {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fault(err)
}

// snapshot is read in one snapshot of the database.
func (s *Store) snapshot(ctx context.Context, fn func(context.Context, conn) error) error {
	return s.read(ctx, func(ctx context.Context, c conn) error {
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
			func(pgx.Tx) error {
				return fn(ctx, c)
			})
	})
}

// write runs fn in a transaction and returns its result. When ctx ends, only the caller
// stops waiting; the transaction continues.
func write[T any](ctx context.Context, s *Store, fn func(context.Context, *tx) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if err := s.enter(); err != nil {
		return none, err
	}
	done := make(chan answer, 1)
	go func() {
		defer s.leave()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
		defer cancel()
		var a answer
		a.err = defect.Contain(func() error {
			return s.transact(limited, func(ctx context.Context, t *tx) (err error) {
				a.value, err = fn(ctx, t)
				return err
			})
		})
		done <- a
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return none, a.err
		}
		return a.value, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// do is write without a result.
func (s *Store) do(ctx context.Context, fn func(context.Context, *tx) error) error {
	_, err := write(ctx, s, func(ctx context.Context, t *tx) (struct{}, error) { return struct{}{}, fn(ctx, t) })
	return err
}

// transact runs fn in a transaction, again after each conflict, and then rings the
// bells. It first stores a jump of the clock, if there is one.
func (s *Store) transact(ctx context.Context, fn func(context.Context, *tx) error) error {
	if err := s.noteJump(ctx); err != nil {
		return err
	}
	return s.commit(ctx, fn)
}

// commit is transact without the check of the clock.
func (s *Store) commit(ctx context.Context, fn func(context.Context, *tx) error) error {
	var err error
	for range tries {
		t := &tx{dir: s.dir}
		err = s.borrow(ctx, func(c conn) error {
			t.conn = c
			return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{BeginQuery: begin}, func(pgx.Tx) error { return fn(ctx, t) })
		})
		if err == nil {
			s.published(t.rings, t.work)
			s.deadJobs.Add(int64(t.dead))
			if t.after != nil {
				err = t.after(ctx)
			}
			break
		}
		if !isConflict(err) {
			break
		}
	}
	return s.fault(err)
}

// published rings the bells here, and notifies the other replicas.
func (s *Store) published(rings []store.Entry, work []gateway.Destination) {
	for _, e := range rings {
		s.saw(e.Seq)
	}
	s.bells.Ring(rings)
	s.bells.RingWork(work)
	s.notices.add(rings, work)
}

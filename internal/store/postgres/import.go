package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// Reasons to refuse a move into a database.
var (
	ErrOccupied = errors.New("the database holds other data: move into a new one")
	ErrMoved    = errors.New("everything was moved already")
)

// moveSetting is the row of setting that stores which store is moved here, and whether
// the move is done.
const (
	moveSetting = "move"
	moveBegun   = "begun "
	moveDone    = "done "
)

// Import fills a database with the rows of another store. Each step is one transaction,
// and rows come in the order of their keys. So the last row shows where an interrupted
// move continues. No gateway may run on the database before Finish: it refuses to
// start.
type Import struct {
	conn *pgx.Conn
	id   string
}

// OpenImport opens an empty database, or one that holds what an earlier move of the
// store with the id has copied.
func OpenImport(ctx context.Context, url, id string) (*Import, error) {
	c, err := configure(Options{URL: url})
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, c); err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, c.pool.ConnConfig.Copy())
	if err != nil {
		return nil, err
	}
	im := &Import{conn: conn, id: id}
	if err := errors.Join(c.check(ctx, conn), im.begin(ctx)); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return im, nil
}

// begin marks the database for this move.
func (im *Import) begin(ctx context.Context) error {
	return pgx.BeginFunc(ctx, im.conn, func(tx pgx.Tx) error {
		var empty bool
		tables := store.Tables()
		asks := make([]string, len(tables))
		for i := range tables {
			asks[i] = `EXISTS (SELECT FROM ` + tables[i].Name + `)`
		}
		if err := tx.QueryRow(ctx, `SELECT NOT (`+strings.Join(asks, " OR ")+`)`).Scan(&empty); err != nil {
			return err
		}
		if empty {
			if _, err := tx.Exec(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2)
					ON CONFLICT (name) DO UPDATE SET value = excluded.value`, moveSetting, moveBegun+im.id); err != nil {
				return err
			}
		}
		var value string
		err := tx.QueryRow(ctx, `SELECT value FROM setting WHERE name = $1`, moveSetting).Scan(&value)
		switch {
		case errors.Is(err, pgx.ErrNoRows) || err == nil && value != moveBegun+im.id && value != moveDone+im.id:
			return ErrOccupied
		case value == moveDone+im.id:
			return ErrMoved
		}
		return err
	})
}

// Close ends the import.
func (im *Import) Close(ctx context.Context) error { return im.conn.Close(ctx) }

// Count returns how many rows a table has.
func (im *Import) Count(ctx context.Context, t *store.Table) (n int64, err error) {
	err = im.conn.QueryRow(ctx, `SELECT count(*) FROM `+t.Name).Scan(&n)
	return n, err
}

// Last returns the key of the last row that was copied, nil when there is none.
func (im *Import) Last(ctx context.Context, t *store.Table) ([]any, error) {
	key := t.Names()[:t.Key]
	rows, err := im.conn.Query(ctx, `SELECT `+strings.Join(key, ", ")+` FROM `+t.Name+` ORDER BY `+strings.Join(key,
		" DESC, ")+` DESC LIMIT 1`)
	if err != nil {
		return nil, err
	}
	last, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return plain(last), err
}

// Put copies rows into a table.
func (im *Import) Put(ctx context.Context, t *store.Table, rows [][]any) error {
	names, list := t.Names(), rows
	if t.Name == "agent" { // this table has more columns here
		names = append(names, "folded", "version")
		list = make([][]any, len(rows))
		for i, row := range rows {
			list[i] = append(row[:len(row):len(row)], store.Folded(fmt.Sprint(row[1], "@", row[2])), int64(1))
		}
	}
	err := pgx.BeginFunc(ctx, im.conn, func(tx pgx.Tx) error {
		if err := im.mine(ctx, tx); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{t.Name}, names, pgx.CopyFromRows(list))
		return err
	})
	if err != nil {
		return fmt.Errorf("copy rows of %s: %w", t.Name, err)
	}
	return nil
}

// mine makes sure that no other move uses the database, until the end of the
// transaction.
func (im *Import) mine(ctx context.Context, tx pgx.Tx) error {
	var value string
	err := tx.QueryRow(ctx, `SELECT value FROM setting WHERE name = $1 FOR SHARE`, moveSetting).Scan(&value)
	if err == nil && value != moveBegun+im.id {
		err = ErrOccupied
	}
	return err
}

// Each calls fn for every row, in the order of the key, until fn returns an error.
func (im *Import) Each(ctx context.Context, t *store.Table, fn func(row []any) error) error {
	names := t.Names()
	rows, err := im.conn.Query(ctx, `SELECT `+strings.Join(names,
		", ")+` FROM `+t.Name+` ORDER BY `+strings.Join(names[:t.Key], ", "))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := rows.Values()
		if err == nil {
			err = fn(plain(row))
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// plain converts all numbers to int64.
func plain(row []any) []any {
	for i, v := range row {
		switch v := v.(type) {
		case int16:
			row[i] = int64(v)
		case int32:
			row[i] = int64(v)
		}
	}
	return row
}

// Finish makes the database continue the numbers that the other store gave out, and
// lets gateways start on it.
func (im *Import) Finish(ctx context.Context, c store.Counters) error {
	return pgx.BeginFunc(ctx, im.conn, func(tx pgx.Tx) error {
		if err := im.mine(ctx, tx); err != nil {
			return err
		}
		for sequence, last := range map[string]int64{
			"message_id": c.Message, "delivery_seq": c.Delivery, "job_id": c.Job, "agent_id_seq": c.Agent,
		} {
			if _, err := tx.Exec(ctx, `SELECT setval($1::regclass, greatest($2::bigint, 1), $2::bigint > 0)`, sequence,
				last); err != nil {
				return err
			}
		}
		if !c.Paused.IsZero() {
			if _, err := tx.Exec(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
				pausedSetting,
				strconv.FormatInt(store.Micros(c.Paused), 10)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE directory SET version = greatest(version, 1)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE setting SET value = $2 WHERE name = $1`, moveSetting,
			moveDone+im.id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ANALYZE`)
		return err
	})
}

// Incomplete reports whether a move into the database has begun and is not done. No
// gateway may serve such a database.
func (s *Store) Incomplete(ctx context.Context) (incomplete bool, err error) {
	err = s.read(ctx, func(ctx context.Context, c conn) error {
		n, err := c.number(ctx, `SELECT 1 FROM setting WHERE name = $1 AND value LIKE $2`, moveSetting, moveBegun+"%")
		incomplete = n != 0
		return err
	})
	return incomplete, err
}

package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date; it never goes back. Replicas that start at the
// same time wait for each other by an advisory lock. Behind a proxy, where clients
// share a session, they use a row instead. The schema after a migration still works for
// the release before it, which runs while replicas are replaced. Only the first
// migration is a transaction. The others build indexes while gateways write. An
// interrupted one is run again from its beginning.
func migrate(ctx context.Context, c *connecting) (err error) {
	cc := c.pool.ConnConfig.Copy()
	db := stdlib.OpenDB(*cc, stdlib.OptionAfterConnect(c.check))
	defer func() { err = errors.Join(err, db.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	alone, err := oneAtATime(c.pooled)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, alone)
	if err != nil {
		return err
	}
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	if newest := sources[len(sources)-1].Version; current > newest {
		return fmt.Errorf("the database has schema %d and this release knows %d: it was written by a newer release, or by a build from before the first one; run that one, or restore a backup made before the upgrade",
			current, newest)
	} else if current == newest {
		return checkColumns(ctx, db)
	}
	_, err = provider.Up(ctx)
	return err
}

// checkColumns refuses a database whose tables lack a column of this release.
func checkColumns(ctx context.Context, db *sql.DB) (err error) {
	rows, err := db.QueryContext(ctx, `SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind = 'r' AND c.relnamespace <> 'pg_catalog'::regnamespace AND pg_table_is_visible(c.oid)
			AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		return err
	}
	columns := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return errors.Join(err, rows.Close())
		}
		columns[table] = append(columns[table], column)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	table, column, err := store.MissingColumn(func(table string) ([]string, error) { return columns[table], nil })
	if err == nil && column != "" {
		err = fmt.Errorf("the database has no column %s in its table %s: it was written by a build from before the first release; run that build, or start with an empty database",
			column, table)
	}
	return err
}

// migrationSeconds is how long a replica waits while another brings the schema up to
// date. Indexes of a large database take minutes.
const migrationSeconds = 3600

func oneAtATime(pooled bool) (goose.ProviderOption, error) {
	if pooled {
		locker, err := lock.NewPostgresTableLocker()
		return goose.WithLocker(locker), err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrationSeconds))
	return goose.WithSessionLocker(locker), err
}

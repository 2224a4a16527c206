package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Reasons to refuse a restored database.
var (
	ErrNoDatabase = errors.New("the database holds nothing of a gateway: restore it first, such as with pg_restore")
	ErrServed     = errors.New("gateways are connected to the database: stop them first")
	ErrHalf       = errors.New("a move into this database has begun and is not done: run amtp migrate-store again")
)

// floorStep is how many inbox sequences and job ids are skipped. Readers hold cursors
// from the time that the restore lost, and reports were made from its jobs. New numbers
// have to be higher than all of these.
const floorStep = 1 << 30

// Restored is the content of a restored database.
type Restored struct{ Agents, Messages, Deliveries int64 }

// Restore prepares a database that was restored to an earlier moment. It brings the
// schema up to date, and makes the gateways that will start on it paused. The sequences
// skip the numbers that readers have seen. It is refused while a gateway is connected.
// A second call keeps the pause, and skips numbers once more.
func Restore(ctx context.Context, url string) (done Restored, err error) {
	c, err := configure(Options{URL: url})
	if err != nil {
		return done, err
	}
	names := c.pool.ConnConfig.RuntimeParams
	gateways := names["application_name"]
	names["application_name"] = gateways + "-restore" // which no gateway uses
	conn, err := pgx.ConnectConfig(ctx, c.pool.ConnConfig.Copy())
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var empty bool
	err = conn.QueryRow(ctx, `SELECT to_regclass('message') IS NULL`).Scan(&empty)
	if err == nil && empty {
		err = ErrNoDatabase
	}
	if err == nil {
		err = refuseServed(ctx, conn, gateways)
	}
	if err == nil {
		err = migrate(ctx, c)
	}
	if err != nil {
		return done, err
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		done, err = rewound(ctx, tx)
		return err
	})
	return done, err
}

// leaveTime is how long the connections of a gateway that has just stopped may take to
// end in the server.
const leaveTime = 3 * time.Second

// refuseServed refuses a database if connections with the application name of gateways
// remain after leaveTime.
func refuseServed(ctx context.Context, conn *pgx.Conn, name string) error {
	for end := time.Now().Add(leaveTime); ; {
		err := served(ctx, conn, name)
		if !errors.Is(err, ErrServed) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leaveTime / 30):
		}
	}
}

// served is ErrServed while there is a connection with the name.
func served(ctx context.Context, conn *pgx.Conn, name string) error {
	var others int
	err := conn.QueryRow(ctx,
		`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`,
		name).Scan(&others)
	if err == nil && others > 0 {
		err = fmt.Errorf("%w; %d connections are called %s", ErrServed, others, name)
	}
	return err
}

// rewound stores the pause and makes the sequences skip ahead.
func rewound(ctx context.Context, tx pgx.Tx) (done Restored, err error) {
	var half bool
	err = tx.QueryRow(ctx,
		`SELECT (SELECT count(*) FROM agent WHERE removed IS NULL), (SELECT count(*) FROM message), (SELECT count(*) FROM delivery),
			EXISTS (SELECT FROM setting WHERE name = $1 AND value LIKE $2)`, moveSetting, moveBegun+"%").
		Scan(&done.Agents, &done.Messages, &done.Deliveries, &half)
	if err == nil && half {
		err = ErrHalf
	}
	if err != nil {
		return done, err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO setting (name, value) VALUES ($1, (`+serverTime+`)::text)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, pausedSetting); err != nil {
		return done, err
	}
	return done, leap(ctx, tx)
}

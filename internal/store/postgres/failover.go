package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A standby that takes over may lack the last commits of the server before it. It would
// give out their numbers again. Then a reader whose cursor is behind these numbers
// would never see the new mail that has them. The database therefore stores which
// server it is on. Every connection compares that before it is used. When another
// server has taken over, the sequences skip ahead, as after a restore.

// serverSetting is the row of setting that stores on which server the database is.
const serverSetting = "server"

// whichServer returns the cluster and its timeline. Every promotion, and every recovery
// to an earlier moment, begins a new timeline.
const whichServer = `SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)`

// leaping are the sequences that skip ahead when numbers may have been lost.
var leaping = []string{"delivery_seq", "job_id", "message_id", "agent_id_seq"}

// sameServer makes sure that the server of the connection gives out no number again. It
// compares the server's name, and checks that the server knows the newest number that
// this process has seen. If the server does not give a name, only the second check
// applies.
func (s *Store) sameServer(ctx context.Context, conn *pgx.Conn) error {
	now, err := serverOf(ctx, conn)
	if err != nil {
		return err
	}
	known := ""
	if p := s.server.Load(); p != nil {
		known = *p
	}
	rewound, err := s.rewound(ctx, conn)
	if err != nil || !rewound && (now == "" || now == known) {
		return err
	}
	leapt := false
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		leapt, err = s.leapOnce(ctx, tx, now, known)
		return err
	})
	if err != nil {
		return err
	}
	s.server.Store(&now)
	if known != "" || leapt {
		s.caught.lost.Add(1)
	}
	if leapt {
		s.log.Warn("another server has taken the database over; numbers that it may have lost are not given again",
			"before", known, "now", now)
	}
	return nil
}

// serverOf returns the name of the server, "" if it does not give one.
func serverOf(ctx context.Context, conn *pgx.Conn) (name string, err error) {
	err = conn.QueryRow(ctx, whichServer).Scan(&name)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !unreachable(err) {
		return "", nil
	}
	return name, err
}

// row is a connection or a transaction that reads one row.
type row interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// rewound reports whether the server lacks a number that this process has seen.
func (s *Store) rewound(ctx context.Context, c row) (bool, error) {
	var last int64
	seen := s.highest.Load() // read before the query, because it may grow during it
	err := c.QueryRow(ctx, `SELECT last_value FROM delivery_seq`).Scan(&last)
	return last < seen, err
}

// leapOnce makes the sequences skip ahead, unless another replica has done so for this
// server. It locks the row of setting until the commit.
func (s *Store) leapOnce(ctx context.Context, tx pgx.Tx, now, known string) (leapt bool, err error) {
	tag, err := tx.Exec(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
		serverSetting, now)
	if err != nil {
		return false, err
	}
	var before string
	if err := tx.QueryRow(ctx, `SELECT value FROM setting WHERE name = $1 FOR UPDATE`,
		serverSetting).Scan(&before); err != nil {
		return false, err
	}
	rewound, err := s.rewound(ctx, tx)
	if err != nil {
		return false, err
	}
	other := now != "" && (before != "" && before != now || tag.RowsAffected() == 1 && known != "")
	if _, err := tx.Exec(ctx, `UPDATE setting SET value = $2 WHERE name = $1`, serverSetting, now); err != nil ||
		!other && !rewound {
		return false, err
	}
	return true, leap(ctx, tx)
}

// leap makes the sequences skip beyond every number that may have been given out. It
// also makes the directory's version skip beyond every version that a replica may have
// seen.
func leap(ctx context.Context, tx pgx.Tx) error {
	for _, sequence := range leaping {
		if _, err := tx.Exec(ctx, `SELECT setval($1::regclass, nextval($1::regclass) + $2::bigint)`, sequence,
			int64(floorStep)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `UPDATE directory SET version = version + $1`, int64(floorStep))
	return err
}

// saw notes a number that a reader may have as a cursor.
func (s *Store) saw(seq int64) {
	for {
		seen := s.highest.Load()
		if seq <= seen || s.highest.CompareAndSwap(seen, seq) {
			return
		}
	}
}

package postgres

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Connections of one replica, without the one that listens. Reads leave reserved
// connections to writes, so that slow lists never stop the mail.
const (
	maxConns = 16
	minConns = 8
	reserved = 6
)

// planForIndexes makes the server look up every row through an index. A batch looks up
// some hundreds of rows, in tables that are small at first and grow by thousands of
// rows a second. The server would otherwise read such a table completely and join it by
// hashing, long after that has become much slower. Without incremental sorts, a page comes
// from the index that has its order. The server would otherwise read and sort all mail of
// an agent, once it has planned a statement for any agent.
const planForIndexes = `SELECT set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
	set_config('enable_mergejoin', 'off', false), set_config('enable_incremental_sort', 'off', false)`

// connecting is how to connect to the database.
type connecting struct {
	pool   *pgxpool.Config
	pooled bool // through a proxy that assigns a connection for one transaction at a time
}

func configure(o Options) (*connecting, error) {
	where, pooled := behindProxy(o.URL)
	cfg, err := pgxpool.ParseConfig(where)
	if err != nil {
		return nil, err
	}
	c := &connecting{pool: cfg, pooled: pooled}
	if !strings.Contains(where, "pool_max_conns") {
		cfg.MaxConns = maxConns
	}
	cfg.MaxConns = max(cfg.MaxConns, minConns)
	cfg.MaxConnLifetime, cfg.MaxConnLifetimeJitter = time.Hour, 10*time.Minute
	// An idle connection is pinged before it is used. A dead connection does not
	// answer.
	cfg.PingTimeout = 5 * time.Second
	cc := cfg.ConnConfig
	if cc.ConnectTimeout == 0 {
		cc.ConnectTimeout = 5 * time.Second
	}
	if pooled {
		// A statement has no name, which the next transaction might not find.
		cc.DefaultQueryExecMode = pgx.QueryExecModeExec
		cc.StatementCacheCapacity, cc.DescriptionCacheCapacity = 0, 0
	}
	if cc.RuntimeParams["application_name"] == "" {
		cc.RuntimeParams["application_name"] = "amtp"
	}
	// A caller that stops waiting cancels its statement instead of cutting the
	// connection.
	cc.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Second}
	}
	cfg.AfterConnect = c.check
	return c, nil
}

var proxyWord = regexp.MustCompile(`(^|\s)pgbouncer\s*=\s*(\S+)`)

// behindProxy removes our own parameter, pgbouncer=true, from the address.
func behindProxy(where string) (rest string, pooled bool) {
	if u, err := url.Parse(where); err == nil && u.Scheme != "" {
		q := u.Query()
		pooled = q.Get("pgbouncer") == "true"
		if q.Has("pgbouncer") {
			q.Del("pgbouncer")
			u.RawQuery = q.Encode()
		}
		return u.String(), pooled
	}
	if m := proxyWord.FindStringSubmatch(where); m != nil {
		pooled = m[2] == "true"
	}
	return proxyWord.ReplaceAllString(where, " "), pooled
}

// check makes sure that the commits of a new connection are durable.
func (c *connecting) check(ctx context.Context, conn *pgx.Conn) error {
	var fsync, pages, commit, encoding string
	var standby bool
	err := conn.QueryRow(ctx,
		`SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
			current_setting('server_encoding'), pg_is_in_recovery()`).Scan(&fsync, &pages, &commit, &encoding, &standby)
	switch {
	case err != nil:
		return err
	case standby:
		return fmt.Errorf("the server is a standby and takes no writes")
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s and has to be UTF8", encoding)
	}
	for _, setting := range []struct{ name, value string }{{"fsync", fsync}, {"full_page_writes", pages},
		{"synchronous_commit", commit}} {
		if setting.value == "off" {
			return fmt.Errorf("the server has %s=off: a message could be lost in a power cut, so the database is not used",
				setting.name)
		}
	}
	if c.pooled { // other clients share the session
		return nil
	}
	_, err = conn.Exec(ctx, planForIndexes) // not as a connection parameter: a proxy refuses unknown ones
	return err
}

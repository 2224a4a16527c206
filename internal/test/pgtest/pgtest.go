// Package pgtest gives tests a PostgreSQL.
//
// Where AMTP_TEST_POSTGRES names a server by its URL, that one is used.
// Otherwise the installed program, or the one that AMTP_TEST_POSTGRES_PROGRAMS
// names, is started, with a data directory of its own,
// reachable through a socket and not over the network; as root on Debian a
// missing one is installed. Where there is none, the test fails and says what to
// type: only -short skips it. A server that was started here ends, and its files
// go, with the process that started it, however that ends.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/amtp-go/amtp/internal/test/slow"
)

// Variable names the server that tests use, as a URL or as keywords, by a user
// who may make databases.
const Variable = "AMTP_TEST_POSTGRES"

// Programs names the directory of the server's programs, for one that is not
// where they are looked for, and for trying another release.
const Programs = "AMTP_TEST_POSTGRES_PROGRAMS"

// prefix begins the name of every database that is made here; then comes the
// second in which it was made.
const prefix = "amtp_test_"

// shared is the server of this process, with the databases from which new ones
// are copied.
var shared struct {
	sync.Mutex
	url       string
	server    *Server // that was started here; its lifeline is cut when nobody holds it
	keeps     bool    // databases are not dropped: they go with the server, and here that is quicker
	templates map[string]string
	used      []string // databases whose tests have ended
}

// Database makes a database for one test and returns its URL. It is a copy of
// one that migrate, unless it is nil, brought up to date; that is done once for
// every kind of database that the tests of a process name.
func Database(t testing.TB, kind string, migrate func(url string) error) string {
	t.Helper()
	slow.Test(t, "it needs PostgreSQL")
	name, err := database(kind, migrate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(name) })
	return within(shared.url, name)
}

func database(kind string, migrate func(url string) error) (string, error) {
	shared.Lock()
	defer shared.Unlock()
	if err := open(); err != nil {
		return "", err
	}
	template, ok := shared.templates[kind]
	if !ok {
		template = newName()
		if err := run(`CREATE DATABASE ` + template + ` TEMPLATE template0`); err != nil {
			return "", err
		}
		if migrate != nil {
			if err := migrate(within(shared.url, template)); err != nil {
				return "", fmt.Errorf("make the database that tests get copies of: %w", err)
			}
		}
		shared.templates[kind] = template
	}
	name := newName()
	return name, run(`CREATE DATABASE ` + name + ` TEMPLATE ` + template)
}

// open finds or starts the server.
func open() error {
	if shared.url != "" {
		return nil
	}
	shared.templates = make(map[string]string)
	given := os.Getenv(Variable)
	if given == "" {
		s, err := Start()
		if err != nil {
			return err
		}
		shared.server = s
		given = s.URL("postgres")
	}
	conf, err := pgx.ParseConfig(given)
	if err != nil {
		return fmt.Errorf("%s: %w", Variable, err)
	}
	shared.keeps = strings.Contains(conf.Host, directoryPrefix) && !inMemory(conf.Host)
	shared.url = given
	return sweep()
}

// burst is how many databases are dropped at once: the first costs a
// checkpoint, and leaves little to the others.
const burst = 40

func drop(name string) {
	shared.Lock()
	defer shared.Unlock()
	if shared.used = append(shared.used, name); shared.keeps || len(shared.used) < burst {
		return
	}
	for _, old := range shared.used {
		// One that a test has not let go of is dropped by a later sweep.
		_ = run(`DROP DATABASE IF EXISTS ` + old)
	}
	shared.used = nil
}

// sweep drops what earlier processes left on a server that outlives them.
func sweep() error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, shared.url)
	if err != nil {
		return fmt.Errorf("the PostgreSQL for tests: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname LIKE $1`, prefix+"%")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "_")
		second, err := strconv.ParseInt(made, 10, 64)
		if err == nil && time.Since(time.Unix(second, 0)) > time.Hour {
			_, _ = conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name) // somebody may be in it
		}
	}
	return nil
}

func newName() string {
	var b [6]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return prefix + strconv.FormatInt(time.Now().Unix(), 10) + "_" + hex.EncodeToString(b[:])
}

// run executes one statement outside of any transaction.
func run(sql string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, shared.url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// within returns the URL of another database of the same server.
func within(server, database string) string {
	if u, err := url.Parse(server); err == nil && u.Scheme != "" {
		u.Path = "/" + database
		return u.String()
	}
	return server + " dbname=" + database
}

// Package pgtest gives tests a PostgreSQL.
//
// AMTP_TEST_POSTGRES may name a server by its URL. Otherwise the package starts the
// installed program, or the one that AMTP_TEST_POSTGRES_PROGRAMS names. That server has
// a data directory of its own, and is reachable through a socket and not over the
// network. As root on Debian, the package installs a missing server. Without a server
// the test fails and says what to type; only -short skips it. A server that was started
// here ends with the process that started it, in whatever way that ends, and its files
// are removed.
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

// Variable names the server for tests, as a URL or as keywords. Its user must be
// allowed to make databases.
const Variable = "AMTP_TEST_POSTGRES"

// Programs names the directory of the server's programs, for a server in an unusual
// place or of another release.
const Programs = "AMTP_TEST_POSTGRES_PROGRAMS"

// prefix begins the name of every database that is made here. After it comes the second
// in which the database was made.
const prefix = "amtp_test_"

// shared is the server of this process, with the template databases from which new ones
// are copied.
var shared struct {
	sync.Mutex
	url       string
	server    *Server // the server that was started here; its lifeline is cut when no process holds it
	keeps     bool    // whether databases are kept until the server ends, which is faster here
	templates map[string]string
	used      []string // databases whose tests have ended
}

// Database makes a database for one test and returns its URL. It is a copy of a
// template that migrate, unless it is nil, brought up to date. That is done once for
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
				return "", fmt.Errorf("make the template for the databases of tests: %w", err)
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

// burst is how many databases are dropped at once. The first drop costs a checkpoint,
// which leaves little work for the others.
const burst = 40

func drop(name string) {
	shared.Lock()
	defer shared.Unlock()
	if shared.used = append(shared.used, name); shared.keeps || len(shared.used) < burst {
		return
	}
	for _, old := range shared.used {
		// A database that a test still uses is dropped by a later sweep.
		_ = run(`DROP DATABASE IF EXISTS ` + old)
	}
	shared.used = nil
}

// sweep drops databases that earlier processes left on a server that outlives them.
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
			_, _ = conn.Exec(ctx, `DROP DATABASE IF EXISTS `+name) // another process may use it
		}
	}
	return nil
}

func newName() string {
	var b [6]byte
	rand.Read(b[:]) // never fails: it would end the program
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

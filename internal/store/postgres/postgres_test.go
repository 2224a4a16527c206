package postgres

import (
	"context"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/test/pgtest"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// database returns an empty database with the schema.
func database(t testing.TB) string {
	t.Helper()
	return pgtest.Database(t, "store", func(url string) error {
		c, err := configure(Options{URL: url})
		if err != nil {
			return err
		}
		return migrate(context.Background(), c)
	})
}

// obeyed is the clock of tests that let days pass between two calls.
var obeyed = wallclock.Clock{Obeyed: true}

// open opens the database, and closes it with the test.
func open(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url, Clock: obeyed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gateway.Store { return open(t, database(t)) })
}

func TestStoreReopened(t *testing.T) {
	var databases sync.Map // by the directory that the suite names
	storetest.RunDurable(t, func(t *testing.T, dir string) gateway.Store {
		url, ok := databases.Load(dir)
		if !ok {
			url = database(t)
			databases.Store(dir, url)
		}
		return open(t, url.(string))
	})
}

// TestBehindProxy works without named statements, without session locks and without
// notices, as behind a proxy that pools transactions.
func TestBehindProxy(t *testing.T) {
	var databases sync.Map
	storetest.RunDurable(t, func(t *testing.T, dir string) gateway.Store {
		url, _ := databases.LoadOrStore(dir, sync.OnceValue(func() string {
			return pgtest.Database(t, "empty", nil) + "&pgbouncer=true"
		}))
		s := open(t, url.(func() string)())
		var named int
		if err := s.pool.QueryRow(t.Context(),
			`SELECT count(*) FROM pg_prepared_statements`).Scan(&named); err != nil || named > 0 {
			t.Errorf("statements with a name = %d, %v, want none", named, err)
		}
		return s
	})
}

func TestProxyWord(t *testing.T) {
	for given, want := range map[string]struct {
		rest   string
		pooled bool
	}{
		"postgres://a@b/c?pgbouncer=true&x=y": {"postgres://a@b/c?x=y", true},
		"postgres://a@b/c?pgbouncer=false":    {"postgres://a@b/c", false},
		"postgres://a:p%40@b/c?host=%2Ftmp":   {"postgres://a:p%40@b/c?host=%2Ftmp", false},
		"host=a pgbouncer=true dbname=c":      {"host=a  dbname=c", true},
		"host=a dbname=c":                     {"host=a dbname=c", false},
	} {
		if rest, pooled := behindProxy(given); rest != want.rest || pooled != want.pooled {
			t.Errorf("behindProxy(%q) = %q, %v, want %q, %v", given, rest, pooled, want.rest, want.pooled)
		}
	}
}

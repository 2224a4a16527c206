package postgres

import (
	"context"
	"sync"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/postgres/pgtest"
	"github.com/amtp-go/amtp/internal/store/storetest"
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

// open opens the database, and closes it with the test.
func open(t testing.TB, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Options{URL: url})
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

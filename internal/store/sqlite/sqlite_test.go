package sqlite_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/store/storetest"
)

func open(t *testing.T, dir string) gateway.Store {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: dir})
	if err != nil {
		t.Fatalf("open in %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gateway.Store { return open(t, t.TempDir()) })
}

func TestStoreReopened(t *testing.T) {
	storetest.RunDurable(t, open)
}

package sqlite_test

import (
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store/sqlite"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"github.com/amtp-go/amtp/internal/wallclock"
)

// open opens the store in dir, which is empty or was opened before.
func open(t *testing.T, dir string) gateway.Store {
	t.Helper()
	s, err := sqlite.Open(sqlite.Options{Dir: sqlite.Fresh(t, dir), Clock: wallclock.Clock{Obeyed: true}})
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
	storetest.Run(t, func(t *testing.T) gateway.Store { return open(t, sqlite.Scratch(t)) })
}

func TestStoreClock(t *testing.T) {
	slow.Test(t, "it runs the suite under clocks that are set")
	storetest.RunClock(t, func(t *testing.T, dir string, clock *storetest.Hand) gateway.Store {
		s, err := sqlite.Open(sqlite.Options{Dir: sqlite.Fresh(t, dir), Clock: clock.Clock()})
		if err != nil {
			t.Fatalf("open in %s: %v", dir, err)
		}
		t.Cleanup(func() { s.Close() }) // a second Close if the test closed it
		return s
	})
}

func TestStoreReopened(t *testing.T) {
	storetest.RunDurable(t, open)
}

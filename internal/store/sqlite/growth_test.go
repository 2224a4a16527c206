package sqlite

import (
	"context"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/test/slow"
	"github.com/amtp-go/amtp/internal/test/storetest"
	"github.com/ncruces/go-sqlite3"
)

// TestGrowth is the growth gate, measured by the steps of SQLite's virtual machine.
func TestGrowth(t *testing.T) {
	slow.Test(t, "it fills a store")
	storetest.RunGrowth(t, func(t *testing.T) (gateway.Store, storetest.Meter) {
		const bound = storetest.GrowthBound
		s, err := Open(Options{Dir: fresh(t, scratch(t)),
			bounds: store.Bounds{Total: bound, Scan: bound, Agents: bound}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s, storetest.Meter{Work: func() int64 { return stepsOf(t, s) }}
	})
}

// BenchmarkGrowth prints how long each operation takes in a small and in a large store
// (storetest.BenchGrowth):
// go test ./internal/store/sqlite -run '^$' -bench Growth -benchtime 1x
func BenchmarkGrowth(b *testing.B) {
	storetest.BenchGrowth(b, 50_000, 1_000_000, func(b *testing.B) gateway.Store {
		s, err := Open(Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	})
}

// stepsOf returns how many steps all statements of the store have taken.
func stepsOf(t *testing.T, s *Store) (steps int64) {
	t.Helper()
	add := func(c *statements) {
		if c == nil {
			return // the search index is not open yet
		}
		for _, stmt := range c.prepared {
			steps += int64(stmt.Status(sqlite3.STMTSTATUS_VM_STEP, false))
		}
	}
	held := make([]*reader, readerCount)
	for i := range held {
		held[i] = <-s.readers
		add(&held[i].statements)
	}
	for _, r := range held {
		s.readers <- r
	}
	func() {
		s.search.filling.Lock()
		defer s.search.filling.Unlock()
		s.search.finding.Lock()
		defer s.search.finding.Unlock()
		if r := s.search.readers; r != nil {
			for range searchers {
				c := <-r.free
				add(c)
				r.free <- c
			}
		}
		add(s.search.writer)
	}()
	err := s.write(context.Background(), 0, func(w *writer) error {
		add(&w.statements)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

package postgres

import (
	"context"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/amtp-go/amtp/internal/test/storetest"
)

// TestGrowth is the growth gate, measured by the rows that the server reads from tables
// and indexes.
func TestGrowth(t *testing.T) {
	storetest.RunGrowth(t, func(t *testing.T) (gateway.Store, storetest.Meter) {
		const bound = storetest.GrowthBound
		s, err := Open(context.Background(), Options{URL: database(t), deaf: true,
			bounds: store.Bounds{Total: bound, Scan: bound, Agents: bound}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		s.heard.Store(true) // it does not poll for changes by others
		return s, storetest.Meter{
			// The server has statistics of its tables a minute after they have grown.
			Filled: func() {
				err := s.borrow(context.Background(), func(c conn) error {
					_, err := c.change(context.Background(), `VACUUM ANALYZE`)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			},
			Work: func() int64 { return rowsRead(t, s) },
		}
	})
}

// rowsRead returns how many rows the server has read for the store. Every connection
// first has to report its counters.
func rowsRead(t *testing.T, s *Store) (rows int64) {
	t.Helper()
	ctx := context.Background()
	idle := s.pool.AcquireAllIdle(ctx)
	for _, c := range idle {
		if _, err := c.Exec(ctx, `SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range idle {
		c.Release()
	}
	err := s.borrow(ctx, func(c conn) error {
		return c.QueryRow(ctx, `SELECT (SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables)
			+ (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes)`).Scan(&rows)
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// sequences returns the next numbers of deliveries and jobs, and uses them up.
func sequences(t *testing.T, s *Store) (delivery, job int64) {
	t.Helper()
	if err := s.pool.QueryRow(context.Background(), `SELECT nextval('delivery_seq'), nextval('job_id')`).Scan(&delivery,
		&job); err != nil {
		t.Fatal(err)
	}
	return delivery, job
}

// A restored database is paused and its numbers skip ahead, once more each time. While
// a gateway is connected, or when the database holds nothing of a gateway, Restore is
// refused and changes nothing.
func TestRestore(t *testing.T) {
	ctx := context.Background()
	where := database(t)
	s := open(t, where)
	delivery, job := sequences(t, s)
	if _, err := Restore(ctx, where); !errors.Is(err, ErrServed) || !strings.Contains(err.Error(), "amtp") {
		t.Errorf("Restore while a gateway is connected = %v, want ErrServed and the name", err)
	}
	if now, _ := sequences(t, s); now != delivery+1 || !s.Paused().IsZero() {
		t.Errorf("a restore that was refused changed something: the next number is %d, want %d", now, delivery+1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := Restore(ctx, where)
		for tries := 0; errors.Is(err, ErrServed) && tries < 60; tries++ { // the server may be slow to end a connection
			_, err = Restore(ctx, where)
		}
		if err != nil {
			t.Fatalf("Restore = %v, want no error", err)
		}
	}
	s = open(t, where)
	if s.Paused().IsZero() {
		t.Error("after it the store is not paused")
	}
	if d, j := sequences(t, s); d < delivery+2*floorStep || j < job+2*floorStep {
		t.Errorf("the next numbers are %d and %d, want them to be %d above %d and %d", d, j, 2*floorStep,
			delivery, job)
	}
	if err := s.Resume(ctx); err != nil || !s.Paused().IsZero() {
		t.Errorf("Resume = %v, want no error and no pause", err)
	}
	if _, err := Restore(ctx, pgtest.Database(t, "empty", nil)); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("Restore of an empty database = %v, want ErrNoDatabase", err)
	}
}

// A database into which a move has begun is refused, so that no gateway starts on it.
func TestRestoreOfHalf(t *testing.T) {
	ctx := context.Background()
	where := database(t)
	im, err := OpenImport(ctx, where, "one")
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(ctx, where); !errors.Is(err, ErrHalf) {
		t.Errorf("Restore = %v, want ErrHalf", err)
	}
}

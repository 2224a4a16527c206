package sqlite

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/ncruces/go-sqlite3"
)

// Rows of setting that a restore writes.
const (
	pauseRow = "paused" // since when no message is accepted, µs
	floorRow = "floor"  // inbox sequences up to this number are not given out
)

// pause is the pauseRow in memory, because every message reads it.
type pause struct{ since atomic.Int64 }

// loadPause reads whether the store was paused when it was closed.
func (s *Store) loadPause() error {
	return s.writer.query(`SELECT CAST(value AS INTEGER) FROM setting WHERE name = ?`, func(st *sqlite3.Stmt) error {
		s.pause.since.Store(st.ColumnInt64(0))
		return nil
	}, pauseRow)
}

// Paused returns since when the store is paused.
func (s *Store) Paused() time.Time { return store.FromMicros(s.pause.since.Load()) }

// Pause makes the store refuse every message.
func (s *Store) Pause(ctx context.Context, now time.Time) error {
	return s.write(ctx, 0, func(w *writer) error {
		added, err := w.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING`, pauseRow,
			store.Micros(now))
		if added == 1 {
			w.changes = append(w.changes, func(*store.Directory) { s.pause.since.Store(store.Micros(now)) })
		}
		return err
	})
}

// Resume ends a pause.
func (s *Store) Resume(ctx context.Context) error {
	return s.write(ctx, 0, func(w *writer) error {
		_, err := w.exec(`DELETE FROM setting WHERE name = ?`, pauseRow)
		w.changes = append(w.changes, func(*store.Directory) { s.pause.since.Store(0) })
		return err
	})
}

// refusePaused is gateway.ErrPaused when the store is paused.
func (s *Store) refusePaused() error {
	if s.pause.since.Load() != 0 {
		return gateway.ErrPaused
	}
	return nil
}

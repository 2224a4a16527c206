package sqlite

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// Hold takes a lease that no other owner holds.
func (s *Store) Hold(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	held := false
	err := s.write(ctx, 64, func(w *writer) error {
		n, err := w.exec(`INSERT INTO lease (name, owner, until) VALUES (?1, ?2, ?3)
			ON CONFLICT (name) DO UPDATE SET owner = ?2, until = ?3 WHERE owner = ?2 OR until <= ?4 OR until > ?5`,
			name, owner, store.Micros(until), store.Micros(now), store.Micros(now.Add(gateway.MaxLease)))
		held = n == 1
		return err
	})
	if err != nil {
		return false, err // the write may still change held
	}
	return held, nil
}

// Release ends a lease of the owner.
func (s *Store) Release(ctx context.Context, name, owner string) error {
	return s.write(ctx, 64, func(w *writer) error {
		_, err := w.exec(`DELETE FROM lease WHERE name = ? AND owner = ?`, name, owner)
		return err
	})
}

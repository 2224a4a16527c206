package postgres

import (
	"context"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// serverTime is the database's clock, in microseconds.
const serverTime = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

// Hold takes a lease that no other owner holds, by the database's clock.
func (s *Store) Hold(ctx context.Context, name, owner string, now, until time.Time) (held bool, err error) {
	return write(ctx, s, func(ctx context.Context, t *tx) (bool, error) {
		n, err := t.change(ctx, `INSERT INTO lease AS l (name, owner, until) VALUES ($1, $2, `+serverTime+` + $3)
				ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = `+serverTime+` + $3
				WHERE l.owner = excluded.owner OR l.until <= `+serverTime+` OR l.until > `+serverTime+` + $4`,
			name, owner, until.Sub(now).Microseconds(), gateway.MaxLease.Microseconds())
		return n == 1, err
	})
}

// Release ends a lease of the owner.
func (s *Store) Release(ctx context.Context, name, owner string) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.change(ctx, `DELETE FROM lease WHERE name = $1 AND owner = $2`, name, owner)
		return err
	})
}

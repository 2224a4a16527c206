package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
	"github.com/jackc/pgx/v5"
)

// refusePaused is gateway.ErrPaused when the store is paused, read in a transaction:
// the pause may have begun at another replica.
func (t *tx) refusePaused(ctx context.Context) error {
	paused, err := t.number(ctx, `SELECT 1 FROM setting WHERE name = $1`, pausedSetting)
	if err == nil && paused != 0 {
		err = gateway.ErrPaused
	}
	return err
}

// queuePaused reads whether the store is paused. The result is set when the batch has
// run.
func queuePaused(b *pgx.Batch) *bool {
	paused := new(bool)
	var one int32
	queue(b, `SELECT 1 FROM setting WHERE name = $1`, []any{pausedSetting}, []any{&one}, func() error {
		*paused = true
		return nil
	})
	return paused
}

// Paused returns since when the store is paused, as it was at most about a second ago.
// Writes read it from the database.
func (s *Store) Paused() time.Time { return store.FromMicros(s.paused.Load()) }

// isPaused is gateway.ErrPaused when the store is paused. If it is paused as far as
// this replica knows, the database is asked, because another replica may have ended the
// pause.
func (s *Store) isPaused(ctx context.Context) error {
	if s.paused.Load() == 0 {
		return nil
	}
	if err := s.loadPause(ctx); err != nil {
		return err
	}
	if s.paused.Load() != 0 {
		return gateway.ErrPaused
	}
	return nil
}

// Pause makes the store refuse every message.
func (s *Store) Pause(ctx context.Context, now time.Time) error {
	err := s.do(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.change(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			pausedSetting,
			strconv.FormatInt(store.Micros(now), 10))
		return err
	})
	if err != nil {
		return err
	}
	return s.loadPause(ctx)
}

// Resume ends a pause.
func (s *Store) Resume(ctx context.Context) error {
	err := s.do(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.change(ctx, `DELETE FROM setting WHERE name = $1`, pausedSetting)
		return err
	})
	if err != nil {
		return err
	}
	return s.loadPause(ctx)
}

// loadPause reads whether the store is paused.
func (s *Store) loadPause(ctx context.Context) error {
	return s.read(ctx, func(ctx context.Context, c conn) error {
		since, err := c.number(ctx, `SELECT value::bigint FROM setting WHERE name = $1`, pausedSetting)
		if err == nil {
			s.paused.Store(since)
		}
		return err
	})
}

// probeSetting is the row of setting that Probe writes.
const probeSetting = "probe"

// Probe writes a row and reads it back. It also refuses when the machine's clock is too
// far from the database's: such a machine should get no requests.
func (s *Store) Probe(ctx context.Context, now time.Time) error {
	if err := tooFar(s.clock.offset()); err != nil {
		return err
	}
	want := fmt.Sprintf("%020d", now.UnixMicro())
	got, err := write(ctx, s, func(ctx context.Context, t *tx) (got string, err error) {
		err = t.query(ctx, `INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name)
				DO UPDATE SET value = greatest(setting.value, excluded.value) RETURNING value`, []any{probeSetting, want}, []any{&got}, func() error { return nil })
		return got, err
	})
	if err == nil && got < want {
		err = errors.New("the row that was written is not there")
	}
	return err
}

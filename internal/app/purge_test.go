package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// purged is a store that only answers Purge.
type purged struct {
	answers []gateway.Purged
	err     error
	asked   []int64         // after
	at      []time.Duration // since the beginning
	began   time.Time
	doubted time.Duration // how long the clock is doubted from the beginning
}

func (s *purged) Clock() gateway.ClockState {
	return gateway.ClockState{Doubt: max(s.doubted-time.Since(s.began), 0)}
}

func (s *purged) Purge(_ context.Context, _ gateway.Retention, now time.Time, after int64,
	_ int) (gateway.Purged, error) {
	s.asked, s.at = append(s.asked, after), append(s.at, now.Sub(s.began))
	if s.err != nil {
		return gateway.Purged{}, s.err
	}
	answer := s.answers[(len(s.asked)-1)%len(s.answers)]
	return answer, nil
}

func runPurger(t *testing.T, s *purged, length time.Duration) {
	s.began = time.Now()
	p := &purger{store: s, pause: time.Second, every: time.Hour, now: time.Now, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := p.Run(ctx); err != nil {
		t.Errorf("Run = %v, want none", err)
	}
}

func TestPurgerWalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &purged{answers: []gateway.Purged{{Next: 3, Bodies: 1}, {Next: 6}, {Next: 7, Done: true}}}
		runPurger(t, s, time.Hour+5*time.Second+time.Millisecond)
		if want := []int64{0, 3, 6, 0, 3, 6}; !slices.Equal(s.asked, want) {
			t.Errorf("it began behind %v, want %v", s.asked, want)
		}
		want := []time.Duration{1, 2, 3, 3603, 3604, 3605}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(s.at, want) {
			t.Errorf("it purged at %v, want %v", s.at, want)
		}
	})
}

func TestPurgerOutlivesAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &purged{err: gateway.ErrBusy}
		runPurger(t, s, 3*time.Hour)
		if want := []int64{0, 0, 0}; !slices.Equal(s.asked, want) {
			t.Errorf("it began behind %v, want %v", s.asked, want)
		}
		s = &purged{err: errors.Join(errors.New("fail-stop"), gateway.ErrClosed)}
		runPurger(t, s, 3*time.Hour)
		if len(s.asked) != 1 {
			t.Errorf("it asked a closed store %d times, want once", len(s.asked))
		}
	})
}

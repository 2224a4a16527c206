package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// told is a store that only reports the state of its clock, and the log beside it.
type told struct {
	mu    sync.Mutex
	clock gateway.ClockState
	log   bytes.Buffer
}

func (s *told) NoteClock(context.Context) (gateway.ClockState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock, nil
}

func (s *told) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *told) set(c gateway.ClockState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = c
}

// said returns the log since the last call.
func (s *told) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.log.String()
	s.log.Reset()
	return text
}

// TestWatchmanTells: a jump is logged once, and so is the end of the doubt.
func TestWatchmanTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{}
		w := &watchman{store: s, log: slog.New(slog.NewTextHandler(s, nil))}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		step := func(c gateway.ClockState, want string) {
			t.Helper()
			s.set(c)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := s.said(); strings.Count(got, "\n") != min(len(want), 1) || !strings.Contains(got, want) {
				t.Errorf("the log says %q, want one line with %q", got, want)
			}
		}
		step(gateway.ClockState{}, "")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 1, Jumped: 400 * 24 * time.Hour},
			"level=WARN msg=\"the clock jumped;")
		step(gateway.ClockState{Doubt: time.Minute, Jumps: 1, Jumped: 400 * 24 * time.Hour}, "")
		step(gateway.ClockState{Jumps: 1, Jumped: 400 * 24 * time.Hour}, "the clock is trusted again")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 2, Jumped: 8 * time.Hour},
			"level=INFO msg=\"the clock jumped, as after a sleep")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 3, Jumped: -8 * time.Hour, Started: true},
			"level=WARN msg=\"the clock shows another time than when the gateway ran last")
		step(gateway.ClockState{Jumps: 3}, "the clock is trusted again")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want none", err)
		}
	})
}

// TestPurgerWaitsForTheClock: nothing is removed while the clock is doubted.
func TestPurgerWaitsForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &purged{answers: []gateway.Purged{{Done: true}}, doubted: 50 * time.Minute}
		runPurger(t, s, 2*time.Hour)
		if len(s.at) == 0 || s.at[0] < 50*time.Minute || s.at[0] > time.Hour+time.Minute {
			t.Errorf("it purged at %v, want not before the clock is trusted, and within the hour", s.at)
		}
	})
}

package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// told is a store that only says how its clock is.
type told struct{ clock gateway.ClockState }

func (s *told) NoteClock(context.Context) (gateway.ClockState, error) { return s.clock, nil }

// TestWatchmanTells: the log hears once of a jump, and once of the end of the doubt.
func TestWatchmanTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &told{}
		w := &watchman{store: s, log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		step := func(c gateway.ClockState, want string) {
			t.Helper()
			s.clock = c
			log.Reset()
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := log.String(); strings.Count(got, "\n") != min(len(want), 1) || !strings.Contains(got, want) {
				t.Errorf("the log says %q, want one line with %q", got, want)
			}
		}
		step(gateway.ClockState{}, "")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 1, Jumped: 400 * 24 * time.Hour}, "level=WARN msg=\"the clock jumped;")
		step(gateway.ClockState{Doubt: time.Minute, Jumps: 1, Jumped: 400 * 24 * time.Hour}, "")
		step(gateway.ClockState{Jumps: 1, Jumped: 400 * 24 * time.Hour}, "the clock is believed again")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 2, Jumped: 8 * time.Hour}, "level=INFO msg=\"the clock jumped, as after a sleep")
		step(gateway.ClockState{Doubt: time.Hour, Jumps: 3, Jumped: -8 * time.Hour, Started: true}, "level=WARN msg=\"the clock shows another time than when the gateway ran last")
		step(gateway.ClockState{Jumps: 3}, "the clock is believed again")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v, want none", err)
		}
	})
}

// TestPurgerWaitsForTheClock: nothing is removed by a clock that is doubted.
func TestPurgerWaitsForTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &purged{answers: []gateway.Purged{{Done: true}}, clock: gateway.ClockState{Doubt: time.Hour}}
		time.AfterFunc(50*time.Minute, func() { s.clock.Doubt = 0 })
		runPurger(t, s, 2*time.Hour)
		if len(s.at) == 0 || s.at[0] < 50*time.Minute || s.at[0] > time.Hour+time.Minute {
			t.Errorf("it purged at %v, want not before the clock is believed, and within the hour", s.at)
		}
	})
}

package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// watchman has the store check its clock, and logs what it found.
type watchman struct {
	store interface {
		NoteClock(context.Context) (gateway.ClockState, error)
	}
	log *slog.Logger

	jumps    int64 // the jumps that were logged
	doubting bool  // whether a doubt was logged
}

// clockEvery is how often the clock is checked.
const clockEvery = 5 * time.Second

// Run checks until ctx ends. The first check is at once, so that parts that remove or
// give up something by the clock learn what an earlier process knew.
func (w *watchman) Run(ctx context.Context) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *watchman) look(ctx context.Context) {
	c, err := w.store.NoteClock(ctx)
	if err != nil && ctx.Err() == nil {
		w.log.Debug("the time that the clock shows cannot be stored now", "cause", err)
	}
	jumped := c.Jumps != w.jumps && !c.Believed()
	w.jumps = c.Jumps
	switch {
	case jumped && c.Started:
		w.log.Warn("the clock shows another time than when the gateway ran last; until it has agreed with the time that passes, nothing is removed or given up because of its age",
			"by", c.Jumped, "waits", c.Doubt)
	case jumped && c.Sleeps():
		w.log.Info("the clock jumped, as after a sleep; for a while nothing is removed or given up because of its age",
			"by", c.Jumped, "waits", c.Doubt)
	case jumped:
		w.log.Warn("the clock jumped; until it has agreed with the time that passes, nothing is removed or given up because of its age",
			"by", c.Jumped, "waits", c.Doubt)
	case w.doubting && c.Believed():
		w.log.Info("the clock is trusted again: old messages and attempts are again removed and given up")
	}
	w.doubting = !c.Believed()
}

package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// watchman has the store look at its clock, and tells the log what it found.
type watchman struct {
	store interface {
		NoteClock(context.Context) (gateway.ClockState, error)
	}
	log *slog.Logger

	jumps    int64 // that the log knows of
	doubting bool  // the log knows of it
}

// clockEvery is how often the clock is looked at.
const clockEvery = 5 * time.Second

// Run looks until ctx ends. Before that it looks once, so that whoever removes or
// gives up something by the clock finds out at once what an earlier process knew.
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
		w.log.Debug("what the clock shows cannot be stored now", "cause", err)
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
		w.log.Info("the clock is believed again: what is old is removed and given up")
	}
	w.doubting = !c.Believed()
}
